"""Checks before a run: the expected heads, and runs that were killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from ops.migrator import audit, lock
from ops.migrator.model import Limits, MigrateError
from ops.migrator.revisions.scripts import BASE
from ops.migrator.version_table import heads_of


def check_expected_heads(expected: tuple[str, ...] | None, heads: tuple[str, ...]) -> None:
    """Raise MigrateError (refused) if the database is not at the heads that were confirmed."""
    if expected is not None and expected != heads:
        why = (
            f"it was at {','.join(expected) or BASE} when you confirmed, and is at "
            f"{','.join(heads) or BASE} now"
        )
        raise MigrateError(
            "refused",
            "the database has moved",
            why,
            "run it again to see the current plan",
        )


def mark_lost_runs(
    lock_connection: psycopg.Connection[Any],
    limits: Limits,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    """Record killed runs as lost, after their last statement has ended."""
    for run, by in audit.lost_runs(lock_connection):
        lock.wait_until_gone(lock_connection, run, limits, sleep)
        at = ",".join(heads_of(lock_connection)) or None
        audit.record_end(
            lock_connection, run, "lost", at, "it was killed, or its machine went away"
        )
        say(f"run {run} of {by} was killed; the database is at {at or BASE}")
