"""Make a scratch server like the environment's: roles, databases, search_path and extensions.

The names come from the revisions, by PostgreSQL's own parser: a new cluster has none of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.core.errors import Refused
from ops.postgres import access
from ops.postgres.access import DatabaseAccess

if TYPE_CHECKING:
    from psycopg import sql

_ELEMENT = re.compile(r'"(?:[^"]|"")*"|[^\s,"]+')
_SESSION_ROLES = ("role", "session_authorization")
_SELECT_SETTINGS = """
SELECT lower(split_part(each, '=', 1)), substr(each, strpos(each, '=') + 1)
FROM pg_db_role_setting, unnest(setconfig) each
WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
ORDER BY setrole <> 0, setdatabase <> 0
"""  # the last one of a name counts
_SELECT_SESSION = """
SELECT current_database()::text, current_user::text, current_schemas(false)::text[], setting, source
FROM pg_settings WHERE name = 'search_path'
"""
_EFFECTIVE = frozenset(  # on what a revision creates, in addition to settings of an application
    {
        "backslash_quote",
        "bytea_output",
        "check_function_bodies",
        "datestyle",
        "default_table_access_method",
        "default_text_search_config",
        "default_toast_compression",
        "extra_float_digits",
        "intervalstyle",
        "quote_all_identifiers",
        "row_security",
        "search_path",
        "standard_conforming_strings",
        "timezone",
        "transform_null_equals",
        "xmloption",
    }
)


@dataclass(frozen=True)
class SessionSettings:
    """What a session of the environment starts with, by ALTER ROLE or ALTER DATABASE … SET.

    `schemas` are those of its search_path that exist.
    """

    database: str
    user: str
    settings: tuple[tuple[str, str], ...]
    schemas: tuple[str, ...]


@dataclass
class Names:
    """What the revisions name; `made` are the roles, `schemas` the schemas that they create.

    `sets` are the settings that they give to a database or a role.
    """

    roles: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    databases: set[str] = field(default_factory=set)
    extensions: set[str] = field(default_factory=set)
    schemas: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)


def read_settings(door: DatabaseAccess) -> SessionSettings:
    """Read what a new session of this user in this database starts with."""
    with access.read_session(door) as opened:
        rows = opened.execute(_SELECT_SETTINGS).fetchall()
        row = opened.execute(_SELECT_SESSION).fetchone()
    settings = {name: value for name, value in rows if name in _EFFECTIVE or "." in name}
    database, user, schemas, path, source = row
    configured = source not in ("default", "client", "session")
    if configured or (source == "default" and user in schemas):  # by its "$user"
        settings.setdefault("search_path", path)
    return SessionSettings(database, user, tuple(sorted(settings.items())), tuple(schemas))


def names_in(statements: Iterable[str]) -> Names:
    """What these scripts name; unparsable scripts are skipped."""
    import pglast

    found = Names()
    for text in statements:
        with suppress(pglast.parser.ParseError):
            _collect(json.loads(pglast.parser.parse_sql_json(text)), found)
    return found


def _collect(node: Any, found: Names) -> None:
    if isinstance(node, list):
        for each in node:
            _collect(each, found)
    elif isinstance(node, dict):
        if node.get("roletype") == "ROLESPEC_CSTRING":
            found.roles.add(node["rolename"])
        for kind, inner in node.items():
            if isinstance(inner, dict):
                _collect_statement(kind, inner, found)
            _collect(inner, found)


def _collect_statement(kind: str, inner: dict[str, Any], found: Names) -> None:
    if kind == "CreateRoleStmt":
        found.made.add(inner["role"])
    elif kind == "GrantRoleStmt":
        granted = (each.get("AccessPriv", {}) for each in inner.get("granted_roles", ()))
        found.roles |= {each["priv_name"] for each in granted if "priv_name" in each}
    elif kind == "VariableSetStmt" and inner.get("name") in _SESSION_ROLES:
        found.roles |= set(_strings(inner.get("args", [])))
    elif kind in ("AlterDatabaseSetStmt", "AlterDatabaseStmt"):
        found.databases.add(inner["dbname"])
        found.sets |= _set_name(inner)
    elif kind == "AlterRoleSetStmt":
        found.databases |= {inner["database"]} if inner.get("database") else set()
        found.sets |= _set_name(inner)
    elif "OBJECT_DATABASE" in (inner.get("objtype"), inner.get("objectType")):
        found.databases |= set(_strings(inner.get("objects", inner.get("object", []))))
    elif kind == "CreateExtensionStmt":
        found.extensions.add(inner["extname"])
    elif kind == "CreateSchemaStmt" and inner.get("schemaname"):
        found.schemas.add(inner["schemaname"])


def _set_name(inner: dict[str, Any]) -> set[str]:
    name = inner.get("setstmt", {}).get("VariableSetStmt", inner.get("setstmt", {})).get("name")
    return {name.lower()} if name else set()


def _strings(node: Any) -> Iterable[str]:
    if isinstance(node, list):
        for each in node:
            yield from _strings(each)
    elif isinstance(node, dict):
        for key, inner in node.items():
            if key == "sval" and isinstance(inner, str):
                yield inner
            else:
                yield from _strings(inner)


def prepare(
    door: DatabaseAccess, where: object, names: Names, live: SessionSettings | None = None
) -> DatabaseAccess:
    """Make what the revisions need; returns the way to the database to run them in.

    With `live`, that is one of its name with its settings. Raises Refused for an extension that
    this PostgreSQL does not have.
    """
    from psycopg import sql

    from ops.postgres.dump import session

    with session(door) as opened:
        available = {row[0] for row in opened.execute("SELECT name FROM pg_available_extensions")}
        if missing := sorted(names.extensions - available):
            raise Refused(
                f"extension {', '.join(missing)} is not installed for {where}",
                "the revisions create it, and can't run there",
                "inv db.verify --on-server, or install it on this machine",
            )
        known = {row[0] for row in opened.execute("SELECT rolname FROM pg_roles")}
        for name in sorted(names.roles - names.made - known):
            opened.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        there = {row[0] for row in opened.execute("SELECT datname FROM pg_database")}
        for name in sorted(names.databases - there):
            opened.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return door if live is None else new_database(door, names, live)


def new_database(door: DatabaseAccess, names: Names, live: SessionSettings) -> DatabaseAccess:
    """An empty database of the environment's name, with its settings, in place of an older one."""
    from psycopg import sql

    from ops.postgres.dump import session

    name = sql.Identifier(live.database)
    with session(door.named("template1")) as opened:  # `postgres` may be the name
        opened.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        opened.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    found = door.named(live.database)
    apply_settings(found, names, live)
    return found


def apply_settings(door: DatabaseAccess, names: Names, live: SessionSettings) -> None:
    """Set the database's settings, and create the schemas of search_path.

    Not the settings that the revisions set, and not the schemas that they create: without another
    schema, public is appended, so that Alembic's table has a place from the beginning.
    """
    from psycopg import errors, sql

    from ops.postgres.dump import session

    first = [each for each in live.schemas if each not in names.schemas]
    if "search_path" in names.sets:
        first = []
    with session(door) as opened:
        for schema in first:
            opened.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        for setting, value in live.settings:
            if setting in names.sets:
                continue
            given: sql.Composable = sql.Literal(value)
            if setting == "search_path":
                path = [live.user if each == "$user" else each for each in _elements(value)]
                given = sql.SQL(", ").join(map(sql.Literal, path if first else [*path, "public"]))
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(door.target.parameters["dbname"]), _setting_name(setting), given
            )
            with suppress(errors.InsufficientPrivilege):  # an extension's, for superusers
                opened.execute(statement)


def _elements(path: str) -> list[str]:
    """The names in a search_path as PostgreSQL stores it; an empty one names nothing."""
    found = (match[0] for match in _ELEMENT.finditer(path))
    names = (each[1:-1].replace('""', '"') if each[0] == '"' else each for each in found)
    return [name for name in names if name]


def _setting_name(setting: str) -> sql.Composable:
    from psycopg import sql

    return sql.SQL(".").join(map(sql.Identifier, setting.split(".")))
