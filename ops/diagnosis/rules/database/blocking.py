"""Causes of blocked statements: the session, migration or transaction at the root of the queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.database.clients import sessions_text
from ops.diagnosis.rules.database.symptoms import CLIENTS_FAIL, activity, service_of

Session = Mapping[str, Any]
_WAITING_S = 2.0  # a statement that waits less may be part of normal work
_PREPARED = 0  # how pg_blocking_pids names a prepared transaction
_MIGRATIONS = (
    "db.upgrade ",
    "db.downgrade ",
    "db.adopt ",
)  # how the application_name of a migration begins (ops.migrator.lock)


def blocked(incident: Incident) -> list[Session]:
    """The sessions that have waited for a lock for some time."""
    return [
        each
        for each in activity(incident, "sessions") or ()
        if each["blocked_by"] and (each["state_s"] or 0) >= _WAITING_S
    ]


def roots_of(incident: Incident) -> set[int]:
    """The pids at the root of the queues; 0 stands for a prepared transaction."""
    every = {each["pid"]: each for each in activity(incident, "sessions") or ()}
    found: set[int] = set()
    for waiting in blocked(incident):
        seen: set[int] = set()
        open_pids = list(waiting["blocked_by"])
        while open_pids:
            pid = open_pids.pop()
            if pid in seen:
                continue
            seen.add(pid)
            above = (every.get(pid) or {}).get("blocked_by")
            if above:
                open_pids += above
            else:
                found.add(pid)
    return found


def _sessions(incident: Incident, pids: Iterable[int]) -> list[Session]:
    wanted = set(pids)
    return [each for each in activity(incident, "sessions") or () if each["pid"] in wanted]


def _migration_pids(incident: Incident) -> set[int]:
    """Sessions of migrations: the holder of the runner's lock, and sessions of its run."""
    holders = {each["pid"] for each in activity(incident, "migration") or ()}
    runs = {
        words[1]
        for each in activity(incident, "migration") or ()
        if len(words := str(each["application"]).split()) > 1
    }
    return holders | {
        each["pid"]
        for each in activity(incident, "sessions") or ()
        if str(each["application"]).startswith(_MIGRATIONS)
        or any(run in str(each["application"]) for run in runs)
    }


@cause(
    "transaction_blocks",
    layer="database",
    symptoms="Pages hang or are slow; statements wait for a lock of an open transaction.",
    cure="End the transaction that the finding names; set idle_in_transaction_session_timeout.",
    explains=CLIENTS_FAIL,
)
def transaction_blocks(incident: Incident) -> Iterator[Candidate]:
    """An open transaction, at the root of the queue, blocks other sessions."""
    migrations = _migration_pids(incident)
    for root in _sessions(incident, roots_of(incident) - migrations):
        holder = service_of(incident, root["address"] or "")
        whose = f" of {holder}" if holder else ""
        idle = str(root["state"]).startswith("idle in transaction")
        end = f"SELECT pg_terminate_backend({root['pid']});"
        finding = Finding(
            "transaction_blocks",
            f"PostgreSQL: {'an idle' if idle else 'a running'} transaction{whose} (pid "
            f"{root['pid']}, {root['user']}/{root['application'] or 'unnamed'}) blocks "
            f"{_count(incident)}",
            "certain",
            tuple(_evidence(incident, root)),
            (f"run in psql, through inv db.tunnel: {end}",),
        )
        because = (
            "it waits for nothing itself, and does nothing: its client left it open"
            if idle
            else "it waits for nothing itself; the others wait for its locks"
        )
        yield Candidate(finding, because=because)


@cause(
    "migration_blocks",
    layer="database",
    symptoms="Pages hang during a migration, or after one whose runner was lost.",
    cure="Wait for a migration that works; end the session of one that is idle in a transaction.",
    explains=CLIENTS_FAIL,
)
def migration_blocks(incident: Incident) -> Iterator[Candidate]:
    """A migration is at the root of the queue: abandoned (idle), or at work."""
    roots = roots_of(incident) & _migration_pids(incident)
    for root in _sessions(incident, roots):
        idle = str(root["state"]).startswith("idle in transaction")
        runs = [
            evidence(
                "ops_migrations.runs",
                each["verb"],
                each["run"],
                each["result"],
                f"by {each['by']}@{each['host']}",
                at=str(each["began_at"]),
            )
            for each in (activity(incident, "history") or ())[:1]
        ]
        holders = [
            evidence("advisory lock of migrations", f"pid {each['pid']}", each["application"])
            for each in activity(incident, "migration") or ()
        ]
        end = f"SELECT pg_terminate_backend({root['pid']});"
        finding = Finding(
            "migration_blocks",
            f"PostgreSQL: {'an abandoned' if idle else 'a running'} migration (pid {root['pid']}, "
            f"{root['application']}) blocks {_count(incident)}",
            "certain" if idle else "likely",
            (*_evidence(incident, root), *holders, *runs),
            ("inv db.history", f"run in psql, through inv db.tunnel: {end}")
            if idle
            else ("inv db.history", "inv db.ping"),
        )
        because = (
            "its session is idle in a transaction: no runner works on it"
            if idle
            else "its session is working; its locks end with its transaction"
        )
        yield Candidate(finding, because=because)


@cause(
    "prepared_transaction_blocks",
    layer="database",
    symptoms="Statements wait for a lock that no session holds.",
    cure="COMMIT PREPARED or ROLLBACK PREPARED, as its coordinator decides.",
    explains=CLIENTS_FAIL,
)
def prepared_transaction_blocks(incident: Incident) -> Iterator[Candidate]:
    """A prepared transaction, which outlives its session, holds the locks."""
    prepared = activity(incident, "prepared") or ()
    if _PREPARED not in roots_of(incident) or not prepared:
        return
    holding = [each for each in prepared if each["locks"]] or list(prepared)
    items = [
        evidence(
            "pg_prepared_xacts",
            f"{each['gid']} of {each['owner']}, prepared {each['age_s']:.0f} s ago:",
            ", ".join(each["locks"]),
        )
        for each in holding
    ]
    gid = str(holding[0]["gid"]).replace("'", "''")
    finding = Finding(
        "prepared_transaction_blocks",
        f"PostgreSQL: the prepared transaction {holding[0]['gid']} blocks {_count(incident)}",
        "certain" if len(holding) == 1 else "likely",
        (*items, *_waiting(incident)),
        (f"run in psql, through inv db.tunnel: ROLLBACK PREPARED '{gid}';",),
    )
    yield Candidate(
        finding, because="pg_blocking_pids names no session (0), so none holds the lock"
    )


def _count(incident: Incident) -> str:
    count = len(blocked(incident))
    return f"{count} session{'s' if count != 1 else ''}"


def _evidence(incident: Incident, root: Session) -> Iterator[Evidence]:
    yield evidence("pg_stat_activity", sessions_text(root))
    for each in activity(incident, "locks") or ():
        if each["pid"] == root["pid"] and each["granted"]:
            yield evidence(f"pg_locks pid {root['pid']}", each["relation"], each["mode"])
    yield from _waiting(incident)


def _waiting(incident: Incident) -> Iterator[Evidence]:
    for each in blocked(incident)[:3]:
        waits = ", ".join(map(str, each["blocked_by"]))
        yield evidence(
            "pg_blocking_pids", f"{sessions_text(each)}; waits {each['state_s']:.0f} s for {waits}"
        )
