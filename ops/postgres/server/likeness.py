"""Make a scratch server like the environment's: roles, databases, search_path and extensions.

The names come from the revisions, by PostgreSQL's own parser: a new cluster has none of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ops.core.errors import Refused
from ops.postgres import access
from ops.postgres.access import DatabaseAccess

_SESSION_ROLES = ("role", "session_authorization")
_SELECT_SETTINGS = """
SELECT name, setting FROM pg_settings WHERE source IN ('database', 'user', 'database user')
 AND name IN ('search_path', 'TimeZone', 'DateStyle', 'IntervalStyle', 'check_function_bodies',
              'quote_all_identifiers', 'xmloption', 'standard_conforming_strings')
"""


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
    """What the revisions name; `made` are the roles, `schemas` the schemas that they create."""

    roles: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    databases: set[str] = field(default_factory=set)
    extensions: set[str] = field(default_factory=set)
    schemas: set[str] = field(default_factory=set)
    set_paths: bool = False


def read_settings(door: DatabaseAccess) -> SessionSettings:
    """Read the settings of a live session."""
    with access.read_session(door) as opened:
        settings = tuple((str(row[0]), str(row[1])) for row in opened.execute(_SELECT_SETTINGS))
        row = opened.execute(
            "SELECT current_database()::text, current_user::text, current_schemas(false)::text[]"
        ).fetchone()
    return SessionSettings(row[0], row[1], tuple(sorted(settings)), tuple(row[2]))


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
        found.set_paths |= "setstmt" in inner
    elif kind == "AlterRoleSetStmt":
        found.databases |= {inner["database"]} if inner.get("database") else set()
        found.set_paths = True
    elif "OBJECT_DATABASE" in (inner.get("objtype"), inner.get("objectType")):
        found.databases |= set(_strings(inner.get("objects", inner.get("object", []))))
    elif kind == "CreateExtensionStmt":
        found.extensions.add(inner["extname"])
    elif kind == "CreateSchemaStmt" and inner.get("schemaname"):
        found.schemas.add(inner["schemaname"])


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
        own = {live.database} if live else set()
        for name in sorted((names.databases | own) - there):
            opened.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    if live is None:
        return door
    named = door.named(live.database)
    if not names.set_paths:  # the revisions set them otherwise
        _apply_settings(named, live, names.schemas)
    return named


def _apply_settings(named: DatabaseAccess, live: SessionSettings, later: set[str]) -> None:
    """Set the database's settings, and create the schemas of search_path.

    Not those that the revisions create `later`: without another one, public is appended, so that
    Alembic's table has a place from the beginning.
    """
    from psycopg import sql

    from ops.postgres.dump import session

    first = [each for each in live.schemas if each not in later]
    with session(named) as opened:
        for schema in first:
            opened.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        for setting, value in live.settings:
            if setting == "search_path":
                value = value.replace('"$user"', f'"{live.user}"') + ("" if first else ", public")
            _set(opened, live.database, setting, value)


def _set(opened: Any, database: str, setting: str, value: str) -> None:
    from psycopg import sql

    given = sql.SQL(value) if setting == "search_path" else sql.Literal(value)
    opened.execute(
        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
            sql.Identifier(database), sql.Identifier(setting), given
        )
    )
