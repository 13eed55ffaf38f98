"""What a run of migrations costs beside bare Alembic: 200 trivial revisions on the same PostgreSQL, whole processes, interleaved pairs.

python -m bench.migrations [PAIRS [REVISIONS]]

Both sides run the same revisions, one transaction each (`transaction_per_migration`), into a new database each time. Ours has everything
on: plan, lint, expected locks, advisory lock, limits, checksums, audit. The ratio is the median of the pairs' (target: at most 1.25).
"""

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
with engine_from_config(options, prefix="sqlalchemy.", poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
'''
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
    """A server, and two folders with the same revisions: ours, and bare Alembic's. `words`: libpq's parameters of its superuser."""

    folder: Path
    words: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "INVOKE_", "PG", "PYTHON"))}
        return {**clean, "PGUSER": self.words["user"], "PGPASSWORD": self.words["password"]}

    def ours(self, name: str) -> float:
        """`inv db.upgrade`, in seconds."""
        file = self.folder / "bench.yaml"
        file.write_text(CONFIGURATION.format(host=self.words["host"], port=self.words["port"], name=name), encoding="utf-8")
        command = [sys.executable, "-m", "invoke", "--search-root", str(self.folder / "ours"), "-f", str(file), "db.upgrade", "--yes"]
        return self.seconds(command, self.folder / "ours")

    def bare(self, name: str) -> float:
        """`alembic upgrade head`, in seconds."""
        url = f"postgresql+psycopg:///{name}?host={self.words['host']}&port={self.words['port']}"
        folder = self.folder / "bare"
        (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = %(here)s/alembic\nsqlalchemy.url = {url}\n", encoding="utf-8")
        return self.seconds([sys.executable, "-m", "alembic", "upgrade", "head"], folder)

    def seconds(self, command: list[str], folder: Path) -> float:
        began = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        taken = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return taken

    def fresh(self, name: str) -> str:
        import psycopg

        with psycopg.connect(autocommit=True, **self.words) as opened:
            opened.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return name

    def tables(self, name: str) -> int:
        import psycopg

        with psycopg.connect(**{**self.words, "dbname": name}) as opened:
            row = opened.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^t[0-9]+$'").fetchone()
            return int(row[0]) if row else 0


def prepare(folder: Path, revisions: int) -> None:
    """Both folders, with `revisions` of them."""
    ours = copy(folder / "ours") / "alembic" / "versions"
    shutil.rmtree(ours)
    (folder / "bare" / "alembic").mkdir(parents=True)
    (folder / "bare" / "alembic" / "env.py").write_text(BARE_ENVIRONMENT, encoding="utf-8")
    for versions in (ours, folder / "bare" / "alembic" / "versions"):
        write(versions, 1, revisions)


def pairs(ground: Ground, count: int, revisions: int) -> list[tuple[float, float]]:
    """(ours, bare) in seconds, in turn; the first pair warms up (bytecode) and does not count."""
    found = []
    for number in range(count + 1):
        names = {side: ground.fresh(f"{side}{number}") for side in ("ours", "bare")}
        found.append((ground.ours(names["ours"]), ground.bare(names["bare"])))
        for name in names.values():
            if ground.tables(name) != revisions:
                raise SystemExit(f"{name}: {ground.tables(name)} of {revisions} tables are there")
    return found[1:]


def main(count: int, revisions: int) -> None:
    from ops.adapters import scratch

    with tempfile.TemporaryDirectory(prefix="bench-migrations-") as home:
        prepare(Path(home), revisions)
        with scratch.cluster(Path(home) / "ours" / "alembic") as cluster:
            taken = pairs(Ground(Path(home), cluster.door.target.parameters), count, revisions)
    ours, bare = (statistics.median(side) for side in zip(*taken, strict=True))
    print(f"{revisions} revisions: inv db.upgrade {ours:.2f} s, alembic upgrade head {bare:.2f} s (medians of {count} interleaved pairs)")
    print(f"ratio {statistics.median(one / other for one, other in taken):.2f}")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [5, 200][len(given):]))
