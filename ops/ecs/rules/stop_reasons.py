"""Patterns of `stoppedReason` and container `reason`; the first that matches wins.

Collected from AWS's developer guide, the ECS agent's source and public incident reports. Kinds:
`transient` a retry may help, `final` no retry helps, `benign` not a failure, `symptom` see the exit
code, the logs or the targets. Codes that end in `-NET` are transient once, and final when a second
task of the same deployment repeats them (`ops.ecs.rules.stop_diagnosis`).

Matching ignores case, and a dot matches a newline; typographic apostrophes are made plain first,
since AWS writes both. A text that matches nothing is shown verbatim.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["transient", "final", "benign", "symptom"]
_PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})


@dataclass(frozen=True)
class StopReason:
    """A known stop reason: its stable code, whether a retry can help, and its pattern."""

    code: str
    kind: Kind
    pattern: str


REASONS = (
    StopReason(
        "ECS-SCALE",
        "benign",
        r"^Scaling activity initiated by \(?deployment (?P<dep>ecs-svc/\d+|[^)]*)\)?",
    ),
    StopReason("ECS-SPOT", "transient", r"Your Spot Task was interrupted"),
    StopReason(
        "ECS-MAINT",
        "benign",
        r"ECS is performing maintenance on the underlying infrastructure hosting the task",
    ),
    StopReason(
        "ECS-DRAIN",
        "benign",
        r"container instance is in DRAINING state|Container instance deregistration forced by user",
    ),
    StopReason(
        "ECS-HOST",
        "transient",
        r"Host EC2 \(instance (?P<i>i-[0-9a-f]+)\) (?P<how>stopped|terminated)",
    ),
    StopReason("ECS-USER", "benign", r"^Task stopped by user"),
    StopReason(
        "ECS-ELB",
        "symptom",
        r"Task failed ELB health checks in \((?:elb|target-group) (?P<tg>[^)]+)\)|^Task "
        r"failed ELB health checks",
    ),
    StopReason(
        "ECS-CHC", "symptom", r"Task failed container health checks|failed container health checks"
    ),
    StopReason(
        "ECS-PULL-PLATFORM",
        "final",
        r"does not contain descriptor matching platform '(?P<p>[^']+)'",
    ),
    StopReason(
        "ECS-PULL-RATE",
        "transient",
        r"toomanyrequests|reached your (?:unauthenticated )?pull rate limit|429 Too Many Requests",
    ),
    StopReason("ECS-PULL-DISK", "final", r"no space left on device"),
    StopReason(
        "ECS-PULL-REF", "final", r"invalid reference format|failed to normalize image reference"
    ),
    StopReason(
        "ECS-PULL-NOTFOUND",
        "final",
        r"API error \(404\): repository .* not found|Check whether the image "
        r"exists|(?:CannotPull\w*Error|"
        r"failed to resolve ref)\b.*(?:: not found|manifest unknown|repository .* does not "
        r"exist|name unknown)",
    ),
    StopReason(
        "ECS-PULL-403",
        "final",
        r"CannotPull\w*Error\b.*(?:403 Forbidden|is not authorized to perform: ecr:(?P<act>\w+)|"
        r"Check that the role has the permissions|pull access denied|401 Unauthorized|no "
        r"basic auth credentials)",
    ),
    StopReason(
        "ECS-PULL-NET",
        "final",
        r"CannotPull\w*Error\b.*(?:There is a connection issue|Check your network "
        r"configuration|i/o timeout|"
        r"request canceled while waiting for connection|context (?:canceled|deadline "
        r"exceeded)|no such host|connection refused|"
        r"httpReaderSeeker|net/http: TLS handshake timeout)",
    ),
    StopReason(
        "ECS-PULL-BLIP",
        "transient",
        r"CannotPull\w*Error\b.*(?:\bEOF\b|invalid argument|unexpected status code "
        r"5\d\d|connection reset by peer|"
        r"inactivity time exceeded)",
    ),
    StopReason(
        "ECS-PULL",
        "final",
        r"CannotPull(?:ECR)?(?:Container|ImageManifest|ContainerAuth)\w*|CannotPullContainer\w*",
    ),
    StopReason(
        "ECS-SEC-DENIED",
        "final",
        r"(?:unable to retrieve secrets? from (?P<src>asm|ssm)|unable to pull "
        r"secrets).*(?:AccessDenied\w*|"
        r"is not authorized to perform: (?P<act>(?:ssm|secretsmanager|kms):\w+))",
    ),
    StopReason(
        "ECS-SEC-MISSING",
        "final",
        r"ResourceNotFoundException.*[Ss]ecret|can't retrieve the secret with ARN|invalid "
        r"ssm parameters|ParameterNotFound|"
        r"did not contain json key|invalid ARN format for the AWS Secrets Manager|version "
        r"(?:stage )?AWSCURRENT",
    ),
    StopReason(
        "ECS-REGAUTH-NET",
        "final",
        r"The task cannot pull registry auth from Amazon ECR: There is a connection issue",
    ),
    StopReason(
        "ECS-SEC-NET",
        "final",
        r"(?:cannot|can't) pull secrets from AWS (?:Systems Manager|Secrets "
        r"Manager)|(?:unable to retrieve secrets? from (?:asm|"
        r"ssm)|unable to pull secrets or registry auth).*(?:RequestCanceled|context "
        r"(?:deadline exceeded|canceled)|i/o timeout|"
        r"There is a connection issue)",
    ),
    StopReason(
        "ECS-LOG-NET",
        "final",
        r"cannot find the Amazon CloudWatch log group defined in the task definition\. "
        r"There is a connection issue|"
        r"failed to validate logger args.*(?:signal: killed|timeout)",
    ),
    StopReason("ECS-LOG-DENIED", "final", r"failed to validate logger args.*AccessDenied\w*"),
    StopReason(
        "ECS-LOG-MISSING",
        "final",
        r"specified log group does not exist|failed to validate logger "
        r"args.*(?:ResourceNotFoundException|"
        r"failed to create Cloudwatch log)|failed to initialize logging driver",
    ),
    StopReason("ECS-LOG-ARGS", "final", r"failed to validate logger args.*is required"),
    StopReason(
        "ECS-ENVFILE",
        "final",
        r"failed to download env files|unable to download env file|can't download the "
        r"environment variable files",
    ),
    StopReason(
        "ECS-EFS",
        "final",
        r"failed to invoke EFS utils commands to set up EFS volumes.*?(?P<why>Connection "
        r"timed out|Connection refused|"
        r"Connection reset by peer|access denied|No such file or directory|Failed to resolve)?",
    ),
    StopReason(
        "ECS-ENI-IPS",
        "final",
        r"InsufficientFreeAddressesInSubnet|Create Network Interface with public IP "
        r"assignment enabled in subnet",
    ),
    StopReason(
        "ECS-ENI-TAG",
        "final",
        r"Unexpected EC2 error while attempting to tag the network interface: TagPolicyViolation",
    ),
    StopReason(
        "ECS-ENI-AUTH",
        "transient",
        r"Unexpected EC2 error while attempting to Create Network Interface.*AuthFailure",
    ),
    StopReason(
        "ECS-ENI-BLIP",
        "transient",
        r"Timeout waiting for (?:network interface|EphemeralStorage) provisioning to complete|"
        r"Network interface provision complete error timeout|Rate limit exceeded while "
        r"preparing network interface|"
        r"Unexpected EC2 error while attempting to attach network interface|netplugin "
        r"failed with no error message|"
        r"Unable to attach network interface to unused device index",
    ),
    StopReason("ECS-CAPACITY", "transient", r"Capacity is unavailable at this time|^InternalError"),
    StopReason(
        "ECS-TASKDEF",
        "final",
        r"selected task definition is not compatible with the selected compute strategy",
    ),
    StopReason(
        "ECS-AGENT", "transient", r"^AGENT$|Timed out waiting for Amazon ECS Agent to start"
    ),
    StopReason("ECS-OOM", "final", r"OutOfMemory(?:Error)?|Container killed due to memory usage"),
    StopReason(
        "ECS-EXEC",
        "final",
        r"exec(?: user process caused)?:? .*(?:exec format error|no such file or "
        r"directory|executable file not found|"
        r"permission denied)",
    ),
    StopReason("ECS-PORT", "final", r"port is already allocated|address already in use"),
    StopReason("ECS-DEVMAPPER", "final", r"devmapper: Thin Pool has"),
    StopReason(
        "ECS-RTTIMEOUT",
        "transient",
        r"(?:DockerTimeout|"
        r"ContainerRuntimeTimeout)Error: Could not transition to (?P<to>\w+); timed out "
        r"after waiting (?P<t>\S+?):?(?:\s|$)",
    ),
    StopReason(
        "ECS-RUNTIME",
        "final",
        r"CannotStartContainerError|CannotCreateContainerError|CannotInspectContainerError|CannotStopContainerError|"
        r"CannotCreateVolumeError|ContainerRuntimeError|InvalidVolumeError|DockerStateError|ContainerNetworkingError|"
        r"TaskDependencyError",
    ),
    StopReason("ECS-RESINIT", "final", r"ResourceInitializationError"),
    StopReason("ECS-ESSENTIAL", "symptom", r"Essential container in task exited"),
    StopReason("ECS-TFTS", "symptom", r"^Task failed to start"),
)

_COMPILED = tuple(
    (reason, re.compile(reason.pattern, re.IGNORECASE | re.DOTALL)) for reason in REASONS
)


def classify(text: str) -> StopReason | None:
    """The first known reason that matches `text`, or None.

    `text` is a `stoppedReason` or a container's `reason`.
    """
    plain = text.translate(_PLAIN)
    return next((reason for reason, pattern in _COMPILED if pattern.search(plain)), None)
