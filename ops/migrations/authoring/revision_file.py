"""Write the files of a revision: the template with a draft, or a legacy SQL file wrapped unchanged.

A legacy file goes to the driver as bytes (UTF-8, without a byte order mark), since `op.execute`
interprets `:name` and `%`. A file that controls its own transactions runs outside of the
revision's. psql commands, and statements that can't run in a transaction, are refused.
"""

from __future__ import annotations

import codecs
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError, Refused
from ops.core.redaction.redact import redact
from ops.migrations.authoring.autogenerate import Draft
from ops.migrations.rules import statements
from ops.migrator.model import MigrateError, TargetDatabase
from ops.postgres.access import translate_errors

if TYPE_CHECKING:
    from ops.migrator.revisions.scripts import Scripts

_OWN_FOLDER = Path(__file__).parents[3] / "alembic"
_SCAFFOLD = ("env.py", "script.py.mako")
_CONSTANTS = '\nSQL = Path(__file__).with_suffix(".sql")\n'
_IN_TRANSACTION = """context = op.get_context()
    if context.as_sql:
        context.impl.static_output(SQL.read_text(encoding="utf-8") + "\\n;")
        return
    driver = context.connection.connection.driver_connection
    driver.execute(SQL.read_bytes())  # not through SQLAlchemy: the file may contain : and %"""
_IN_AUTOCOMMIT = """context = op.get_context()
    with context.autocommit_block():  # the file begins and ends its own transactions
        if context.as_sql:
            context.impl.static_output(SQL.read_text(encoding="utf-8") + "\\n;")
            return
        driver = context.connection.connection.driver_connection
        try:
            driver.execute(SQL.read_bytes())  # not through SQLAlchemy: the file may contain : and %
        except Exception:
            driver.rollback()
            raise"""
_ALONE_ADVICE = 'write it by hand: inv db.revision "…", with op.get_context().autocommit_block()'


def _complete(folder: Path) -> None:
    """Copy env.py and the template of revisions into a folder that has none, as a new one.

    Raises ConfigError if they cannot be written.
    """
    for name in _SCAFFOLD:
        file = folder / name
        if file.exists():
            continue
        try:
            shutil.copyfile(_OWN_FOLDER / name, file)
        except OSError as error:
            how = f"create it, as `alembic init` would: {file}"
            raise ConfigError(f"{folder} has no {name}", str(error), how) from None


def write_files(
    folder: Path,
    message: str,
    legacy: Path | None = None,
    draft: Draft | None = None,
    *,
    merge: bool = False,
) -> tuple[Path, ...]:
    """Write a new revision after the head, or an empty one that merges all heads.

    Raises ConfigError (no message, no such file), Refused (a legacy file that can't be wrapped, or
    several heads without `merge`).
    """
    require_message(message)
    body = _read(legacy) if legacy else None
    _complete(folder)
    from ops.migrator.revisions.scripts import Scripts

    with translate_errors(TargetDatabase(str(folder), {})):
        scripts = Scripts(str(folder), redact)
        heads = _heads_to_follow(scripts, merge)
        number = _next_number(heads, list(scripts.applied(scripts.heads)))
        values: dict[str, Any] = dict.fromkeys(("constants", "upgrades", "downgrades", "imports"))
        values["phase"] = draft.phase if draft else "expand"
        if draft:
            values |= {
                "upgrades": draft.upgrade,
                "downgrades": draft.downgrade,
                "imports": "".join(f"{line}\n" for line in draft.imports),
            }
        if merge:
            values |= {"upgrades": "pass", "downgrades": "pass"}
        if body is not None:
            values |= {
                "constants": _CONSTANTS,
                "upgrades": _wrap(body),
                "imports": "from pathlib import Path\n",
            }
        versions = Path(scripts.directory.versions)
        with (
            _removed_on_failure(versions, f"{number}_"),
            scripts.translated(f"revision {number}"),  # its template is the project's own code
        ):
            generated = scripts.directory.generate_revision(
                number, message.strip(), head=list(heads) or "base", refresh=True, **values
            )
            if generated is None:
                raise MigrateError(
                    "refused",
                    f"revision {number}",
                    "Alembic wrote nothing",
                    "see alembic/versions",
                )
            path = Path(generated.path)
            if body is None:
                return (path,)
            path.with_suffix(".sql").write_bytes(body)
            return path, path.with_suffix(".sql")


@contextmanager
def _removed_on_failure(folder: Path, prefix: str) -> Iterator[None]:
    """Remove new files with the prefix after a failure: a broken revision breaks every command."""
    before = set(folder.glob(f"{prefix}*"))
    try:
        yield
    except BaseException:
        for file in set(folder.glob(f"{prefix}*")) - before:
            file.unlink(missing_ok=True)
        raise


def require_message(message: str) -> None:
    """Raise ConfigError for an empty message."""
    if not message.strip():
        raise ConfigError(
            "db.revision",
            "a revision needs a description",
            'inv db.revision "Add tags to projects"',
        )


def _heads_to_follow(scripts: Scripts, merge: bool) -> tuple[str, ...]:
    """The heads that the new revision follows. Raises MigrateError (refused)."""
    if not merge:
        return (scripts.head,) if scripts.head else ()
    if len(scripts.heads) < 2:
        raise MigrateError(
            "refused",
            "db.revision --merge",
            f"there is nothing to merge: {scripts.newest or 'no revision'} is the only head",
            "leave --merge out",
        )
    return scripts.heads


def _next_number(heads: tuple[str, ...], known: list[str]) -> str:
    """The next id: `0003` after `0002`, as the runbook's files are numbered."""
    numbers = [each for each in known if each.isdigit()]
    width = max(map(len, numbers), default=4)
    return str(max(map(int, numbers), default=len(known) if heads else 0) + 1).zfill(width)


def _read(legacy: Path) -> bytes:
    """The file's bytes, without a byte order mark. Raises ConfigError, Refused (encoding)."""
    try:
        body = legacy.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ConfigError(
            f"--from-sql {legacy}",
            error.strerror or str(error),
            "name the file to wrap",
        ) from None
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Refused(
            "the file can't be wrapped",
            "it is UTF-16",
            f"iconv -f utf-16 -t utf-8 {shlex.quote(str(legacy))} > utf8.sql, then --from-sql "
            "utf8.sql",
        )
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise Refused(
            "the file can't be wrapped",
            f"it is not UTF-8: byte 0x{body[error.start]:02x} at offset {error.start}, line {line}",
            f"iconv -f latin1 -t utf-8 {shlex.quote(str(legacy))} > utf8.sql, then --from-sql "
            "utf8.sql (-f: the encoding that it has)",
        ) from None
    if (offset := body.find(b"\0")) >= 0:
        line = body[:offset].count(b"\n") + 1
        raise Refused(
            "the file can't be wrapped",
            f"it has a NUL byte at offset {offset}, line {line}: the server would read only what "
            "is before it",
            "remove it; if it is UTF-16 without a byte order mark: "
            f"iconv -f utf-16le -t utf-8 {shlex.quote(str(legacy))} > utf8.sql, then --from-sql "
            "utf8.sql",
        )
    return body


def _wrap(body: bytes) -> str:
    """The upgrade's code that runs the file. Raises Refused if it would work differently."""
    from ops.migrator.revisions.sql_tokens import psql_command

    text, what = body.decode("utf-8"), "the file can't be wrapped"
    if command := psql_command(text):
        why = f"{command} is a psql command, unknown to the server"
        raise Refused(what, why, "replace it with SQL")
    try:
        found = statements.parse(text)
        own_transactions = statements.controls_transactions(text)
        left_prepared = statements.prepared_transactions(text)
    except statements.Unparsable as error:
        raise Refused(what, f"{error}, line {error.line}", "correct it, and run it again") from None
    for each in found:
        if statements.runs_alone(each) or statements.copies_from_client(each):
            why = f"this can't run together with other statements: {redact(each.sql[:80])}"
            raise Refused(what, why, _ALONE_ADVICE)
    for each in left_prepared:
        why = f"it would stay prepared, with its locks: {redact(each.sql[:80])}"
        raise Refused(what, why, "replace PREPARE TRANSACTION with COMMIT")
    return _IN_AUTOCOMMIT if own_transactions else _IN_TRANSACTION
