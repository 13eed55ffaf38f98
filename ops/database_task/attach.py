"""`inv db.attach` and `inv db.cancel` for runs in a task, which ECS remembers for about an hour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from ops.aws import ecs, ecs_tasks
from ops.aws.facts import TaskState
from ops.core import ui
from ops.core.errors import Cancelled, OpsError, Refused
from ops.core.text import format_error
from ops.database_task.channel import RunChannel
from ops.database_task.plan import TaskPlan, plan_task
from ops.database_task.rules import requirements
from ops.database_task.run import RunWatch
from ops.database_task.run_log import RunLog
from ops.database_task.running import STARTED_BY, RunningTask
from ops.ecs.rules.stop_diagnosis import GONE
from ops.migrations.remote.run import CancelResult
from ops.migrations.run import RunResult
from ops.platform import Platform

LATEST = "latest"
_NAMED = 5  # newest tasks, in an error
_OLDEST = datetime.min.replace(tzinfo=UTC)


def attach(
    platform: Platform, run: str, progress: Callable[[str], None] = ui.progress
) -> RunResult:
    """Print a run's log from its beginning, and return its outcome. Raises the engine's errors."""
    return _watch(platform, run, progress).wait()


def cancel(
    platform: Platform, run: str, progress: Callable[[str], None] = ui.progress
) -> CancelResult:
    """Stop a run's task, and wait for the rollback.

    Raises Refused if it is over, and the error of a run that failed meanwhile.
    """
    watch = _watch(platform, run, progress)
    if watch.running.task.status in GONE:
        raise Refused(
            "there is nothing to cancel",
            f"run {watch.id} is over: its task has stopped",
            f"inv db.attach --run {watch.id}",
        )
    ended = watch.cancel()
    if not isinstance(ended, Cancelled):
        raise ended
    return CancelResult(watch.id, "cancelled", format_error(ended))


def _watch(platform: Platform, run: str, progress: Callable[[str], None]) -> RunWatch:
    plan = plan_task(platform)
    tasks = _tasks(platform, plan)
    for task in tasks if run == LATEST else [each for each in tasks if _run_of(each) == run]:
        running = _running(platform, plan, task, progress)
        if run != LATEST or _has_run(running):
            return RunWatch(running, progress, ours=False)
    known = ", ".join(_run_of(each) for each in tasks[:_NAMED]) or "none"
    raise Refused(
        "no migration in a task is known" if run == LATEST else f"run {run} is not known",
        f"ECS remembers these of about the last hour, reads included: {known}",
        "inv db.attach --run ID, or inv db.history",
    )


def _tasks(platform: Platform, plan: TaskPlan) -> list[TaskState]:
    """Our tasks that run, then those that stopped; newest first."""
    return [
        task
        for status in ("RUNNING", "STOPPED")
        for task in sorted(
            ecs_tasks.of_family(
                platform.cloud, plan.cluster, plan.definition.family, status=status
            ),
            key=lambda task: task.created_at or _OLDEST,
            reverse=True,
        )
        if task.started_by.startswith(STARTED_BY)
    ]


def _run_of(task: TaskState) -> str:
    return task.started_by.removeprefix(STARTED_BY)


def _running(
    platform: Platform, plan: TaskPlan, task: TaskState, progress: Callable[[str], None]
) -> RunningTask:
    """A task that was started elsewhere, with the log of its own revision."""
    definition = ecs.task_definition(platform.cloud, task.task_definition) or plan.definition
    log = requirements.check_log(
        definition, requirements.check_container(definition, plan.container)
    )
    own = replace(plan, definition=definition, log=log)
    channel = RunChannel(platform.cloud, plan.place, _run_of(task))
    return RunningTask(platform, own, channel, progress, state=task)


def _has_run(running: RunningTask) -> bool:
    """Whether a migration began in the task, which may have been started for reads only."""
    log = RunLog()
    with suppress(OpsError):
        lines, _ = running.log_lines()
        log.take(lines)
    return log.run is not None
