"""A session in a task looks like psycopg's to our reads."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import errors

from ops.database_task.session import TaskSession

# type, OID and PostgreSQL's text of a value, and psycopg's value for it
VALUES: tuple[tuple[str, int, str | None, Any], ...] = (
    ("bool", 16, "t", True),
    ("int8", 20, "42", 42),
    ("float8", 701, "0.25", 0.25),
    ("numeric", 1700, "1.50", Decimal("1.50")),
    ("text", 25, "a b+ü", "a b+ü"),
    ("name", 19, "projects", "projects"),
    ("text[]", 1009, '{a,"b c",NULL}', ["a", "b c", None]),
    ("json", 114, '[{"revision": "0003"}]', [{"revision": "0003"}]),
    ("timestamptz", 1184, "2026-01-02 03:04:05+00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("regclass", 2205, "public.projects", "public.projects"),
    ("null", 25, None, None),
)


def session(*replies: dict[str, Any]) -> tuple[TaskSession, list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []
    left = list(replies)

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return left.pop(0) if left else {"columns": [], "rows": []}

    return TaskSession(ask, 150018), asked


def test_values_are_those_of_psycopg() -> None:
    """By the types' OIDs, for each type that our queries return."""
    columns = [[name, oid] for name, oid, _, _ in VALUES]
    opened, asked = session({"columns": columns, "rows": [[text for _, _, text, _ in VALUES]]})
    row = opened.execute("SELECT …", [["0003"]]).fetchone()
    assert row == tuple(value for _, _, _, value in VALUES)
    assert asked == [{"verb": "query", "sql": "SELECT …", "parameters": [["0003"]]}]


def test_rows_are_read_once() -> None:
    """fetchone, then the rest, then nothing; a cursor with dict_row has names."""
    answer = {"columns": [["id", 20], ["run", 25]], "rows": [["1", "a"], ["2", "b"]]}
    opened, _ = session(answer, answer)
    cursor = opened.execute("SELECT")
    assert cursor.fetchone() == (1, "a") and list(cursor) == [(2, "b")]
    assert cursor.fetchone() is None and cursor.fetchall() == []
    with opened.cursor(row_factory=object()) as named:
        assert named.execute("SELECT").fetchall()[1] == {"id": 2, "run": "b"}


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("42P01", errors.UndefinedTable),
        ("57014", errors.QueryCanceled),
        ("42501", errors.InsufficientPrivilege),
        (None, psycopg.OperationalError),
    ],
)
def test_errors_are_those_of_psycopg(sqlstate: str | None, kind: type[psycopg.Error]) -> None:
    """Callers tell a missing table from a missing right; a lost connection has no SQLSTATE."""
    opened, _ = session({"failed": {"sqlstate": sqlstate, "message": "no"}})
    with pytest.raises(kind, match="no") as failed:
        opened.execute("SELECT")
    assert failed.value.sqlstate == sqlstate


def test_a_transaction_is_read_only_and_ends() -> None:
    """Committed, or rolled back after an error."""
    opened, asked = session()
    opened.read_only = True
    with opened.transaction():
        opened.execute("SELECT 1")
    with pytest.raises(KeyError), opened.transaction():
        raise KeyError
    words = [each["sql"] for each in asked]
    assert words == ["BEGIN READ ONLY", "SELECT 1", "COMMIT", "BEGIN READ ONLY", "ROLLBACK"]
