"""DDL that turns a schema into the wanted one, in a working order.

Statements that would lose rows are comments, for a person to decide. New tables are created empty
and get their columns one by one, so that every statement makes one change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ops.migrations.rules.schema_diff import SchemaDifference
from ops.postgres.model import SchemaObject

_DROPPED_FIRST = (
    "TRIGGER",
    "RULE",
    "POLICY",
    "VIEW",
    "MATERIALIZED VIEW",
    "CONSTRAINT",
    "INDEX",
)  # other objects can't be changed while these exist
_DROPPED_LAST = ("FUNCTION", "SEQUENCE", "TYPE", "EXTENSION", "SCHEMA")  # needed by other objects
_LOSING_DATA = ("TABLE", "COLUMN")
_CREATION_ORDER = (
    "SCHEMA",
    "EXTENSION",
    "TYPE",
    "SEQUENCE",
    "TABLE",
    "FUNCTION",
    "COLUMN",
    "CONSTRAINT",
    "INDEX",
    "VIEW",
    "MATERIALIZED VIEW",
    "TRIGGER",
    "RULE",
    "POLICY",
    "GRANT",
)
_POLICY_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}


def reconcile_ddl(differences: Iterable[SchemaDifference]) -> str:
    """The script, in one transaction; empty if there are no differences."""
    every = list(differences)
    lines = list(_statements(every))
    if not lines:
        return ""
    functions = any(each.wanted and each.wanted.kind == "FUNCTION" for each in every)
    settings = [
        "SET LOCAL lock_timeout = '5s';",
        *(["SET LOCAL check_function_bodies = off;"] if functions else []),
    ]
    return "\n".join(["BEGIN;", *settings, *lines, "COMMIT;", ""])


def _statements(every: list[SchemaDifference]) -> Iterator[str]:
    extra = [each.found for each in every if each.wanted is None and each.found]
    gone = {piece.key for piece in extra}
    for kind in ("GRANT", *_DROPPED_FIRST):
        yield from (_drop(piece) for piece in extra if piece.kind == kind and piece.on not in gone)
    yield from (
        _rename(each.wanted, each.found)
        for each in every
        if each.renamed and each.wanted and each.found
    )
    for kind in _CREATION_ORDER:
        for each in every:
            if (
                each.wanted
                and each.wanted.kind == kind
                and not each.renamed
                and not _is_default_grant(each)
            ):
                yield from (
                    _change(each.wanted, each.found) if each.found else _create(each.wanted)
                )
    sequences = [
        each.wanted
        for each in every
        if each.wanted and not each.found and each.wanted.kind == "SEQUENCE"
    ]
    yield from (_owned_by(piece) for piece in sequences if piece.on)
    for kind in (*_LOSING_DATA, *_DROPPED_LAST):
        yield from (_drop(piece) for piece in extra if piece.kind == kind and piece.on not in gone)


def _is_default_grant(each: SchemaDifference) -> bool:
    """Whether this is the default grant to PUBLIC on a new function or type."""
    piece = each.wanted
    if piece is None or piece.kind != "GRANT" or not each.whole:
        return False
    return piece.on.startswith(("FUNCTION ", "TYPE ")) and piece.name.endswith(" TO PUBLIC")


def _relation(piece: SchemaObject) -> str:
    """The table or view that an object belongs to."""
    return (
        piece.on.split(" ", 1)[1]
        if not piece.on.startswith("MATERIALIZED VIEW ")
        else piece.on.removeprefix("MATERIALIZED VIEW ")
    )


def _own_name(piece: SchemaObject) -> str:
    """An object's name within its table."""
    return piece.name[len(_relation(piece)) + 1 :]


def _rename(wanted: SchemaObject, found: SchemaObject) -> str:
    if wanted.kind == "INDEX":
        return f"ALTER INDEX {found.name} RENAME TO {wanted.name.split('.', 1)[1]};"
    change = f"RENAME CONSTRAINT {_own_name(found)} TO {_own_name(wanted)}"
    return f"ALTER TABLE {_relation(found)} {change};"


def _drop(piece: SchemaObject) -> str:
    if piece.kind == "GRANT":
        what, _, who = piece.name.removesuffix(" WITH GRANT OPTION").rpartition(" TO ")
        return f"REVOKE {what} FROM {who};"
    if piece.kind == "CONSTRAINT":
        return f"ALTER TABLE {_relation(piece)} DROP CONSTRAINT {_own_name(piece)};"
    if piece.kind == "COLUMN":
        drop = f"DROP COLUMN {_own_name(piece)};   -- its data would be lost: decide"
        return f"-- ALTER TABLE {_relation(piece)} {drop}"
    if piece.kind == "TABLE":
        return f"-- DROP TABLE {piece.name};   -- its rows would be lost: decide"
    if piece.kind in ("TRIGGER", "RULE", "POLICY"):
        return f"DROP {piece.kind} {_own_name(piece)} ON {_relation(piece)};"
    if piece.kind == "FUNCTION":
        return f"DROP ROUTINE {piece.name};"
    if piece.kind == "TYPE":
        return f"DROP {'DOMAIN' if piece.parts[0] == 'd' else 'TYPE'} {piece.name};"
    return f"DROP {piece.kind} {piece.name};"


def _create(piece: SchemaObject) -> Iterator[str]:
    yield {
        "SCHEMA": lambda: f"CREATE SCHEMA {piece.name};",
        "EXTENSION": lambda: f"CREATE EXTENSION {piece.name};",
        "TYPE": lambda: _create_type(piece),
        "SEQUENCE": lambda: f"CREATE SEQUENCE {piece.name} {_sequence_options(piece)};",
        "TABLE": lambda: (
            f"CREATE TABLE {piece.name} ();"
            if piece.parts[0] == "r" and not any(piece.parts[4:])
            else _by_hand(piece)
        ),
        "COLUMN": lambda: f"ALTER TABLE {_relation(piece)} ADD COLUMN {_column(piece)};",
        "CONSTRAINT": lambda: (
            f"ALTER TABLE {_relation(piece)} ADD CONSTRAINT {_own_name(piece)} {piece.parts[0]};"
        ),
        "INDEX": lambda: (
            piece.parts[0].replace(" INDEX ON ", f" INDEX {piece.name.split('.', 1)[1]} ON ", 1)
            + ";"
        ),
        "FUNCTION": lambda: (
            _by_hand(piece) if piece.parts[0] == "aggregate" else piece.parts[0].rstrip() + ";"
        ),
        "VIEW": lambda: f"CREATE OR REPLACE VIEW {piece.name} AS{piece.parts[0]}",
        "MATERIALIZED VIEW": lambda: f"CREATE MATERIALIZED VIEW {piece.name} AS{piece.parts[0]}",
        "TRIGGER": lambda: piece.parts[0] + ";",
        "RULE": lambda: piece.parts[0],
        "POLICY": lambda: _create_policy(piece),
        "GRANT": lambda: f"GRANT {piece.name};",
    }[piece.kind]()
    if piece.kind == "TABLE" and piece.parts[2] == "true":
        yield f"ALTER TABLE {piece.name} ENABLE ROW LEVEL SECURITY;"


def _change(wanted: SchemaObject, found: SchemaObject) -> Iterator[str]:
    if wanted.kind == "COLUMN":
        yield from _change_column(wanted, found)
    elif wanted.kind in ("CONSTRAINT", "INDEX", "TRIGGER", "RULE", "POLICY", "MATERIALIZED VIEW"):
        yield _drop(found)
        yield from _create(wanted)
    elif wanted.kind in ("FUNCTION", "VIEW"):
        yield from _create(wanted)
    elif wanted.kind == "SEQUENCE":
        yield f"ALTER SEQUENCE {wanted.name} {_sequence_options(wanted)};"
        yield _owned_by(wanted)
    elif (
        wanted.kind == "TYPE"
        and wanted.parts[0] == "e"
        and wanted.parts[: len(found.parts)] == found.parts
    ):
        yield from (
            f"ALTER TYPE {wanted.name} ADD VALUE {label};"
            for label in wanted.parts[len(found.parts) :]
        )
    else:
        yield _by_hand(wanted)


def _change_column(wanted: SchemaObject, found: SchemaObject) -> Iterator[str]:
    table, name = f"ALTER TABLE {_relation(wanted)}", _own_name(wanted)
    (kind, filled, default, *rest), (was_kind, was_filled, was_default, *was_rest) = (
        wanted.parts,
        found.parts,
    )
    if rest != was_rest:
        yield _by_hand(wanted)
        return
    if kind != was_kind:
        if was_default:
            yield f"{table} ALTER COLUMN {name} DROP DEFAULT;"
        yield (
            f"{table} ALTER COLUMN {name} TYPE {kind} USING {name}::{kind};   -- rewrites the "
            f"table where the types differ in their bytes"
        )
    if default != was_default or (kind != was_kind and default):
        yield (
            f"{table} ALTER COLUMN {name} "
            f"{f'SET DEFAULT {default}' if default else 'DROP DEFAULT'};"
        )
    if filled != was_filled:
        yield f"{table} ALTER COLUMN {name} {'SET' if filled == 'true' else 'DROP'} NOT NULL;"


def _column(piece: SchemaObject) -> str:
    kind, filled, default, identity, generated, collation = piece.parts
    words = [
        _own_name(piece),
        kind,
        f"COLLATE {collation}" if collation else "",
        "NOT NULL" if filled == "true" else "",
    ]
    if identity:
        words.append(f"GENERATED {'ALWAYS' if identity == 'a' else 'BY DEFAULT'} AS IDENTITY")
    elif generated:
        words.append(
            f"GENERATED ALWAYS AS ({default}) {'STORED' if generated == 's' else 'VIRTUAL'}"
        )
    elif default:
        words.append(f"DEFAULT {default}")
    return " ".join(word for word in words if word)


def _sequence_options(piece: SchemaObject) -> str:
    kind, start, step, lowest, highest, cycle = piece.parts
    return (
        f"AS {kind} START {start} INCREMENT {step} MINVALUE {lowest} MAXVALUE "
        f"{highest}{' CYCLE' if cycle == 'true' else ' NO CYCLE'}"
    )


def _owned_by(piece: SchemaObject) -> str:
    return f"ALTER SEQUENCE {piece.name} OWNED BY {piece.on.removeprefix('COLUMN ') or 'NONE'};"


def _create_type(piece: SchemaObject) -> str:
    kind, *parts = piece.parts
    if kind == "d":
        base, filled, default, *checks = parts
        words = [base, filled, f"DEFAULT {default}" if default else "", *checks]
        return f"CREATE DOMAIN {piece.name} AS {' '.join(word for word in words if word)};"
    return (
        _by_hand(piece)
        if kind == "r"
        else f"CREATE TYPE {piece.name} AS {'ENUM ' if kind == 'e' else ''}({', '.join(parts)});"
    )


def _create_policy(piece: SchemaObject) -> str:
    command, permissive, roles, using, check = piece.parts
    words = [
        f"CREATE POLICY {_own_name(piece)} ON {_relation(piece)} AS "
        f"{'PERMISSIVE' if permissive == 'true' else 'RESTRICTIVE'}"
    ]
    words += [
        f"FOR {_POLICY_COMMANDS[command]} TO {roles}",
        f"USING ({using})" if using else "",
        f"WITH CHECK ({check})" if check else "",
    ]
    return " ".join(word for word in words if word) + ";"


def _by_hand(piece: SchemaObject) -> str:
    return f"-- {piece.key}: by hand ({' '.join(' '.join(piece.parts).split())[:200]})"
