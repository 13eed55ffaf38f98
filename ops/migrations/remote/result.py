"""The result of a run on the bastion. If its runner died without one, the database is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from ops.core.errors import Cancelled, OpsError, error_of_kind
from ops.core.redaction.redact import one_line
from ops.migrations.target import BASE
from ops.migrator.remote.messages import Outcome, RunEnd
from ops.postgres import access
from ops.postgres.access import Applied, DatabaseAccess, MigrationOutcome


def outcome_of(
    id: str, end: RunEnd, database: Callable[[], AbstractContextManager[DatabaseAccess]]
) -> MigrationOutcome:
    """The outcome of a run that ended.

    Raises the engine's error, Cancelled, or OpsError for a run whose runner was killed.
    """
    state = end["state"]
    if state == "succeeded":
        return outcome_from(end["outcome"])
    if state == "failed":
        error = end["error"]
        raise error_of_kind(
            error["kind"],
            one_line(error["what"]),
            one_line(error["why"], limit=700),
            one_line(error["next"]),
        )
    if state == "cancelled" and "forced" in end:
        raise Cancelled(f"run {id} was ended", one_line(end["forced"], limit=700), "inv db.current")
    with database() as door:
        at = access.current(door) or BASE
        working = access.server_processes(door, id) if state == "lost" else ()
    if state == "cancelled":
        why = (
            f"the running revision is rolled back, except for what it had committed; the "
            f"database is at {at}"
        )
        raise Cancelled(f"run {id} was cancelled", why, "inv db.current")
    still = (
        f"its server process {working[0]} is still running"
        if working
        else "none of its server processes is running any more"
    )
    why = f"{still}; the database is at {at}"
    raise OpsError(
        f"run {id} is lost: its runner was killed", why, "inv db.current, then run it again"
    )


def outcome_from(document: Outcome) -> MigrationOutcome:
    """The outcome that the engine reported."""
    return MigrationOutcome(
        document["before"],
        document["after"],
        tuple(Applied(**each) for each in document["applied"]),
        document["run"],
    )
