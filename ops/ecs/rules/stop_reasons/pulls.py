"""Failed pulls of an image."""

from __future__ import annotations

from ops.ecs.rules.stop_reasons.model import (
    AGAIN,
    DESCRIBE,
    IMAGES,
    NETWORK,
    ROLE,
    STATUS,
    StopReason,
)

PULLS = (
    StopReason(
        "ECS-PULL-PLATFORM",
        "final",
        pattern=r"does not contain descriptor matching platform '(?P<p>[^']+)'",
        finding="image_platform",
        says="the image is built for another CPU architecture than the task runs on",
        fix=("inv {service}.build", AGAIN),
    ),
    StopReason(
        "ECS-PULL-RATE",
        "transient",
        pattern=(
            r"toomanyrequests|reached your (?:unauthenticated )?pull rate limit|"
            r"429 Too Many Requests|CannotPull\w*Error\b.*ThrottlingException"
        ),
        finding="image_rate_limited",
        says="the registry limits how often images are pulled",
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-PULL-DISK",
        "final",
        pattern=r"no space left on device",
        finding="image_too_large",
        says="the image does not fit into the task's ephemeral storage",
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-PULL-REF",
        "final",
        pattern=r"invalid reference format|failed to normalize image reference",
        finding="image_reference",
        says="the image's name in the task definition is malformed",
        fix=(AGAIN,),
    ),
    StopReason(
        "ECS-PULL-NOTFOUND",
        "final",
        pattern=(
            r"API error \(404\): repository .* not found|Check whether the image "
            r"exists|CannotPull\w*Error: (?:Error: image \S+|Tag \S+) not found|"
            r"(?:CannotPull\w*Error|failed to resolve ref)\b.*(?:: not found|manifest unknown|"
            r"repository .* does not exist|name unknown)"
        ),
        finding="image_missing",
        says="the image is not in the repository",
        fix=(IMAGES, AGAIN),
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
        fix=(IMAGES, ROLE),
        ambiguous=True,  # a missing tag answers 403 too
    ),
    StopReason(
        "ECS-PULL-NET",
        "final",
        pattern=(
            r"CannotPull\w*Error\b.*(?:There is a connection issue|"
            r"Could not reach any registry endpoint|Check your network configuration|i/o timeout|"
            r"request canceled while waiting for connection|context (?:canceled|deadline "
            r"exceeded)|no such host|connection refused|"
            r"httpReaderSeeker|net/http: TLS handshake timeout)"
        ),
        finding="image_network",
        says="the task cannot reach the registry (subnet, NAT, endpoint or security group)",
        fix=(NETWORK,),
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
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-PULL",
        "final",
        pattern=r"CannotPull(?:ECR)?(?:Container|ImageManifest|ContainerAuth)\w*|CannotPullContainer\w*",
        finding="image_pull_failed",
        says="the image could not be pulled",
        fix=(IMAGES, DESCRIBE),
    ),
)
