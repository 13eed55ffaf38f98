"""What a task's `stopCode` alone means, where no text matches."""

from __future__ import annotations

from ops.ecs.rules.stop_reasons.model import DESCRIBE, ROLL_BACK, STATUS, TASK_LOGS, StopReason

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
        fix=(STATUS,),
        capacity=True,
    ),
    StopReason(
        "TerminationNotice",
        "transient",
        finding="host_lost",
        says="the instance under the task is going away",
        fix=(STATUS,),
    ),
    StopReason(
        "InfrastructureHealth",
        "transient",
        finding="host_lost",
        says="AWS found the host unhealthy",
        fix=(STATUS,),
    ),
    StopReason(
        "ServiceSchedulerInitiated",
        "symptom",
        finding="stopped_by_scheduler",
        says="the ECS scheduler stopped the task",
        fix=(DESCRIBE,),
    ),
    StopReason(
        "EssentialContainerExited",
        "symptom",
        finding="container_exited",
        says="an essential container ended by itself",
        fix=(TASK_LOGS, ROLL_BACK),
        by_itself=True,
    ),
    StopReason(
        "TaskFailedToStart",
        "symptom",
        finding="task_not_started",
        says="the task did not start",
        fix=(DESCRIBE,),
        by_itself=True,
    ),
)
