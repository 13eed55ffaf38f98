"""Draft a revision from the difference between a MetaData and the newest revision.

Alembic's autogenerate runs on a scratch PostgreSQL on which the revisions are replayed, so that
manual changes of a live database do not count. Two things that a downgrade needs are added:
constraints get the names that PostgreSQL would give them, since they are dropped by name, and an
enum type is created and dropped by statements of its own. Alembic does not detect triggers,
functions, grants and new values of an enum: read the file, and run `db.verify`.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError
from ops.core.redaction.redact import one_line, redact
from ops.migrator.revisions.user_code import contained, describe, location
from ops.postgres import access
from ops.postgres.access import DatabaseAccess, translate_errors
from ops.postgres.server import scratch
from ops.postgres.server.likeness import SessionSettings

if TYPE_CHECKING:
    from sqlalchemy import Enum, MetaData

_LONGEST_NAME = 63  # bytes of a name (NAMEDATALEN - 1)
_COMMENT = re.compile(r"^ *# ###.*\n?", re.MULTILINE)
_ADDING = ("CreateTableOp", "AddColumnOp", "CreateIndexOp")
_DROPPING = ("DropTableOp", "DropColumnOp")


@dataclass(frozen=True)
class Draft:
    """The body of a revision.

    `imports` are its import lines, `phase` is expand, contract, or empty if it is both.
    """

    upgrade: str
    downgrade: str
    imports: tuple[str, ...]
    phase: str


@contextmanager
def _import_path(paths: Sequence[Path]) -> Iterator[None]:
    """Put `paths` first on the import path."""
    before = sys.path[:]
    sys.path[:0] = [str(path) for path in paths]
    try:
        yield
    finally:
        sys.path[:] = before


def load_metadata(name: str, paths: Sequence[Path]) -> MetaData:
    """Import `module:attribute`, from `paths` first.

    The attribute is a MetaData, or has one as its `metadata` (a declarative base). Raises
    ConfigError.
    """
    from sqlalchemy import MetaData

    what, how = (
        f"database.metadata: {name}",
        "write it as module:attribute, importable from the project's folder or from `source`",
    )
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigError(what, "it is not of the form module:attribute", how)
    with _import_path(paths):
        try:
            with contained(redact):
                found: Any = importlib.import_module(module)
                for part in attribute.split("."):
                    found = getattr(found, part)
        except Exception as error:  # the application's code may raise anything
            where = next(filter(None, (location(error, path) for path in paths)), "")
            raise ConfigError(what, one_line(describe(error) + where), how) from None
    found = found if isinstance(found, MetaData) else getattr(found, "metadata", None)
    if not isinstance(found, MetaData):
        raise ConfigError(what, "it is not a SQLAlchemy MetaData, and has none", how)
    return found


def draft_revision(
    folder: Path, target: MetaData, live: SessionSettings | None = None
) -> Draft | None:
    """Draft the revision that turns a replay of all revisions into `target`, and back.

    `live`: the settings of the environment's sessions. None if there is no difference. Raises
    OpsError (no PostgreSQL).
    """
    with scratch.cluster(folder) as own:
        door = scratch.prepare(own, live)
        with translate_errors(door.target):
            head = door.scripts.head
        if head:
            access.migrate(door, "upgrade", head, shown=None, say=lambda _line: None)
        return _compare(door, target)


def _compare(door: DatabaseAccess, target: MetaData) -> Draft | None:
    from alembic.autogenerate import produce_migrations
    from alembic.runtime.migration import MigrationContext

    from ops.migrator import connections

    schemas = {table.schema for table in target.tables.values()}

    def include(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != "schema" or name in schemas

    options: dict[str, Any] = {
        "target_metadata": target,
        "compare_type": True,
        "compare_server_default": True,
        "include_name": include,
    }
    options["include_schemas"] = bool(schemas - {None})
    with (
        contained(redact),
        connections.create_engine(
            door.target, "inv db.revision", door.limits
        ).connect() as connection,
    ):
        context = MigrationContext.configure(connection, opts=options)
        forward = produce_migrations(context, target).upgrade_ops
        assert forward is not None
        if forward.is_empty():
            return None
        _name_constraints(forward)
        types = tuple(_new_enums(target, connection))
        return _render(context, forward, types)


def _render(context: Any, forward: Any, types: Sequence[Enum]) -> Draft:
    from alembic.autogenerate import render_python_code
    from alembic.operations.ops import ExecuteSQLOp

    quoted = context.dialect.identifier_preparer.format_type
    back = forward.reverse()
    forward.ops[:0] = [
        ExecuteSQLOp(f"CREATE TYPE {quoted(each)} AS ENUM ({', '.join(map(_literal, each.enums))})")
        for each in types
    ]
    back.ops += [ExecuteSQLOp(f"DROP TYPE {quoted(each)}") for each in types]
    imports: set[str] = set()

    def render_item(kind: str, item: Any, autogenerate: Any) -> str | bool:
        autogenerate.imports = imports  # else Alembic does not return them
        return _render_enum(item, autogenerate) if kind == "type" else False

    def code(side: Any) -> str:
        return _COMMENT.sub(
            "",
            render_python_code(side, render_item=render_item, migration_context=context),  # type: ignore[arg-type]
        ).strip()

    upgrade, downgrade = code(forward), code(back)
    if "sa." in upgrade + downgrade:
        imports.add("import sqlalchemy as sa")
    return Draft(
        upgrade,
        downgrade,
        tuple(sorted(imports, key=lambda line: (line.startswith("from"), line))),
        _phase(forward),
    )


def _render_enum(item: Any, autogenerate: Any) -> str | bool:
    """Render an enum type that is created and dropped separately; False for other types.

    Alembic would create it with each table that uses it, and never drop it.
    """
    from sqlalchemy import Enum

    if not (isinstance(item, Enum) and item.native_enum and item.name):
        return False
    autogenerate.imports.add("from sqlalchemy.dialects import postgresql")
    schema = f", schema={item.schema!r}" if item.schema else ""
    return (
        f"postgresql.ENUM({', '.join(map(repr, item.enums))}, name={item.name!r}{schema}, "
        f"create_type=False)"
    )


def _new_enums(target: MetaData, connection: Any) -> Iterator[Enum]:
    """The enum types of `target` that the database does not have, each once."""
    from sqlalchemy import Enum, inspect

    inspector = inspect(connection)
    visited: set[tuple[str | None, str]] = set()
    for table in target.sorted_tables:
        for column in table.columns:
            kind = getattr(column.type, "item_type", column.type)  # of an array's items
            if (
                isinstance(kind, Enum)
                and kind.native_enum
                and kind.name
                and (kind.schema, kind.name) not in visited
            ):
                visited.add((kind.schema, kind.name))
                if kind.name not in {known["name"] for known in inspector.get_enums(kind.schema)}:
                    yield kind


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name_constraints(container: Any) -> None:
    """Give constraints without a name PostgreSQL's default name, for the downgrade."""
    from alembic.operations.ops import CreateForeignKeyOp, CreateUniqueConstraintOp

    for each in container.ops:
        if hasattr(each, "ops"):
            _name_constraints(each)
        elif isinstance(each, CreateUniqueConstraintOp) and each.constraint_name is None:
            each.constraint_name = f"{each.table_name}_{'_'.join(map(str, each.columns))}_key"[
                :_LONGEST_NAME
            ]
        elif isinstance(each, CreateForeignKeyOp) and each.constraint_name is None:
            each.constraint_name = (
                f"{each.source_table}_{'_'.join(map(str, each.local_cols))}_fkey"[:_LONGEST_NAME]
            )


def _phase(forward: Any) -> str:
    """The phase of the operations: contract if they drop or change a type, else expand.

    Empty if they do both.
    """
    kinds = set(_operation_kinds(forward))
    drops, adds = bool(kinds & {*_DROPPING, "type"}), bool(kinds & set(_ADDING))
    return "" if drops and adds else "contract" if drops else "expand"


def _operation_kinds(container: Any) -> Iterator[str]:
    """The class names of all operations; `type` for one that changes a column's type."""
    for each in container.ops:
        if hasattr(each, "ops"):
            yield from _operation_kinds(each)
        else:
            yield "type" if getattr(each, "modify_type", None) is not None else type(each).__name__
