"""Known reasons for a stop: the pattern of each, what it means, and commands to run.

Collected from AWS's developer guide, the ECS agent's source and public incident reports. `classify`
takes the first row whose pattern matches a task's `stoppedReason` or a container's `reason`; a
text that matches nothing is shown verbatim. Matching ignores case, and a dot matches a newline;
typographic apostrophes are made plain first, since AWS writes both.

Commands are templates over facts of the stopped task (`ops.ecs.rules.stop_diagnosis` fills them
in): `{service}` is our namespace, `{aws}` the program with the environment's options, the others
AWS's names. A template whose fact is not known is left out. Names of findings are a contract:
JSON documents carry them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["transient", "final", "benign", "symptom", "unknown"]
_PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})

_DESCRIBE = "{aws} ecs describe-tasks --cluster {cluster} --tasks {task}"
_IMAGES = "{aws} ecr describe-images --repository-name {repository} --image-ids imageTag={tag}"
_ROLE = (
    "{aws} ecs describe-task-definition --task-definition {family} --query "
    "taskDefinition.executionRoleArn"
)
_SECRETS = (
    "{aws} ecs describe-task-definition --task-definition {family} --query "
    "'taskDefinition.containerDefinitions[].secrets[]'"
)
_LOGS = (
    "{aws} ecs describe-task-definition --task-definition {family} --query "
    "'taskDefinition.containerDefinitions[].logConfiguration'"
)
_NETWORK = (
    "{aws} ecs describe-services --cluster {cluster} --services {ecs_service} --query "
    "'services[].networkConfiguration'"
)
_GROUPS = "{aws} elbv2 describe-target-health --target-group-arn {target_group}"
_AGAIN = "inv {service}.deploy"
_STATUS = "inv {service}.status"


@dataclass(frozen=True)
class StopReason:
    """A known reason for a stop.

    `code` is stable. `kind`: `transient` a retry may help, `final` no retry helps, `benign` not a
    failure, `symptom` see the exit code, the logs or the targets. `pattern` is empty where the
    task's `stopCode` (equal to `code`) is what is known. `finding`, `says` and `fix` are the
    finding's name, its sentence, and templates of commands.

    `network`: no connection; transient once, and final if a second task of the deployment repeats
    it. `by_itself`: the task ended by itself, so that the exit code is part of the cause.
    `ambiguous`: AWS gives the same text for more than one cause. `target_health`: the results of
    the load balancer's health checks are evidence. `explains_exit`: the exit code needs no
    explanation of its own.
    """

    code: str
    kind: Kind
    pattern: str = ""
    finding: str = "task_stopped"
    says: str = "the task stopped for a reason that is not in the list"
    fix: tuple[str, ...] = (_DESCRIBE,)
    network: bool = False
    by_itself: bool = False
    ambiguous: bool = False
    target_health: bool = False
    explains_exit: bool = False


UNKNOWN = StopReason("", "unknown")
REASONS = (
    StopReason(
        "ECS-SCALE",
        "benign",
        pattern=r"^Scaling activity initiated by \(?deployment (?P<dep>ecs-svc/\d+|[^)]*)\)?",
    ),
    StopReason(
        "ECS-SPOT",
        "transient",
        pattern=r"Your Spot Task was interrupted",
        finding="spot_interrupted",
        says="Fargate Spot took the capacity back",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-MAINT",
        "benign",
        pattern=r"ECS is performing maintenance on the underlying infrastructure hosting the task",
    ),
    StopReason(
        "ECS-DRAIN",
        "benign",
        pattern=(
            r"container instance is in DRAINING state|"
            r"Container instance deregistration forced by user"
        ),
    ),
    StopReason(
        "ECS-HOST",
        "transient",
        pattern=r"Host EC2 \(instance (?P<i>i-[0-9a-f]+)\) (?P<how>stopped|terminated)",
        finding="host_lost",
        says="the instance under the task went away",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-USER",
        "benign",
        pattern=r"^Task stopped by user",
    ),
    StopReason(
        "ECS-ELB",
        "symptom",
        pattern=(
            r"Task failed ELB health checks in \((?:elb|target-group) (?P<tg>[^)]+)\)|^Task "
            r"failed ELB health checks"
        ),
        finding="target_unhealthy",
        says="the load balancer's health check failed on the new task",
        fix=(_GROUPS, _STATUS),
        target_health=True,
    ),
    StopReason(
        "ECS-CHC",
        "symptom",
        pattern=r"Task failed container health checks|failed container health checks",
        finding="container_unhealthy",
        says="the container's own health check command failed",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-PULL-PLATFORM",
        "final",
        pattern=r"does not contain descriptor matching platform '(?P<p>[^']+)'",
        finding="image_platform",
        says="the image is built for another CPU architecture than the task runs on",
        fix=("inv {service}.build", _AGAIN),
    ),
    StopReason(
        "ECS-PULL-RATE",
        "transient",
        pattern=(
            r"toomanyrequests|reached your (?:unauthenticated )?pull rate limit|"
            r"429 Too Many Requests"
        ),
        finding="image_rate_limited",
        says="the registry limits how often images are pulled",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-PULL-DISK",
        "final",
        pattern=r"no space left on device",
        finding="image_too_large",
        says="the image does not fit into the task's ephemeral storage",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-PULL-REF",
        "final",
        pattern=r"invalid reference format|failed to normalize image reference",
        finding="image_reference",
        says="the image's name in the task definition is malformed",
        fix=(_AGAIN,),
    ),
    StopReason(
        "ECS-PULL-NOTFOUND",
        "final",
        pattern=(
            r"API error \(404\): repository .* not found|Check whether the image "
            r"exists|(?:CannotPull\w*Error|"
            r"failed to resolve ref)\b.*(?:: not found|manifest unknown|repository .* does not "
            r"exist|name unknown)"
        ),
        finding="image_missing",
        says="the image is not in the repository",
        fix=(_IMAGES, _AGAIN),
    ),
    StopReason(
        "ECS-PULL-403",
        "final",
        pattern=(
            r"CannotPull\w*Error\b.*(?:403 Forbidden|"
            r"is not authorized to perform: ecr:(?P<act>\w+)|"
            r"Check that the role has the permissions|pull access denied|401 Unauthorized|no "
            r"basic auth credentials)"
        ),
        finding="image_denied",
        says=(
            "the pull was refused: the execution role may not pull, or the tag does not exist "
            "(ECR answers both with 403)"
        ),
        fix=(_IMAGES, _ROLE),
        ambiguous=True,  # a missing tag answers 403 too
    ),
    StopReason(
        "ECS-PULL-NET",
        "final",
        pattern=(
            r"CannotPull\w*Error\b.*(?:There is a connection issue|Check your network "
            r"configuration|i/o timeout|"
            r"request canceled while waiting for connection|context (?:canceled|deadline "
            r"exceeded)|no such host|connection refused|"
            r"httpReaderSeeker|net/http: TLS handshake timeout)"
        ),
        finding="image_network",
        says="the task cannot reach the registry (subnet, NAT, endpoint or security group)",
        fix=(_NETWORK,),
        network=True,
    ),
    StopReason(
        "ECS-PULL-BLIP",
        "transient",
        pattern=(
            r"CannotPull\w*Error\b.*(?:\bEOF\b|invalid argument|unexpected status code "
            r"5\d\d|connection reset by peer|"
            r"inactivity time exceeded)"
        ),
        finding="image_pull_interrupted",
        says="the pull was cut off",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-PULL",
        "final",
        pattern=r"CannotPull(?:ECR)?(?:Container|ImageManifest|ContainerAuth)\w*|CannotPullContainer\w*",
        finding="image_pull_failed",
        says="the image could not be pulled",
        fix=(_IMAGES, _DESCRIBE),
    ),
    StopReason(
        "ECS-SEC-DENIED",
        "final",
        pattern=(
            r"(?:unable to retrieve secrets? from (?P<src>asm|ssm)|unable to pull "
            r"secrets).*(?:AccessDenied\w*|"
            r"is not authorized to perform: (?P<act>(?:ssm|secretsmanager|kms):\w+))"
        ),
        finding="secret_denied",
        says="the execution role may not read a secret of the task definition",
        fix=(_ROLE, _SECRETS),
    ),
    StopReason(
        "ECS-SEC-MISSING",
        "final",
        pattern=(
            r"ResourceNotFoundException.*[Ss]ecret|can't retrieve the secret with ARN|invalid "
            r"ssm parameters|ParameterNotFound|"
            r"did not contain json key|invalid ARN format for the AWS Secrets Manager|version "
            r"(?:stage )?AWSCURRENT"
        ),
        finding="secret_missing",
        says="a secret of the task definition, or its key, does not exist",
        fix=(_SECRETS,),
    ),
    StopReason(
        "ECS-REGAUTH-NET",
        "final",
        pattern=r"The task cannot pull registry auth from Amazon ECR: There is a connection issue",
        finding="image_network",
        says="the task cannot reach ECR to log in (subnet, NAT, endpoint or security group)",
        fix=(_NETWORK,),
        network=True,
    ),
    StopReason(
        "ECS-SEC-NET",
        "final",
        pattern=(
            r"(?:cannot|can't) pull secrets from AWS (?:Systems Manager|Secrets "
            r"Manager)|(?:unable to retrieve secrets? from (?:asm|"
            r"ssm)|unable to pull secrets or registry auth).*(?:RequestCanceled|context "
            r"(?:deadline exceeded|canceled)|i/o timeout|"
            r"There is a connection issue)"
        ),
        finding="secret_network",
        says="the task cannot reach the secret's store (subnet, NAT, endpoint or security group)",
        fix=(_NETWORK,),
        network=True,
    ),
    StopReason(
        "ECS-LOG-NET",
        "final",
        pattern=(
            r"cannot find the Amazon CloudWatch log group defined in the task definition\. "
            r"There is a connection issue|"
            r"failed to validate logger args.*(?:signal: killed|timeout)"
        ),
        finding="log_network",
        says="the task cannot reach CloudWatch Logs (subnet, NAT, endpoint or security group)",
        fix=(_NETWORK,),
        network=True,
    ),
    StopReason(
        "ECS-LOG-DENIED",
        "final",
        pattern=r"failed to validate logger args.*AccessDenied\w*",
        finding="log_denied",
        says="the execution role may not write to the log group",
        fix=(_ROLE, _LOGS),
    ),
    StopReason(
        "ECS-LOG-MISSING",
        "final",
        pattern=(
            r"specified log group does not exist|failed to validate logger "
            r"args.*(?:ResourceNotFoundException|"
            r"failed to create Cloudwatch log)|failed to initialize logging driver"
        ),
        finding="log_group_missing",
        says="the log group of the task definition does not exist",
        fix=(_LOGS,),
    ),
    StopReason(
        "ECS-LOG-ARGS",
        "final",
        pattern=r"failed to validate logger args.*is required",
        finding="log_options",
        says="the log driver of the task definition lacks an option",
        fix=(_LOGS,),
    ),
    StopReason(
        "ECS-ENVFILE",
        "final",
        pattern=(
            r"failed to download env files|unable to download env file|can't download the "
            r"environment variable files"
        ),
        finding="environment_file",
        says="an environment file of the task definition could not be downloaded",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-EFS",
        "final",
        pattern=(
            r"failed to invoke EFS utils commands to set up EFS volumes.*?(?P<why>Connection "
            r"timed out|Connection refused|"
            r"Connection reset by peer|access denied|No such file or directory|Failed to resolve)?"
        ),
        finding="efs_mount",
        says="an EFS volume could not be mounted",
        fix=(_NETWORK,),
    ),
    StopReason(
        "ECS-ENI-IPS",
        "final",
        pattern=(
            r"InsufficientFreeAddressesInSubnet|Create Network Interface with public IP "
            r"assignment enabled in subnet"
        ),
        finding="subnet_full",
        says="the subnet has no free address left",
        fix=(_NETWORK,),
    ),
    StopReason(
        "ECS-ENI-TAG",
        "final",
        pattern=(
            r"Unexpected EC2 error while attempting to tag the network interface: "
            r"TagPolicyViolation"
        ),
        finding="tag_policy",
        says="a tag policy of the organisation refuses the task's network interface",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-ENI-AUTH",
        "transient",
        pattern=r"Unexpected EC2 error while attempting to Create Network Interface.*AuthFailure",
        finding="network_interface",
        says="EC2 refused to make the task's network interface",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-ENI-BLIP",
        "transient",
        pattern=(
            r"Timeout waiting for (?:network interface|EphemeralStorage) provisioning to complete|"
            r"Network interface provision complete error timeout|Rate limit exceeded while "
            r"preparing network interface|"
            r"Unexpected EC2 error while attempting to attach network interface|netplugin "
            r"failed with no error message|"
            r"Unable to attach network interface to unused device index"
        ),
        finding="network_interface",
        says="the task's network interface was not ready in time",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-CAPACITY",
        "transient",
        pattern=r"Capacity is unavailable at this time|^InternalError",
        finding="capacity",
        says="AWS had no capacity, or failed inside",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-TASKDEF",
        "final",
        pattern=r"selected task definition is not compatible with the selected compute strategy",
        finding="task_definition_incompatible",
        says="the task definition does not fit the launch type or capacity provider",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-AGENT",
        "transient",
        pattern=r"^AGENT$|Timed out waiting for Amazon ECS Agent to start",
        finding="agent",
        says="the ECS agent was lost",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-OOM",
        "final",
        pattern=r"OutOfMemory(?:Error)?|Container killed due to memory usage",
        finding="out_of_memory",
        says="the container needed more memory than the task definition gives it",
        fix=(_DESCRIBE,),
        explains_exit=True,
    ),
    StopReason(
        "ECS-EXEC",
        "final",
        pattern=(
            r"exec(?: user process caused)?:? .*(?:exec format error|no such file or "
            r"directory|executable file not found|"
            r"permission denied)"
        ),
        finding="exec_failed",
        says=(
            "the container's command cannot be executed: missing, not executable, or for "
            "another CPU architecture"
        ),
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-PORT",
        "final",
        pattern=r"port is already allocated|address already in use",
        finding="port_taken",
        says="the port that the container binds is taken",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-DEVMAPPER",
        "final",
        pattern=r"devmapper: Thin Pool has",
        finding="host_storage",
        says="the host's container storage is full",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-RTTIMEOUT",
        "transient",
        pattern=(
            r"(?:DockerTimeout|"
            r"ContainerRuntimeTimeout)Error: Could not transition to (?P<to>\w+); timed out "
            r"after waiting (?P<t>\S+?):?(?:\s|$)"
        ),
        finding="runtime_timeout",
        says="the container runtime did not answer in time",
        fix=(_STATUS,),
    ),
    StopReason(
        "ECS-RUNTIME",
        "final",
        pattern=(
            r"CannotStartContainerError|CannotCreateContainerError|CannotInspectContainerError|CannotStopContainerError|"
            r"CannotCreateVolumeError|ContainerRuntimeError|InvalidVolumeError|DockerStateError|ContainerNetworkingError|"
            r"TaskDependencyError"
        ),
        finding="container_not_started",
        says="the container runtime could not start the container",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-RESINIT",
        "final",
        pattern=r"ResourceInitializationError",
        finding="task_not_initialised",
        says="the task's resources could not be prepared",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "ECS-ESSENTIAL",
        "symptom",
        pattern=r"Essential container in task exited",
        finding="container_exited",
        says="the container ended by itself",
        fix=(_DESCRIBE, _AGAIN),
        by_itself=True,
    ),
    StopReason(
        "ECS-TFTS",
        "symptom",
        pattern=r"^Task failed to start",
        finding="task_not_started",
        says="the task did not start",
        fix=(_DESCRIBE,),
        by_itself=True,
    ),
)

# where no text matches, the task's stopCode decides
STOP_CODES = (
    StopReason(
        "UserInitiated",
        "benign",
    ),
    StopReason(
        "SpotInterruption",
        "transient",
        finding="spot_interrupted",
        says="Fargate Spot took the capacity back",
        fix=(_STATUS,),
    ),
    StopReason(
        "TerminationNotice",
        "transient",
        finding="host_lost",
        says="the instance under the task is going away",
        fix=(_STATUS,),
    ),
    StopReason(
        "InfrastructureHealth",
        "transient",
        finding="host_lost",
        says="AWS found the host unhealthy",
        fix=(_STATUS,),
    ),
    StopReason(
        "ServiceSchedulerInitiated",
        "symptom",
        finding="stopped_by_scheduler",
        says="the ECS scheduler stopped the task",
        fix=(_DESCRIBE,),
    ),
    StopReason(
        "EssentialContainerExited",
        "symptom",
        finding="container_exited",
        says="an essential container ended by itself",
        fix=(_DESCRIBE, _AGAIN),
        by_itself=True,
    ),
    StopReason(
        "TaskFailedToStart",
        "symptom",
        finding="task_not_started",
        says="the task did not start",
        fix=(_DESCRIBE,),
        by_itself=True,
    ),
)

_COMPILED = tuple(
    (reason, re.compile(reason.pattern, re.IGNORECASE | re.DOTALL)) for reason in REASONS
)
_BY_STOP_CODE = {reason.code: reason for reason in STOP_CODES}


def classify(text: str) -> StopReason | None:
    """The first known reason that matches `text`, or None.

    `text` is a `stoppedReason` or a container's `reason`.
    """
    plain = text.translate(_PLAIN)
    return next((reason for reason, pattern in _COMPILED if pattern.search(plain)), None)


def reason_of_stop_code(stop_code: str) -> StopReason:
    """The reason that a task's `stopCode` alone gives; UNKNOWN if it gives none."""
    return _BY_STOP_CODE.get(stop_code, UNKNOWN)
