"""The locks that are foretold are those that a real PostgreSQL takes, and a rewrite is one where
the table's file is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.migrations.rules.implied_locks import written_tables
from ops.migrations.rules.lock_modes import ACCESS_EXCLUSIVE, STRENGTH
from ops.migrations.rules.statements import parse
from ops.migrations.rules.table_locks import TableFacts, locks, relation_names
from ops.postgres import access, table_stats
from ops.sandbox.database import Server
from tests.migrator.migrating import QUICK, Project, served

SCHEMA = """
CREATE TABLE d (id bigint PRIMARY KEY);
CREATE TABLE a (id bigint PRIMARY KEY, b int NOT NULL DEFAULT 1, n numeric(10, 2), t text, v varchar(100), "Camel" varchar(10));
CREATE INDEX i ON a (b);
CREATE UNIQUE INDEX u ON a (id, b);
ALTER TABLE a ADD CONSTRAINT later CHECK (b > 0) NOT VALID;
CREATE TABLE parts (id bigint) PARTITION BY LIST (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part2 (id bigint);
CREATE MATERIALIZED VIEW m AS SELECT id FROM a;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER g BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION f();
INSERT INTO a (id) SELECT generate_series(1, 50);
CREATE TABLE parent (id bigint PRIMARY KEY, name text CONSTRAINT name_key UNIQUE);
CREATE TABLE child (id bigint PRIMARY KEY, parent bigint CONSTRAINT child_parent REFERENCES parent
    ON DELETE CASCADE);
CREATE TABLE grandchild (id bigint, child bigint REFERENCES child ON DELETE CASCADE, name text);
CREATE TABLE cousin (id bigint, parent bigint REFERENCES parent ON DELETE SET NULL, child bigint);
CREATE TABLE named (name text CONSTRAINT named_name REFERENCES parent (name) ON UPDATE CASCADE);
INSERT INTO parent VALUES (1, 'x'), (2, 'y');
INSERT INTO child VALUES (1, 1);
INSERT INTO grandchild VALUES (1, 1);
INSERT INTO cousin VALUES (1, 1);
INSERT INTO named VALUES ('y');
"""
HELD = """
SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND n.nspname = 'public' AND c.relkind IN ('r', 'm', 'p')
"""
FILES = """
SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm', 'p')
"""
STATEMENTS = [
    "ALTER TABLE a ADD COLUMN x text",
    "ALTER TABLE a ADD COLUMN x int NOT NULL DEFAULT 7",
    "ALTER TABLE a ADD COLUMN x uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE a ADD COLUMN x text DEFAULT gen_random_uuid()::text",
    "ALTER TABLE a ADD COLUMN x timestamptz DEFAULT now()",
    "ALTER TABLE a ADD COLUMN x text DEFAULT upper('x') || CURRENT_USER",
    "ALTER TABLE a ADD COLUMN x bigserial",
    "ALTER TABLE a ADD COLUMN x bigint GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE a ADD COLUMN x int GENERATED ALWAYS AS (b + 1) STORED",
    "ALTER TABLE a ADD COLUMN x bigint REFERENCES d",
    "ALTER TABLE a ALTER COLUMN b TYPE bigint",
    "ALTER TABLE a ALTER COLUMN v TYPE varchar(200)",
    "ALTER TABLE a ALTER COLUMN v TYPE varchar(50)",
    "ALTER TABLE a ALTER COLUMN v TYPE text",
    'ALTER TABLE a ALTER COLUMN "Camel" TYPE varchar',
    "ALTER TABLE a ALTER COLUMN t TYPE varchar",
    "ALTER TABLE a ALTER COLUMN t TYPE varchar(90)",
    "ALTER TABLE a ALTER COLUMN n TYPE numeric(12, 2)",
    "ALTER TABLE a ALTER COLUMN n TYPE numeric(12, 3)",
    "ALTER TABLE a ALTER COLUMN n TYPE numeric",
    "ALTER TABLE a ALTER COLUMN v TYPE int USING length(v)",
    "ALTER TABLE a ALTER COLUMN t SET STATISTICS 200, ALTER COLUMN t SET (n_distinct = 5)",
    "ALTER TABLE a SET (fillfactor = 70)",
    "ALTER TABLE a SET UNLOGGED",
    "ALTER TABLE a ADD CONSTRAINT c UNIQUE USING INDEX u",
    "ALTER TABLE a ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES d NOT VALID",
    "ALTER TABLE a VALIDATE CONSTRAINT later",
    "ALTER TABLE a DISABLE TRIGGER USER",
    "ALTER TABLE a RENAME COLUMN b TO c",
    "ALTER TABLE parts ATTACH PARTITION part2 FOR VALUES IN (2)",
    "ALTER TABLE parts DETACH PARTITION part1",
    "ALTER INDEX i RENAME TO j",
    "CREATE INDEX k ON a (t)",
    "DROP INDEX i",
    "REINDEX INDEX i",
    "REINDEX TABLE a",
    "CREATE TABLE n (id bigint REFERENCES d, other bigint, FOREIGN KEY (other) REFERENCES a)",
    "CREATE TABLE n PARTITION OF parts FOR VALUES IN (3)",
    "CREATE TABLE n () INHERITS (a)",
    "CREATE TABLE IF NOT EXISTS a (id bigint); ALTER TABLE a ADD COLUMN x text",
    "CREATE STATISTICS s ON b, t FROM a",
    "CREATE POLICY p ON a USING (true)",
    "REFRESH MATERIALIZED VIEW m",
    "DROP TRIGGER g ON a",
    "LOCK TABLE a IN EXCLUSIVE MODE",
    "LOCK TABLE a IN ACCESS SHARE MODE",
    "UPDATE a SET b = 1",
    "MERGE INTO a USING d ON a.id = d.id WHEN MATCHED THEN DELETE",
    "ANALYZE a",
    "DELETE FROM parent WHERE id = 1",
    "WITH gone AS (DELETE FROM child RETURNING id) SELECT 1",
    "UPDATE parent SET name = 'z' WHERE id = 2",
    "UPDATE parent SET name = 'z' WHERE id = 1; DELETE FROM grandchild",
    "TRUNCATE child CASCADE",
    "DROP TABLE child CASCADE",
    "DROP TABLE named",
    "ALTER TABLE child DROP CONSTRAINT child_parent",
    "ALTER TABLE parent DROP CONSTRAINT name_key CASCADE",
    "ALTER TABLE parent DROP COLUMN name CASCADE",
    "ALTER TABLE named DROP COLUMN name",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from served(tmp_path_factory.mktemp("locks"))


def test_what_is_foretold_is_what_postgres_does(server: Server, tmp_path: Path) -> None:
    """Each statement in a transaction that is taken back: the strongest lock on every table, and
    whether its file is a new one.
    """
    project = Project.make(server, tmp_path / "alembic")
    with psycopg.connect(**project.target.parameters) as opened:
        opened.execute(SCHEMA)
        opened.commit()
        door = access.DatabaseAccess(project.target, QUICK)
        wrong = {}
        for sql in STATEMENTS:
            known, _ = table_stats.read_sizes(
                door, tuple(relation_names(parse(sql))), (), "upgrade"
            )
            around = access.relations(door, tuple(written_tables(parse(sql))))
            told = locks(
                "0007", parse(sql), TableFacts(*table_stats.split_sizes(known), relations=around)
            )
            found = {
                lock.table.rpartition(".")[2]: (lock.mode, lock.work == "rewrites")
                for lock in told
                if lock.table not in ("i", "k")
            }
            real = taken(opened, sql)
            if found != real:
                wrong[sql] = (found, real)
        assert wrong == {}


def taken(opened: psycopg.Connection[Any], sql: str) -> dict[str, tuple[str, bool]]:
    before = files(opened)
    opened.execute(sql)
    held: dict[str, str] = {}
    for table, mode in opened.execute(HELD).fetchall():
        name = (
            "".join(
                f" {letter}" if letter.isupper() else letter for letter in mode.removesuffix("Lock")
            )
            .strip()
            .upper()
        )
        if name in STRENGTH and table in before:
            held[table] = max(held.get(table, name), name, key=STRENGTH.index)
    after = files(opened)
    opened.rollback()
    held |= dict.fromkeys(before.keys() - after.keys(), ACCESS_EXCLUSIVE)  # dropped
    new = {table for table in after if before.get(table, after[table]) != after[table]}
    rewritten = set() if sql.startswith("TRUNCATE") else new
    return {table: (mode, table in rewritten) for table, mode in held.items()}


def files(opened: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(opened.execute(FILES).fetchall())
