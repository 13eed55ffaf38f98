"""Name what a waiting revision waits for, while it waits, and cancel it when the time is up.

After a lock timeout the server no longer knows it. A prepared transaction is in no
pg_stat_activity: pg_blocking_pids gives 0 for it, and all of this database are named.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

_POLL_S = 0.4
_SELECT_BLOCKERS = """
WITH RECURSIVE waits(pid, blocker) AS (
    SELECT %(pid)s::int, b FROM unnest(pg_blocking_pids(%(pid)s)) b
    UNION
    SELECT w.blocker, b FROM waits w, unnest(pg_blocking_pids(w.blocker)) b WHERE w.blocker <> 0
), roots AS (
    SELECT DISTINCT blocker FROM waits w
    WHERE blocker <> %(pid)s AND NOT EXISTS (SELECT FROM waits o WHERE o.pid = w.blocker)
)
SELECT r.blocker, a.usename, a.application_name, a.state,
       to_char(a.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS')
FROM roots r LEFT JOIN pg_stat_activity a ON a.pid = r.blocker ORDER BY 1
"""
_SELECT_PREPARED = """
SELECT gid, owner, to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared
"""


@dataclass(frozen=True)
class Blocker:
    """A session or a prepared transaction that others wait for; `end` is the SQL that ends it."""

    text: str
    end: str


def read_blockers(opened: psycopg.Connection[Any], pid: int) -> tuple[Blocker, ...]:
    """What the server process `pid` waits for, at the root; empty if it does not wait."""
    found: list[Blocker] = []
    for blocker, user, application, state, since in opened.execute(
        _SELECT_BLOCKERS, {"pid": pid}
    ).fetchall():
        if blocker == 0:
            found += _prepared(opened)
            continue
        about = [application or "an unnamed application"]
        about += [f"user {user}"] if user else []
        about += [f"{state} since {since} UTC"] if state and since else []
        found.append(
            Blocker(
                f"server process {blocker} ({', '.join(about)})",
                f"SELECT pg_terminate_backend({blocker})",
            )
        )
    return tuple(found)


def _prepared(opened: psycopg.Connection[Any]) -> Iterator[Blocker]:
    for gid, owner, since in opened.execute(_SELECT_PREPARED).fetchall():
        quoted = "'" + str(gid).replace("'", "''") + "'"
        yield Blocker(
            f"prepared transaction {quoted} (of {owner}, since {since} UTC)",
            f"ROLLBACK PREPARED {quoted}, or COMMIT PREPARED {quoted}",
        )


@dataclass
class RevisionWatch:
    """Polls, in a thread, what the current revision waits for, and whether time is left.

    `statement_timeout` limits one statement only: beyond the run's time limit, each statement of
    the revision is cancelled. `pid`: the server process of the revision, None between two of them.
    `last`: what it waited for most recently.
    """

    opened: psycopg.Connection[Any]
    say: Callable[[str], None]
    lock_timeout_s: float
    time_left: Callable[[], float]
    pid: int | None = None
    last: tuple[Blocker, ...] = ()
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._poll, name="blockers", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(5)

    @contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        """Watch one revision."""
        self.pid, self.last = pid, ()
        try:
            yield
        finally:
            self.pid = None

    def _poll(self) -> None:
        pause = min(_POLL_S, self.lock_timeout_s / 3 or _POLL_S)
        while not self._ended.wait(pause):
            pid = self.pid
            if pid is None:
                continue
            try:
                if self.time_left() <= 0:
                    self.opened.execute("SELECT pg_cancel_backend(%s)", (pid,))
                found = read_blockers(self.opened, pid)
            except psycopg.Error:  # the run itself notices a lost connection
                return
            if found and found != self.last:
                self.last = found
                for each in found:
                    self.say(f"  waits for {each.text}")
