"""What a metadata has that the newest revision has not, as a revision's body: Alembic's
autogenerate on a scratch PostgreSQL.

No live database is asked: the revisions are replayed, so that what one of them forgets shows here,
and not what somebody did by hand. Where autogenerate writes what can't go back, it is completed:
constraints get the names that PostgreSQL would give them (a downgrade drops by name), and an enum
type is made and dropped by statements of its own. What Alembic does not see stays unseen (triggers,
functions, grants, an enum's new values): a person reads the file, and `db.verify` runs it."""

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

if TYPE_CHECKING:
    from sqlalchemy import Enum, MetaData

LONGEST = 63  # bytes of a name (NAMEDATALEN - 1)
COMMENT = re.compile(r"^ *# ###.*\n?", re.MULTILINE)
ADDS = ("CreateTableOp", "AddColumnOp", "CreateIndexOp")
TAKES = ("DropTableOp", "DropColumnOp")


@dataclass(frozen=True)
class Draft:
    """A revision's body. `imports`: the modules that it uses, as lines; `phase`: expand, contract,
    or empty where it does both.
    """

    upgrade: str
    downgrade: str
    imports: tuple[str, ...]
    phase: str


@contextmanager
def importing(paths: Sequence[Path]) -> Iterator[None]:
    before = sys.path[:]
    sys.path[:0] = [str(path) for path in paths]
    try:
        yield
    finally:
        sys.path[:] = before


def metadata(named: str, paths: Sequence[Path]) -> MetaData:
    """`module:attribute`, looked for in `paths` first: a MetaData, or what has one as its
    `metadata` (a declarative base).

    Raises ConfigError.
    """
    from sqlalchemy import MetaData

    what, how = (
        f"database.metadata: {named}",
        "name it as module:attribute, seen from the project's folder or from `source`",
    )
    module, _, attribute = named.partition(":")
    if not module or not attribute:
        raise ConfigError(what, "there is no module:attribute in it", how)
    with importing(paths):
        try:
            with contained(redact):
                found: Any = importlib.import_module(module)
                for name in attribute.split("."):
                    found = getattr(found, name)
        except Exception as error:  # the application's code, and may fail in any way
            where = next(filter(None, (location(error, path) for path in paths)), "")
            raise ConfigError(what, one_line(describe(error) + where), how) from None
    found = found if isinstance(found, MetaData) else getattr(found, "metadata", None)
    if not isinstance(found, MetaData):
        raise ConfigError(what, "it is no SQLAlchemy MetaData, and has none", how)
    return found


def draft(folder: Path, target: MetaData) -> Draft | None:
    """What brings a replay of all revisions to `target`, and back; None where it is there already.
    Raises OpsError (no PostgreSQL).
    """
    with scratch.cluster(folder) as own:
        scratch.make_roles(own, scratch.revision_sql(own.door))
        with translate_errors(own.door.target):
            head = own.door.scripts.head
        if head:
            access.migrate(own.door, "upgrade", head, shown=None, say=lambda _line: None)
        return compared(own.door, target)


def compared(door: DatabaseAccess, target: MetaData) -> Draft | None:
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
        name_constraints(forward)
        types = tuple(enums(target, connection))
        return rendered(context, forward, types)


def rendered(context: Any, forward: Any, types: Sequence[Enum]) -> Draft:
    from alembic.autogenerate import render_python_code
    from alembic.operations.ops import ExecuteSQLOp

    quoted = context.dialect.identifier_preparer.format_type
    back = forward.reverse()
    forward.ops[:0] = [
        ExecuteSQLOp(f"CREATE TYPE {quoted(each)} AS ENUM ({', '.join(map(literal, each.enums))})")
        for each in types
    ]
    back.ops += [ExecuteSQLOp(f"DROP TYPE {quoted(each)}") for each in types]
    imports: set[str] = set()

    def render_item(kind: str, item: Any, autogenerate: Any) -> str | bool:
        autogenerate.imports = imports  # Alembic keeps them to itself otherwise
        return enum(item, autogenerate) if kind == "type" else False

    def code(side: Any) -> str:
        return COMMENT.sub(
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
        phase(forward),
    )


def enum(item: Any, autogenerate: Any) -> str | bool:
    """A type that statements of their own make and drop: Alembic makes it with each table that has
    it, and never drops it.
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


def enums(target: MetaData, connection: Any) -> Iterator[Enum]:
    """The enum types of `target` that the database has not."""
    from sqlalchemy import Enum, inspect

    looking = inspect(connection)
    seen: set[tuple[str | None, str]] = set()
    for table in target.sorted_tables:
        for column in table.columns:
            kind = getattr(column.type, "item_type", column.type)  # of an array
            if (
                isinstance(kind, Enum)
                and kind.native_enum
                and kind.name
                and (kind.schema, kind.name) not in seen
            ):
                seen.add((kind.schema, kind.name))
                if kind.name not in {known["name"] for known in looking.get_enums(kind.schema)}:
                    yield kind


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def name_constraints(container: Any) -> None:
    """Those without a name get PostgreSQL's, so that the way back can drop them."""
    from alembic.operations.ops import CreateForeignKeyOp, CreateUniqueConstraintOp

    for each in container.ops:
        if hasattr(each, "ops"):
            name_constraints(each)
        elif isinstance(each, CreateUniqueConstraintOp) and each.constraint_name is None:
            each.constraint_name = f"{each.table_name}_{'_'.join(map(str, each.columns))}_key"[
                :LONGEST
            ]
        elif isinstance(each, CreateForeignKeyOp) and each.constraint_name is None:
            each.constraint_name = (
                f"{each.source_table}_{'_'.join(map(str, each.local_cols))}_fkey"[:LONGEST]
            )


def phase(forward: Any) -> str:
    """Whether the old code can go on with it: adding is expand, taking away (and changing a type)
    contract, both are neither.
    """
    kinds = set(walked(forward))
    takes, adds = bool(kinds & {*TAKES, "type"}), bool(kinds & set(ADDS))
    return "" if takes and adds else "contract" if takes else "expand"


def walked(container: Any) -> Iterator[str]:
    for each in container.ops:
        if hasattr(each, "ops"):
            yield from walked(each)
        else:
            yield "type" if getattr(each, "modify_type", None) is not None else type(each).__name__
