"""Failed preparation of a task: secrets, registry login, log streams, files, volumes."""

from __future__ import annotations

from ops.ecs.rules.stop_reasons.model import (
    DESCRIBE,
    LOGS,
    NETWORK,
    ROLE,
    SECRETS,
    STATUS,
    StopReason,
)

RESOURCES = (
    StopReason(
        "ECS-REGAUTH-DENIED",
        "final",
        pattern=(
            r"(?:retrieve ecr registry auth|pull registry auth from Amazon ECR)\b.*"
            r"(?:AccessDenied\w*|is not authorized to perform: ecr:(?P<act>\w+))"
        ),
        finding="image_denied",
        says="the execution role may not log in to ECR (ecr:GetAuthorizationToken)",
        fix=(ROLE,),
    ),
    StopReason(
        "ECS-RES-RATE",
        "transient",
        pattern=(
            r"(?:unable to (?:pull secrets|retrieve)|logger args|logging driver)\b.*"
            r"(?:ThrottlingException|Rate exceeded)"
        ),
        finding="throttled",
        says="AWS limited the rate of calls that prepare the task",
        fix=(STATUS,),
    ),
    StopReason(
        "ECS-SEC-DELETED",
        "final",
        pattern=r"operation on the secret because it was (?:marked for deletion|deleted)",
        finding="secret_deleted",
        says="a secret of the task definition is scheduled for deletion",
        fix=(SECRETS,),
    ),
    StopReason(
        "ECS-SEC-DENIED",
        "final",
        pattern=(
            r"(?:unable to retrieve secrets? from (?P<src>asm|ssm)|unable to pull secrets|"
            r"Fetching secret data from (?:SSM|AWS Secrets Manager|Secrets Manager)\b).*"
            r"(?:AccessDenied\w*|"
            r"is not authorized to perform: (?P<act>(?:ssm|secretsmanager|kms):\w+))"
        ),
        finding="secret_denied",
        says="the execution role may not read a secret of the task definition",
        fix=(ROLE, SECRETS),
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
        fix=(SECRETS,),
    ),
    StopReason(
        "ECS-REGAUTH-NET",
        "final",
        pattern=(
            r"The task can(?:no|')t pull registry auth from Amazon ECR: There is a connection "
            r"issue|unable to retrieve ecr registry auth:.*(?:RequestError: send request failed|"
            r"RequestCanceled|context (?:deadline exceeded|canceled)|i/o timeout)"
        ),
        finding="image_network",
        says="the task cannot reach ECR to log in (subnet, NAT, endpoint or security group)",
        fix=(NETWORK,),
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
        fix=(NETWORK,),
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
        fix=(NETWORK,),
        network=True,
    ),
    StopReason(
        "ECS-LOG-DENIED",
        "final",
        pattern=(r"failed to (?:validate logger args|initialize logging driver).*AccessDenied\w*"),
        finding="log_denied",
        says="the execution role may not write to the log group",
        fix=(ROLE, LOGS),
    ),
    StopReason(
        "ECS-LOG-MISSING",
        "final",
        pattern=(
            r"specified log group does not exist|"
            r"(?:logger args|logging driver).*ResourceNotFoundException"
        ),
        finding="log_group_missing",
        says="the log group of the task definition does not exist",
        fix=(LOGS,),
    ),
    StopReason(
        "ECS-LOG-ARGS",
        "final",
        pattern=r"failed to (?:validate logger args|initialize logging driver).*is required",
        finding="log_options",
        says="the log driver of the task definition lacks an option",
        fix=(LOGS,),
    ),
    StopReason(
        "ECS-LOG",
        "final",
        pattern=r"failed to (?:validate logger args|initialize logging driver)",
        finding="log_driver",
        says="the container's log driver could not be prepared",
        fix=(LOGS,),
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
        fix=(DESCRIBE,),
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
        fix=(NETWORK,),
    ),
)
