"""Rules of the database, on documents as RDS, ECS and PostgreSQL send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ops.diagnosis.model import Diagnosed
from ops.diagnosis.rules.database.texts import problem_of
from ops.postgres.activity import hide_literals
from tests.diagnosis.database_incidents import (
    MESSAGES,
    STARTED,
    check,
    event,
    failing,
    healthy,
    ingress,
    session,
)
from tests.diagnosis.incidents import causes, find

World = dict[str, Any]


def only(documents: World, cause: str) -> Diagnosed:
    """The diagnosis has this one root cause."""
    found = find(documents)
    assert causes(found) == [cause]
    return found.roots[0]


def texts(found: Diagnosed) -> str:
    return "\n".join(each.text for each in found.candidate.finding.evidence)


def test_nothing_is_found_in_a_healthy_database() -> None:
    assert causes(find(healthy())) == []


@pytest.mark.parametrize("key", ["rds/instance", "rds/security-groups", "secret", "ecs/tasks"])
def test_nothing_follows_from_an_unknown_document(key: str) -> None:
    documents = failing(healthy(), "password", "timeout")
    documents["rds/security-groups"]["sg-db"]["IpPermissions"] = []
    documents["secret"]["LastChangedDate"] = "2026-11-28T02:00:00+00:00"
    del documents[key]
    found = find(documents, {key: "denied"})
    gone = {
        "rds/instance": "database_security_group_closed",
        "rds/security-groups": "database_security_group_closed",
        "secret": "database_password_rotated",
        "ecs/tasks": "database_password_rotated",
    }[key]
    assert gone not in causes(found)


def storage_full(documents: World) -> None:
    documents["rds/instance"]["DBInstanceStatus"] = "storage-full"


def storage_low(documents: World) -> None:
    documents["rds/free-storage"][0]["Minimum"] = 1e6
    failing(documents, connected=False)


@pytest.mark.parametrize(
    ("change", "confidence"), [(storage_full, "certain"), (storage_low, "likely")]
)
def test_full_storage_is_found_with_a_complete_command(
    change: Callable[[World], None], confidence: str
) -> None:
    documents = healthy()
    change(documents)
    finding = only(documents, "database_storage_full").candidate.finding
    assert finding.confidence == confidence
    assert "--db-instance-identifier dev-db --allocated-storage 30" in finding.fix[0]


def test_low_storage_without_a_symptom_is_no_cause() -> None:
    documents = healthy()
    documents["rds/free-storage"][0]["Minimum"] = 1e6
    assert causes(find(documents)) == []


STARTED_EVENT = "Multi-AZ instance failover started."
COMPLETED_EVENT = "Multi-AZ instance failover completed."


@pytest.mark.parametrize(
    ("started", "completed", "message", "connected", "expected"),
    [
        ("02:58", "", "", False, ["database_failing_over"]),
        ("02:58", "02:59", "read_only", True, ["database_failing_over"]),
        ("02:58", "02:59", "timeout", False, ["database_failing_over"]),
        ("02:58", "02:59", "", False, []),  # over, and nothing shows that clients missed it
        ("02:50", "02:51", "read_only", True, []),  # over for too long
        ("01:00", "", "", False, []),
    ],
)
def test_a_failover_is_a_cause_while_clients_fail(
    started: str, completed: str, message: str, connected: bool, expected: list[str]
) -> None:
    documents = failing(healthy(), *filter(None, [message]), connected=connected)
    times = {STARTED_EVENT: started, COMPLETED_EVENT: completed}
    documents["rds/events"] = [
        event(text, f"2026-11-28T{at}:00+00:00", "failover") for text, at in times.items() if at
    ]
    assert causes(find(documents)) == expected


def test_a_past_failover_of_a_healthy_platform_is_no_cause() -> None:
    documents = healthy()
    documents["rds/events"] = [event(STARTED_EVENT, "2026-11-28T02:59:00+00:00", "failover")]
    assert causes(find(documents)) == []


@pytest.mark.parametrize(
    ("status", "connected", "expected"),
    [
        ("rebooting", False, ["database_unavailable"]),
        ("upgrading", True, ["database_unavailable"]),
        ("maintenance", False, ["database_unavailable"]),
        ("modifying", True, []),
        ("backing-up", True, []),
        ("storage-optimization", True, []),
        ("stopped", False, []),  # database_stopped is the health check's
    ],
)
def test_rds_at_work_is_a_cause_if_it_does_not_answer(
    status: str, connected: bool, expected: list[str]
) -> None:
    documents = failing(healthy(), connected=connected)
    documents["rds/instance"]["DBInstanceStatus"] = status
    documents["rds/events"] = [
        event("Applying off-line patches to DB instance", "2026-11-28T02:55:00+00:00")
    ]
    found = find(documents)
    assert causes(found) == expected
    if expected:
        assert "off-line patches" in texts(found.roots[0])


@pytest.mark.parametrize("message", ["timeout", "node_timeout"])
def test_a_closed_security_group_is_found(message: str) -> None:
    documents = failing(healthy(), message)
    documents["rds/security-groups"]["sg-db"]["IpPermissions"] = [
        ingress(3306, "sg-tasks"),
        ingress(5432, "sg-other"),
        ingress(5432, span="192.168.0.0/16"),
    ]
    found = only(documents, "database_security_group_closed")
    finding = found.candidate.finding
    assert finding.confidence == "certain" and found.candidate.service == "backend"
    assert "authorize-security-group-ingress --group-id sg-db" in finding.fix[0]
    assert "tcp 5432-5432 sg-other" in texts(found) and MESSAGES[message] in texts(found)


def test_closed_egress_of_the_tasks_is_found() -> None:
    documents = failing(healthy(), "timeout")
    groups = documents["rds/security-groups"]
    groups["sg-tasks"]["IpPermissionsEgress"] = [ingress(443, span="0.0.0.0/0")]
    finding = only(documents, "database_security_group_closed").candidate.finding
    assert "authorize-security-group-egress --group-id sg-tasks" in finding.fix[0]


@pytest.mark.parametrize(
    "rules",
    [
        [ingress(5432, "sg-tasks")],
        [ingress(5000, "sg-tasks", to=6000)],
        [ingress(5432, span="10.0.0.0/16")],
        [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-tasks"}]}],
        [{**ingress(5432), "PrefixListIds": [{"PrefixListId": "pl-1"}]}],
    ],
)
def test_an_open_security_group_is_no_cause(rules: list[Any]) -> None:
    documents = failing(healthy(), "timeout")
    documents["rds/security-groups"]["sg-db"]["IpPermissions"] = rules
    assert "database_security_group_closed" not in causes(find(documents))


def test_a_closed_group_without_a_symptom_is_no_cause() -> None:
    """Tasks may reach the database by a proxy of another group."""
    documents = healthy()
    documents["rds/security-groups"]["sg-db"]["IpPermissions"] = []
    assert causes(find(documents)) == []


def rotated(documents: World) -> None:
    documents["secret"]["LastChangedDate"] = "2026-11-28T02:00:00+00:00"


def test_tasks_older_than_the_password_are_found() -> None:
    documents = failing(healthy(), "password")
    rotated(documents)
    found = only(documents, "database_password_rotated")
    assert found.candidate.finding.fix == ("inv backend.restart",)
    assert "2026-11-28T02:00:00+00:00" in texts(found) and STARTED in texts(found)


@pytest.mark.parametrize(
    ("newer", "message", "connected"),
    [
        pytest.param(False, "password", True, id="secret older than the tasks"),
        pytest.param(True, "timeout", True, id="another text"),
        pytest.param(True, "password", False, id="the current password fails too"),
    ],
)
def test_another_rejected_password_is_no_rotation(
    newer: bool, message: str, connected: bool
) -> None:
    documents = failing(healthy(), message, connected=connected)
    if newer:
        rotated(documents)
    assert "database_password_rotated" not in causes(find(documents))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("no_tls", "refuses connections without TLS"),
        ("self_signed", "does not trust"),
        ("no_ssl", "requires TLS"),
    ],
)
def test_tls_is_named_by_the_words_of_the_driver(message: str, words: str) -> None:
    documents = failing(healthy(), message)
    documents["database/activity"]["settings"]["force_ssl"] = "1"
    found = only(documents, "database_tls")
    assert words in found.candidate.finding.summary
    assert {MESSAGES[message], "1"} <= set(texts(found).splitlines())


def test_a_missing_entry_for_an_encrypted_client_is_not_tls() -> None:
    assert "database_tls" not in causes(find(failing(healthy(), "no_entry")))


def test_old_errors_in_the_log_of_a_healthy_service_are_no_cause() -> None:
    documents = failing(healthy(), *MESSAGES)
    documents["sweep"]["checks"] = [check("db", "connection", status="ok")]
    rotated(documents)
    assert causes(find(documents)) == []


@pytest.mark.parametrize(
    ("address", "whose", "fix"),
    [
        ("10.0.1.2", "a task of backend", "inv backend.restart"),
        ("10.9.9.9", "no task of ours", "run in psql, through inv db.tunnel: SELECT"),
    ],
)
def test_taken_connections_are_counted_by_client(address: str, whose: str, fix: str) -> None:
    documents = healthy()
    documents["database/activity"]["sessions"] = [
        session(10),
        *(session(pid, application="reports", address=address) for pid in range(20, 66)),
    ]
    finding = only(documents, "connections_exhausted").candidate.finding
    assert "47 of 50" in finding.summary and whose in finding.summary
    assert (
        finding.fix[0].startswith(fix) and "46 sessions of shop/reports" in finding.evidence[0].text
    )


def test_few_connections_are_no_cause() -> None:
    documents = healthy()
    documents["database/activity"]["sessions"] = [session(pid) for pid in range(40)]
    assert causes(find(documents)) == []


def test_a_refused_connection_is_exhaustion_although_nothing_can_be_read() -> None:
    documents = failing(healthy(), "exhausted", connected=False)
    documents["sweep"]["checks"][1]["detail"] = MESSAGES["exhausted"]
    del documents["database/activity"]
    found = find(documents, {"database/activity": MESSAGES["exhausted"]})
    assert causes(found) == ["connections_exhausted"]


IDLE = {"state": "idle in transaction", "transaction_s": 900.0, "state_s": 890.0}
WAITING = {"state": "active", "state_s": 60.0, "transaction_s": 60.0}


def blocked(*sessions: Any, **parts: Any) -> World:
    documents = healthy()
    documents["database/activity"].update(sessions=list(sessions), **parts)
    return documents


def test_the_root_of_a_queue_is_named_not_its_middle() -> None:
    documents = blocked(
        session(20, application="psql", address="10.9.9.9", **IDLE),
        session(21, blocked_by=[20], **WAITING),
        session(22, blocked_by=[21, 20], **WAITING),
        locks=[{"pid": 20, "relation": "public.orders", "mode": "ExclusiveLock", "granted": True}],
    )
    found = only(documents, "transaction_blocks")
    assert "pid 20" in found.candidate.finding.summary
    assert "2 sessions" in found.candidate.finding.summary
    assert "public.orders ExclusiveLock" in texts(found)
    assert found.candidate.finding.fix[-1].endswith(": SELECT pg_terminate_backend(20);")


@pytest.mark.parametrize(
    "sessions",
    [
        [session(20, **IDLE)],  # blocks nobody
        [session(20, **IDLE), session(21, blocked_by=[20], **{**WAITING, "state_s": 0.5})],
        [session(20, blocked_by=[21], **WAITING), session(21, blocked_by=[20], **WAITING)],
    ],
)
def test_a_short_wait_or_none_is_no_cause(sessions: list[Any]) -> None:
    assert causes(find(blocked(*sessions))) == []


HOLDER = "db.upgrade 1f3c since 2026-11-28T02:00:00Z by sam@laptop"


@pytest.mark.parametrize(
    ("state", "confidence", "word"),
    [
        (IDLE, "certain", "abandoned"),
        ({"state": "active", "state_s": 1.0, "transaction_s": 3.0}, "likely", "running"),
    ],
)
def test_a_blocking_migration_is_told_from_other_transactions(
    state: World, confidence: str, word: str
) -> None:
    holder = {"pid": 19, "user": "shop", "application": HOLDER, "address": "", "since": ""}
    documents = blocked(
        session(19, application=HOLDER),
        session(20, application="db.upgrade 1f3c 2", **state),
        session(21, blocked_by=[20], **WAITING),
        migration=[holder],
    )
    found = only(documents, "migration_blocks")
    assert found.candidate.finding.confidence == confidence
    assert word in found.candidate.finding.summary and HOLDER in texts(found)


def test_a_prepared_transaction_is_found_behind_pid_0() -> None:
    prepared = {"gid": "order-7", "owner": "shop", "age_s": 60.0, "locks": ["orders ExclusiveLock"]}
    documents = blocked(session(21, blocked_by=[0], **WAITING), prepared=[prepared])
    found = only(documents, "prepared_transaction_blocks")
    assert found.candidate.finding.fix[-1].endswith(": ROLLBACK PREPARED 'order-7';")
    assert causes(find(blocked(session(21), prepared=[prepared]))) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'FATAL: no pg_hba.conf entry for host "::1", user "a", database "b", SSL off',
            "tls_required",
        ),
        ("FATAL: remaining connection slots are reserved for roles with SUPERUSER", "exhausted"),
        ("FATAL: the database system is starting up", "starting"),
        ("org.postgresql.util.PSQLException: PKIX path building failed", "certificate"),
        ("GET https://api.example: self-signed certificate", None),
        ("order 53300 was shipped", None),
        ("request timed out after 30 s", None),
    ],
)
def test_texts_of_drivers(text: str, problem: str | None) -> None:
    assert problem_of(text) == problem


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "SELECT * FROM t WHERE mail = 'ann@x.org' AND n = 42",
            "SELECT * FROM t WHERE mail = '?' AND n = ?",
        ),
        ("UPDATE t1 SET a = 'it''s'\n  WHERE b = $1", "UPDATE t1 SET a = '?' WHERE b = $1"),
        ("DO $x$ secret $x$", "DO '?'"),
        ("SELECT 'cut off in the mid", "SELECT '?'"),
    ],
)
def test_literals_of_statements_are_hidden(statement: str, expected: str) -> None:
    assert hide_literals(statement) == expected
