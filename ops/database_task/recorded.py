"""The result of a run as the audit has it, for a task that ended without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ops.core.errors import Cancelled, OpsError
from ops.core.redaction.redact import one_line
from ops.core.text import format_error
from ops.database_task import connect
from ops.migrations.run import RunResult
from ops.migrations.target import BASE
from ops.platform import Platform
from ops.postgres import access
from ops.postgres.access import Applied, MigrationOutcome

_RUNS = 50  # newest runs in which ours is looked for


def read(platform: Platform, run: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """The run's entry in the audit, or only `at`, the database's revision. By another task."""
    progress("the task left no result: another one reads the audit")
    with connect.opened(platform, progress) as (_, door):
        entries = access.history(door, _RUNS)
        found = next((each for each in entries if each["run"] == run), {})
        return {**found, "at": access.current(door) or BASE}


def result_of(run: str, entry: Mapping[str, Any], ended: OpsError) -> RunResult:
    """The result that was recorded.

    `ended` says how the task ended. Raises Cancelled, or OpsError for a run that failed, was
    killed, or never began.
    """
    at, recorded = entry["at"], entry.get("result")
    if recorded == "done":
        steps = [each for each in entry["steps"] if each["result"] == "done"]
        applied = tuple(Applied(each["revision"], each["took_s"]) for each in steps)
        return RunResult(MigrationOutcome(entry["from"], entry["to"], applied, run), "task")
    why = f"{ended.why}; the database is at {at}"
    if recorded is None:
        why = f"it is not in the audit, so nothing was run; {why}"
        raise OpsError(f"run {run} did not begin", why, "run it again")
    text = one_line(entry.get("message") or "", limit=400)
    if recorded == "interrupted":
        raise Cancelled(f"run {run} was interrupted", text or why, "inv db.current")
    if recorded == "failed":
        raise OpsError(f"run {run} failed", text or why, "correct the revision, then run it again")
    raise OpsError(f"run {run} is lost: its task was killed", why, "inv db.current")


def result(
    platform: Platform, run: str, ended: OpsError, progress: Callable[[str], None]
) -> RunResult:
    """The recorded result. Raises `ended` if the audit can't be read."""
    try:
        entry = read(platform, run, progress)
    except OpsError as error:
        progress(f"the audit can't be read: {format_error(error)}")
        raise ended from None
    return result_of(run, entry, ended)
