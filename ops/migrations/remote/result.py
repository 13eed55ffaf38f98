"""How a run on the bastion ended: an outcome, or the error that it is. Where its runner did not
live to say, the database is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ops.core.errors import Cancelled, OpsError, error_of_kind
from ops.core.redaction.redact import one_line
from ops.migrations.plan import BASE
from ops.postgres import access
from ops.postgres.access import Applied, DatabaseAccess, MigrationOutcome


def outcome(
    id: str, end: dict[str, Any], database: Callable[[], AbstractContextManager[DatabaseAccess]]
) -> MigrationOutcome:
    """A run's end as a value. Raises what the engine meant; Cancelled; OpsError for a run that is
    lost.
    """
    state = end["state"]
    if state == "succeeded":
        found = end["outcome"]
        return MigrationOutcome(
            found["before"],
            found["after"],
            tuple(Applied(**each) for each in found["applied"]),
            found["run"],
        )
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
            f"the revision at work is rolled back, except for what it had committed; the "
            f"database is at {at}"
        )
        raise Cancelled(f"run {id} was cancelled", why, "inv db.current")
    still = (
        f"its server process {working[0]} still works"
        if working
        else "nothing of it works in the database any more"
    )
    why = f"{still}; the database is at {at}"
    raise OpsError(
        f"run {id} is lost: its runner was killed", why, "inv db.current, then run it again"
    )
