"""The finding for each stop reason: its stable name, a sentence, and commands to run.

Commands are templates over facts of the stopped task (`ops.ecs.rules.stop_diagnosis` fills them
in): `{service}` is our namespace, `{aws}` the program with the environment's options, the others
AWS's names. A template whose fact is not known is left out. Names of findings are a contract:
`sandbox.faults` and `ops.diagnosis` refer to them.
"""

from __future__ import annotations

from dataclasses import dataclass

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
class Advice:
    """The finding's name, its sentence, and templates of commands."""

    finding: str
    says: str
    fix: tuple[str, ...] = ()


ADVICE = {
    "ECS-SPOT": Advice("spot_interrupted", "Fargate Spot took the capacity back", (_STATUS,)),
    "ECS-HOST": Advice("host_lost", "the instance under the task went away", (_STATUS,)),
    "ECS-ELB": Advice(
        "target_unhealthy",
        "the load balancer's health check failed on the new task",
        (_GROUPS, _STATUS),
    ),
    "ECS-CHC": Advice(
        "container_unhealthy", "the container's own health check command failed", (_DESCRIBE,)
    ),
    "ECS-PULL-PLATFORM": Advice(
        "image_platform",
        "the image is built for another CPU architecture than the task runs on",
        ("inv {service}.build", _AGAIN),
    ),
    "ECS-PULL-RATE": Advice(
        "image_rate_limited", "the registry limits how often images are pulled", (_STATUS,)
    ),
    "ECS-PULL-DISK": Advice(
        "image_too_large", "the image does not fit into the task's ephemeral storage", (_DESCRIBE,)
    ),
    "ECS-PULL-REF": Advice(
        "image_reference", "the image's name in the task definition is malformed", (_AGAIN,)
    ),
    "ECS-PULL-NOTFOUND": Advice(
        "image_missing", "the image is not in the repository", (_IMAGES, _AGAIN)
    ),
    "ECS-PULL-403": Advice(
        "image_denied",
        "the pull was refused: the execution role may not pull, or the tag does not exist "
        "(ECR answers both with 403)",
        (_IMAGES, _ROLE),
    ),
    "ECS-PULL-NET": Advice(
        "image_network",
        "the task cannot reach the registry (subnet, NAT, endpoint or security group)",
        (_NETWORK,),
    ),
    "ECS-PULL-BLIP": Advice("image_pull_interrupted", "the pull was cut off", (_STATUS,)),
    "ECS-PULL": Advice("image_pull_failed", "the image could not be pulled", (_IMAGES, _DESCRIBE)),
    "ECS-SEC-DENIED": Advice(
        "secret_denied",
        "the execution role may not read a secret of the task definition",
        (_ROLE, _SECRETS),
    ),
    "ECS-SEC-MISSING": Advice(
        "secret_missing", "a secret of the task definition, or its key, does not exist", (_SECRETS,)
    ),
    "ECS-REGAUTH-NET": Advice(
        "image_network",
        "the task cannot reach ECR to log in (subnet, NAT, endpoint or security group)",
        (_NETWORK,),
    ),
    "ECS-SEC-NET": Advice(
        "secret_network",
        "the task cannot reach the secret's store (subnet, NAT, endpoint or security group)",
        (_NETWORK,),
    ),
    "ECS-LOG-NET": Advice(
        "log_network",
        "the task cannot reach CloudWatch Logs (subnet, NAT, endpoint or security group)",
        (_NETWORK,),
    ),
    "ECS-LOG-DENIED": Advice(
        "log_denied", "the execution role may not write to the log group", (_ROLE, _LOGS)
    ),
    "ECS-LOG-MISSING": Advice(
        "log_group_missing", "the log group of the task definition does not exist", (_LOGS,)
    ),
    "ECS-LOG-ARGS": Advice(
        "log_options", "the log driver of the task definition lacks an option", (_LOGS,)
    ),
    "ECS-ENVFILE": Advice(
        "environment_file",
        "an environment file of the task definition could not be downloaded",
        (_DESCRIBE,),
    ),
    "ECS-EFS": Advice("efs_mount", "an EFS volume could not be mounted", (_NETWORK,)),
    "ECS-ENI-IPS": Advice("subnet_full", "the subnet has no free address left", (_NETWORK,)),
    "ECS-ENI-TAG": Advice(
        "tag_policy",
        "a tag policy of the organisation refuses the task's network interface",
        (_DESCRIBE,),
    ),
    "ECS-ENI-AUTH": Advice(
        "network_interface", "EC2 refused to make the task's network interface", (_STATUS,)
    ),
    "ECS-ENI-BLIP": Advice(
        "network_interface", "the task's network interface was not ready in time", (_STATUS,)
    ),
    "ECS-CAPACITY": Advice("capacity", "AWS had no capacity, or failed inside", (_STATUS,)),
    "ECS-TASKDEF": Advice(
        "task_definition_incompatible",
        "the task definition does not fit the launch type or capacity provider",
        (_DESCRIBE,),
    ),
    "ECS-AGENT": Advice("agent", "the ECS agent was lost", (_STATUS,)),
    "ECS-OOM": Advice(
        "out_of_memory",
        "the container needed more memory than the task definition gives it",
        (_DESCRIBE,),
    ),
    "ECS-EXEC": Advice(
        "exec_failed",
        "the container's command cannot be executed: missing, not executable, or for "
        "another CPU architecture",
        (_DESCRIBE,),
    ),
    "ECS-PORT": Advice("port_taken", "the port that the container binds is taken", (_DESCRIBE,)),
    "ECS-DEVMAPPER": Advice("host_storage", "the host's container storage is full", (_DESCRIBE,)),
    "ECS-RTTIMEOUT": Advice(
        "runtime_timeout", "the container runtime did not answer in time", (_STATUS,)
    ),
    "ECS-RUNTIME": Advice(
        "container_not_started", "the container runtime could not start the container", (_DESCRIBE,)
    ),
    "ECS-RESINIT": Advice(
        "task_not_initialised", "the task's resources could not be prepared", (_DESCRIBE,)
    ),
    "ECS-ESSENTIAL": Advice(
        "container_exited", "the container ended by itself", (_DESCRIBE, _AGAIN)
    ),
    "ECS-TFTS": Advice("task_not_started", "the task did not start", (_DESCRIBE,)),
    "SpotInterruption": Advice(
        "spot_interrupted", "Fargate Spot took the capacity back", (_STATUS,)
    ),
    "TerminationNotice": Advice(
        "host_lost", "the instance under the task is going away", (_STATUS,)
    ),
    "InfrastructureHealth": Advice("host_lost", "AWS found the host unhealthy", (_STATUS,)),
    "EssentialContainerExited": Advice(
        "container_exited", "an essential container ended by itself", (_DESCRIBE, _AGAIN)
    ),
    "TaskFailedToStart": Advice("task_not_started", "the task did not start", (_DESCRIBE,)),
    "ServiceSchedulerInitiated": Advice(
        "stopped_by_scheduler", "the ECS scheduler stopped the task", (_DESCRIBE,)
    ),
}
UNKNOWN = Advice(
    "task_stopped", "the task stopped for a reason that is not in the list", (_DESCRIBE,)
)

EXIT_CODES = {
    0: "it ended as if its work were done; a service must go on running",
    1: "the application's own error, see its log",
    125: "the container runtime failed",
    126: "its command could not be executed",
    127: "its command was not found in the image",
    134: "SIGABRT: it aborted",
    137: "SIGKILL: out of memory, or killed after the stop timeout",
    139: "SIGSEGV: it crashed",
    143: "SIGTERM: it was asked to stop",
    255: "the command failed at once (a wrong CPU architecture ends so too)",
}
