"""Which locks a statement takes, by table (PostgreSQL's documentation, "Explicit Locking" and "ALTER TABLE")."""

from __future__ import annotations

import pytest

from ops.rules.locks import locks
from ops.rules.statements import parsed


@pytest.mark.parametrize(
    ("sql", "taken"),
    [
        ("ALTER TABLE public.a ADD COLUMN b text", [("public.a", "ACCESS EXCLUSIVE", "")]),
        ("ALTER TABLE a ADD COLUMN b int DEFAULT 7", [("a", "ACCESS EXCLUSIVE", "")]),
        ("ALTER TABLE a ADD COLUMN b uuid DEFAULT gen_random_uuid()", [("a", "ACCESS EXCLUSIVE", "rewrites")]),
        ("ALTER TABLE a ADD COLUMN b timestamptz DEFAULT now()", [("a", "ACCESS EXCLUSIVE", "")]),
        ("ALTER TABLE a ALTER COLUMN b TYPE bigint", [("a", "ACCESS EXCLUSIVE", "rewrites")]),
        ("ALTER TABLE a ALTER COLUMN b SET NOT NULL", [("a", "ACCESS EXCLUSIVE", "reads")]),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0)", [("a", "ACCESS EXCLUSIVE", "reads")]),
        ("ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID", [("a", "ACCESS EXCLUSIVE", "")]),
        ("ALTER TABLE a VALIDATE CONSTRAINT c", [("a", "SHARE UPDATE EXCLUSIVE", "reads")]),
        ("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES d (id)", [("a", "SHARE ROW EXCLUSIVE", "reads"), ("d", "SHARE ROW EXCLUSIVE", "")]),
        ("CREATE INDEX i ON a (b)", [("a", "SHARE", "reads")]),
        ("CREATE INDEX CONCURRENTLY i ON a (b)", [("a", "SHARE UPDATE EXCLUSIVE", "reads")]),
        ("DROP TABLE a, b", [("a", "ACCESS EXCLUSIVE", ""), ("b", "ACCESS EXCLUSIVE", "")]),
        ("DROP TRIGGER t ON a", [("a", "ACCESS EXCLUSIVE", "")]),
        ("UPDATE a SET b = 1", [("a", "ROW EXCLUSIVE", "")]),
        ("LOCK TABLE a IN SHARE MODE", [("a", "SHARE", "")]),
        ("UPDATE a SET b = 1; ALTER TABLE a ADD COLUMN c text", [("a", "ACCESS EXCLUSIVE", "")]),
        ("CREATE TABLE a (id bigint); CREATE INDEX i ON a (id)", []),
        ("SELECT 1", []),
    ],
)
def test_locks(sql: str, taken: list[tuple[str, str, str]]) -> None:
    """The strongest lock on each table that was there before, and whether every row is read or written meanwhile."""
    assert [(lock.table, lock.mode, lock.work) for lock in locks("0007", parsed(sql))] == taken
