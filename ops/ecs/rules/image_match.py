"""Compare the image digest of running tasks with the deployed one.

The result is a match, a mismatch, or unknown. Only a mismatch is a reason to roll back.
"""

from __future__ import annotations

from collections.abc import Iterable

from ops.aws.facts import ServiceState, TaskState
from ops.core.findings import Unknown


def image_mismatch(
    tasks: Iterable[TaskState], container: str, digest: str | None, desired: int
) -> str | Unknown | None:
    """None if every running task has `digest`, else what is wrong.

    Unknown if a required digest is not known.
    """
    running = [task for task in tasks if task.status == "RUNNING"]
    if not running:
        return "no task is running" if desired else None
    if digest is None:
        return Unknown("the digest of the deployed image is not known")
    for task in running:
        if task.container(container) is None:
            return f"task {task.id} has {missing_container([task], container)}"
    digests = {task.id: state.digest for task in running if (state := task.container(container))}
    for name, seen in digests.items():
        if seen not in (digest, None):
            return f"task {name} runs {seen}, not {digest}"
    blind = [name for name, seen in digests.items() if seen is None]
    return Unknown(f"ECS shows no image digest of task {blind[0]}") if blind else None


def missing_container(tasks: Iterable[TaskState], container: str) -> str:
    """The text for tasks without the configured container, with the containers that they have."""
    names = sorted({each.name for task in tasks for each in task.containers})
    return f"no container {container}, only {', '.join(names) or 'none'}"


def service_image_mismatch(
    state: ServiceState | Unknown | None,
    tasks: tuple[TaskState, ...] | Unknown,
    container: str,
    digest: str | None,
) -> str | Unknown | None:
    """`image_mismatch` of a service's tasks, both read at the same time.

    Also Unknown if DescribeServices counts more running tasks than ListTasks lists: two sources
    that contradict each other prove nothing.
    """
    if isinstance(tasks, Unknown):
        return tasks
    if isinstance(state, Unknown) or state is None:
        wrong = (
            image_mismatch(tasks, container, digest, 1) if tasks else None
        )  # a task with another image needs no count
        return wrong if isinstance(wrong, str) else state or Unknown("ECS did not show the service")
    wrong = image_mismatch(tasks, container, digest, state.desired)
    listed = sum(task.status == "RUNNING" for task in tasks)
    if listed < min(state.desired, state.running) and (not listed or wrong is None):
        return Unknown(
            f"DescribeServices counts {state.running} running tasks, and ListTasks lists {listed}"
        )
    return wrong
