"""Writing a revision's file: the next number, our own template, and a draft in it, or a legacy SQL
file wrapped as it is.

A legacy file goes to the driver as bytes (`op.execute` would take `:name` for a parameter, and `%`
too). One that begins and ends its own transactions runs outside of ours. What only psql
understands, and what may stand in no transaction, is refused: it would be something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.core.errors import ConfigError, Refused
from ops.core.redaction.redact import redact
from ops.migrations.authoring.autogenerate import Draft
from ops.migrator.model import MigrateError, TargetDatabase
from ops.postgres.access import translate_errors

CONSTANTS = '\nSQL = Path(__file__).with_suffix(".sql")\n'
INSIDE = """context = op.get_context()
    if context.as_sql:
        context.impl.static_output(SQL.read_text(encoding="utf-8"))
        return
    driver = context.connection.connection.driver_connection
    driver.execute(SQL.read_bytes())  # past SQLAlchemy: the file may hold : and %"""
OUTSIDE = """context = op.get_context()
    with context.autocommit_block():  # the file begins and ends its own transactions
        if context.as_sql:
            context.impl.static_output(SQL.read_text(encoding="utf-8"))
            return
        driver = context.connection.connection.driver_connection
        try:
            driver.execute(SQL.read_bytes())  # past SQLAlchemy: the file may hold : and %
        except Exception:
            driver.rollback()
            raise"""
ALONE = re.compile(
    r"\bCONCURRENTLY\b|^(?:VACUUM|ALTER SYSTEM|CREATE DATABASE|DROP DATABASE)\b", re.IGNORECASE
)
COPY = re.compile(r"^COPY\b.*\bFROM STDIN\b", re.IGNORECASE | re.DOTALL)


def write(
    folder: Path, message: str, legacy: Path | None = None, draft: Draft | None = None
) -> tuple[Path, ...]:
    """The files of a new revision after the head. Raises ConfigError (no message, no such file) and
    Refused (what can't be wrapped).
    """
    statement_text(message)
    body = read(legacy) if legacy else None
    from ops.migrator.revisions.scripts import Scripts

    with translate_errors(TargetDatabase(str(folder), {})):
        scripts = Scripts(str(folder), redact)
        number = next_number(scripts.head, list(scripts.applied(scripts.heads)))
        more: dict[str, Any] = dict.fromkeys(("constants", "upgrades", "downgrades", "imports"))
        more["phase"] = draft.phase if draft else "expand"
        if draft:
            more |= {
                "upgrades": draft.upgrade,
                "downgrades": draft.downgrade,
                "imports": "".join(f"{line}\n" for line in draft.imports),
            }
        if body is not None:
            more |= {
                "constants": CONSTANTS,
                "upgrades": wrapped(body),
                "imports": "from pathlib import Path\n",
            }
        versions = Path(scripts.directory.versions)
        with (
            _removed_on_failure(versions, f"{number}_"),
            scripts.translated(f"revision {number}"),  # its template is the project's own code too
        ):
            made = scripts.directory.generate_revision(
                number, message.strip(), refresh=True, **more
            )
            if made is None:
                raise MigrateError(
                    "refused",
                    f"revision {number}",
                    "Alembic wrote nothing",
                    "look at alembic/versions",
                )
            path = Path(made.path)
            if body is None:
                return (path,)
            path.with_suffix(".sql").write_bytes(body)
            return path, path.with_suffix(".sql")


@contextmanager
def _removed_on_failure(folder: Path, prefix: str) -> Iterator[None]:
    """Remove new files of that prefix where writing them fails: a broken revision would stop every
    other command.
    """
    before = set(folder.glob(f"{prefix}*"))
    try:
        yield
    except BaseException:
        for file in set(folder.glob(f"{prefix}*")) - before:
            file.unlink(missing_ok=True)
        raise


def statement_text(message: str) -> None:
    """Raises ConfigError where a revision does not say what it does."""
    if not message.strip():
        raise ConfigError(
            "db.revision", "a revision says what it does", 'inv db.revision "Add tags to projects"'
        )


def next_number(head: str | None, known: list[str]) -> str:
    """`0003` after `0002`: the runbook's files were numbered so."""
    numbers = [int(found) for found in known if found.isdigit()]
    width = max([len(found) for found in known if found.isdigit()], default=4)
    return str(max(numbers, default=len(known) if head else 0) + 1).zfill(width)


def read(legacy: Path) -> bytes:
    try:
        return legacy.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"--from-sql {legacy}",
            error.strerror or str(error),
            "name the file that is to be wrapped",
        ) from None


def wrapped(body: bytes) -> str:
    """How the file is run. Raises Refused for one that would not do what it did."""
    from ops.migrator.revisions.sql_tokens import controls_transactions, psql_command, statements

    text = body.decode("utf-8", "replace")
    command = psql_command(text)
    if command:
        raise Refused(
            "the file can't be wrapped",
            f"{command} is psql's own, the server does not know it",
            "write out what it includes",
        )
    for statement in statements(text):
        if ALONE.search(statement) or COPY.match(statement):
            how = 'write it by hand: inv db.revision "…", with op.get_context().autocommit_block()'
            raise Refused(
                "the file can't be wrapped",
                f"this can't be sent within a file: {statement[:80]}",
                how,
            )
    return OUTSIDE if controls_transactions(text) else INSIDE
