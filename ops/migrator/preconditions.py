"""Before a run: where it goes, whether it goes from where somebody has looked, and what an earlier
run that was killed left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from ops.migrator import audit, lock
from ops.migrator.model import Direction, Limits, MigrateError
from ops.migrator.revisions.scripts import BASE, Scripts
from ops.migrator.version_table import heads_of


def default_goal(scripts: Scripts, direction: Direction, heads: tuple[str, ...]) -> str:
    if direction == "upgrade":
        return scripts.head or BASE
    if not heads:
        raise MigrateError(
            "refused", "a step back", "no revision is applied", "see: inv db.history"
        )
    return scripts.before(heads[0])


def check_expected_heads(shown: tuple[str, ...] | None, heads: tuple[str, ...]) -> None:
    if shown is not None and shown != heads:
        why = (
            f"it was at {','.join(shown) or BASE} when it was shown, and is at "
            f"{','.join(heads) or BASE} now"
        )
        raise MigrateError(
            "refused",
            "the database has moved",
            why,
            "run it again: it shows what there is to do now",
        )


def mark_lost_runs(
    keeper: psycopg.Connection[Any],
    limits: Limits,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    """Put down runs that were killed as lost, after their last statement has ended."""
    for run, by in audit.lost_runs(keeper):
        lock.wait_until_gone(keeper, run, limits, sleep)
        at = ",".join(heads_of(keeper)) or None
        audit.record_end(keeper, run, "lost", at, "it was killed, or its machine went away")
        say(f"run {run} of {by} was killed; the database is at {at or BASE}")
