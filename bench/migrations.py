"""What a run of migrations costs beside bare Alembic: 200 trivial revisions on the same PostgreSQL,
interleaved pairs.

python -m bench.migrations [PAIRS [REVISIONS]]

Both sides run the same revisions, one transaction each (`transaction_per_migration`), into a new
database each time, on a server that flushes its commits as any but a scratch one does. Ours has
everything on: plan, lint, expected locks and duration, advisory lock, limits, checksums, audit.
Told are whole processes (`inv db.upgrade`, `alembic upgrade head`) and the work alone, from plan to
end, after start and imports; each ratio is the median of its pairs' (target: at most 1.25)."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.revisions import copy, write

BARE_ENVIRONMENT = '''"""Alembic's own template, with one transaction a revision."""

from alembic import context
from sqlalchemy import engine_from_config, pool

options = context.config.get_section(context.config.config_ini_section)
engine = engine_from_config(options, prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
'''
# What `inv db.upgrade` does after its start: plan, forecast, run. And the same of bare Alembic.
WORK = """
import sys, time
from pathlib import Path
import ops.migrator.runner, pglast, psycopg, sqlalchemy
from invoke.config import Config
from ops.core.config import load as config
from ops.migrations.lint import review
from ops.migrations.plan import plan_migration
from ops.migrations.run import RunOptions, run_from_here
from ops.migrations.target import MigrationTarget
found = Config(project_location=sys.argv[1], runtime_path=sys.argv[2])
found.load_project()
found.load_runtime()
with MigrationTarget.opened(config.read(found, Path(sys.argv[1]))) as target:
    began = time.perf_counter()
    plan = plan_migration(target, "upgrade", None)
    review(target, plan).as_text()
    run_from_here(target, plan, RunOptions(), print)
    print(time.perf_counter() - began)
"""
BARE_WORK = """
import time
import alembic.command, alembic.config, psycopg, sqlalchemy.dialects.postgresql.psycopg
found = alembic.config.Config("alembic.ini")
began = time.perf_counter()
alembic.command.upgrade(found, "head")
print(time.perf_counter() - began)
"""
CONFIGURATION = """
env: bench
environments:
  bench:
    account: "123456789012"
    region: us-east-1
    cluster: none
    services: {{}}
    database: {{run: local, host: {host}, port: {port}, name: {name}, sslmode: disable}}
"""


@dataclass(frozen=True)
class Ground:
    """A server, and two folders with the same revisions: ours, and bare Alembic's. `words`: libpq's
    parameters of its superuser.
    """

    folder: Path
    words: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "INVOKE_", "PG", "PYTHON"))
        }
        return {**clean, "PGUSER": self.words["user"], "PGPASSWORD": self.words["password"]}

    def ours(self, name: str) -> tuple[list[str], list[str], Path]:
        """`inv db.upgrade`, its work alone, and where."""
        folder, file = self.folder / "ours", self.folder / "bench.yaml"
        file.write_text(
            CONFIGURATION.format(host=self.words["host"], port=self.words["port"], name=name),
            encoding="utf-8",
        )
        whole = [
            sys.executable,
            "-m",
            "invoke",
            "--search-root",
            str(folder),
            "-f",
            str(file),
            "db.upgrade",
            "--yes",
        ]
        return whole, [sys.executable, "-c", WORK, str(folder), str(file)], folder

    def bare(self, name: str) -> tuple[list[str], list[str], Path]:
        """`alembic upgrade head`, its work alone, and where."""
        url = f"postgresql+psycopg:///{name}?host={self.words['host']}&port={self.words['port']}"
        folder = self.folder / "bare"
        (folder / "alembic.ini").write_text(
            f"[alembic]\nscript_location = %(here)s/alembic\nsqlalchemy.url = {url}\n",
            encoding="utf-8",
        )
        return (
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            [sys.executable, "-c", BARE_WORK],
            folder,
        )

    def seconds(self, side: str, name: str, alone: bool) -> float:
        """Of one side into a new database."""
        whole, work, folder = (self.ours if side == "ours" else self.bare)(self.fresh(name))
        command = work if alone else whole
        began = time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False
        )
        taken = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return float(done.stdout.splitlines()[-1]) if alone else taken

    def fresh(self, name: str) -> str:
        import psycopg

        with psycopg.connect(autocommit=True, **self.words) as opened:
            opened.execute(f"CREATE DATABASE {name}")
        return name

    def durable(self) -> None:
        """Commits reach the disk, as on any server that is not a scratch one."""
        import psycopg

        with psycopg.connect(autocommit=True, **self.words) as opened:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                opened.execute(f"ALTER SYSTEM SET {name} = on")
            opened.execute("SELECT pg_reload_conf()")

    def tables(self, name: str) -> int:
        import psycopg

        with psycopg.connect(**{**self.words, "dbname": name}) as opened:
            row = opened.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename "
                "~ '^t[0-9]+$'"
            ).fetchone()
            return int(row[0]) if row else 0


def prepare(folder: Path, revisions: int) -> None:
    """Both folders, with `revisions` of them."""
    ours = copy(folder / "ours") / "alembic" / "versions"
    shutil.rmtree(ours)
    (folder / "bare" / "alembic").mkdir(parents=True)
    (folder / "bare" / "alembic" / "env.py").write_text(BARE_ENVIRONMENT, encoding="utf-8")
    for versions in (ours, folder / "bare" / "alembic" / "versions"):
        write(versions, 1, revisions)


def pairs(ground: Ground, count: int, revisions: int, alone: bool) -> list[tuple[float, float]]:
    """(ours, bare) in seconds, in turn; the first pair warms up (bytecode) and does not count."""
    found = []
    for number in range(count + 1):
        names = {
            side: f"{side}_{'work' if alone else 'whole'}_{number}" for side in ("ours", "bare")
        }
        found.append(
            (
                ground.seconds("ours", names["ours"], alone),
                ground.seconds("bare", names["bare"], alone),
            )
        )
        for name in names.values():
            if ground.tables(name) != revisions:
                raise SystemExit(f"{name}: {ground.tables(name)} of {revisions} tables are there")
    return found[1:]


def main(count: int, revisions: int) -> None:
    from ops.postgres.server import scratch

    print(f"{revisions} revisions (medians of {count} interleaved pairs)")
    with tempfile.TemporaryDirectory(prefix="bench-migrations-") as home:
        prepare(Path(home), revisions)
        with scratch.cluster(Path(home) / "ours" / "alembic") as cluster:
            ground = Ground(Path(home), cluster.door.target.parameters)
            ground.durable()
            for what, alone in (("whole processes", False), ("the work alone", True)):
                taken = pairs(ground, count, revisions, alone)
                ours, bare = (statistics.median(side) for side in zip(*taken, strict=True))
                print(
                    f"{what}: ours {ours:.2f} s, alembic {bare:.2f} s, ratio "
                    f"{statistics.median(a / b for a, b in taken):.2f}"
                )


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [5, 200][len(given) :]))
