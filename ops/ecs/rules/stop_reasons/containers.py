"""Containers that did not start, or that ended."""

from __future__ import annotations

from ops.ecs.rules.stop_reasons.model import DESCRIBE, ROLL_BACK, STATUS, TASK_LOGS, StopReason

CONTAINERS = (
    StopReason(
        "ECS-OOM",
        "final",
        pattern=r"OutOfMemory(?:Error)?|Container killed due to memory usage|\bOOM-killed\b",
        finding="out_of_memory",
        says="the container needed more memory than the task definition gives it",
        fix=(DESCRIBE,),
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
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-PORT",
        "final",
        pattern=r"port is already allocated|address already in use",
        finding="port_taken",
        says="the port that the container binds is taken",
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-DEVMAPPER",
        "final",
        pattern=r"devmapper: Thin Pool has",
        finding="host_storage",
        says="the host's container storage is full",
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-RTTIMEOUT",
        "transient",
        pattern=(
            r"(?:DockerTimeout|"
            r"ContainerRuntimeTimeout|CannotInspectContainer)Error: Could not transition to "
            r"(?P<to>\w+); timed out after waiting (?P<t>\S+?):?(?:\s|$)"
        ),
        finding="runtime_timeout",
        says="the container runtime did not answer in time",
        fix=(STATUS,),
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
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-RESINIT",
        "final",
        pattern=r"ResourceInitializationError",
        finding="task_not_initialised",
        says="the task's resources could not be prepared",
        fix=(DESCRIBE,),
    ),
    StopReason(
        "ECS-ESSENTIAL",
        "symptom",
        pattern=r"Essential container in task exited",
        finding="container_exited",
        says="the container ended by itself",
        fix=(TASK_LOGS, ROLL_BACK),
        by_itself=True,
    ),
    StopReason(
        "ECS-TFTS",
        "symptom",
        pattern=r"^Task failed to start",
        finding="task_not_started",
        says="the task did not start",
        fix=(DESCRIBE,),
        by_itself=True,
    ),
)
