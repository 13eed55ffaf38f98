"""The model of a known reason for a stop, and the commands that reasons share.

Commands are templates over facts of the stopped task (`ops.ecs.rules.stop_diagnosis` fills them
in): `{service}` is our namespace, `{aws}` the program with the environment's options, the others
AWS's names. A template whose fact is not known is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["transient", "final", "benign", "symptom", "unknown"]
DESCRIBE = "{aws} ecs describe-tasks --cluster {cluster} --tasks {task}"
IMAGES = "{aws} ecr describe-images --repository-name {repository} --image-ids imageTag={tag}"
ROLE = (
    "{aws} ecs describe-task-definition --task-definition {family} --query "
    "taskDefinition.executionRoleArn"
)
SECRETS = (
    "{aws} ecs describe-task-definition --task-definition {family} --query "
    "'taskDefinition.containerDefinitions[].secrets[]'"
)
LOGS = (
    "{aws} ecs describe-task-definition --task-definition {family} --query "
    "'taskDefinition.containerDefinitions[].logConfiguration'"
)
NETWORK = (
    "{aws} ecs describe-services --cluster {cluster} --services {ecs_service} --query "
    "'services[].networkConfiguration'"
)
GROUPS = "{aws} elbv2 describe-target-health --target-group-arn {target_group}"
AGAIN = "inv {service}.deploy"
TASK_LOGS = "inv {service}.logs --task {task}"
ROLL_BACK = "inv {service}.rollback --to {earlier}"
STATUS = "inv {service}.status"


@dataclass(frozen=True)
class StopReason:
    """A known reason for a stop.

    `code` is stable. `kind`: `transient` a retry may help, `final` no retry helps, `benign` not a
    failure, `symptom` see the exit code, the logs or the targets. `pattern` is empty where the
    task's `stopCode` (equal to `code`) is what is known. `finding`, `says` and `fix` are the
    finding's name, its sentence, and templates of commands.

    `network`: no connection; transient once, and final if a second task of the deployment repeats
    it. `capacity`: AWS lacks capacity, which another revision lacks too: waited for until the time
    is up, however often it repeats. `by_itself`: the task ended by itself, so that the exit code is
    part of the cause. `ambiguous`: AWS gives the same text for more than one cause.
    `target_health`: the results of the load balancer's health checks are evidence.
    `explains_exit`: the exit code needs no explanation of its own.
    """

    code: str
    kind: Kind
    pattern: str = ""
    finding: str = "task_stopped"
    says: str = "the task stopped for a reason that is not in the list"
    fix: tuple[str, ...] = (DESCRIBE,)
    network: bool = False
    capacity: bool = False
    by_itself: bool = False
    ambiguous: bool = False
    target_health: bool = False
    explains_exit: bool = False


UNKNOWN = StopReason("", "unknown")
