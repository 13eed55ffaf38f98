"""What PostgreSQL does on its own after a statement: foreign keys' actions, triggers and rules.

None of it is in the statement's text. Foreign keys are followed transitively and their rows are
counted; what a trigger or a rule does can't be known, so a count on a table that has one is only a
lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ops.migrations.rules.data_loss import Loss, Removal
from ops.postgres.model import ForeignKey, Relations

CASCADE, SET_NULL, SET_DEFAULT = "c", "n", "d"  # pg_constraint.confdeltype
ACTIONS = {
    CASCADE: "ON DELETE CASCADE",
    SET_NULL: "ON DELETE SET NULL",
    SET_DEFAULT: "ON DELETE SET DEFAULT",
}
LONGEST_QUESTION = 10_000  # characters; many paths to one table make a query of minutes


def followed(table: str, relations: Relations) -> tuple[ForeignKey, ...]:
    """The foreign keys whose actions a DELETE sets off: transitively, each once."""
    found: dict[ForeignKey, None] = {}
    todo, done = [relations.root(table)], set[str]()
    while todo:
        done.add(current := todo.pop(0))
        for key in relations.referring(current):
            if key.on_delete in ACTIONS:
                found[key] = None
                child = relations.root(key.child)
                todo += [child] if key.on_delete == CASCADE and child not in done else []
    return tuple(found)


def truncated(table: str, relations: Relations) -> tuple[str, ...]:
    """The other tables that TRUNCATE … CASCADE empties: all that refer to it, transitively."""
    todo, done = [relations.root(table)], dict[str, None]()
    while todo:
        done[current := todo.pop(0)] = None
        todo += [
            child
            for key in relations.referring(current)
            if (child := relations.root(key.child)) not in done
        ]
    return tuple(done)[1:]


def updated(table: str, columns: frozenset[str], relations: Relations) -> tuple[ForeignKey, ...]:
    """The foreign keys whose ON UPDATE actions an UPDATE of these columns may set off."""
    found: dict[ForeignKey, None] = {}
    todo = [(table, columns)]
    while todo:
        current, changed = todo.pop(0)
        for key in relations.referring(current):
            if key.on_update in ACTIONS and changed & set(key.referenced) and key not in found:
                found[key] = None
                todo.append((key.child, frozenset(key.columns)))
    return tuple(found)


def lower_bound(loss: Loss, relations: Relations) -> Loss:
    """Mark a loss as a lower bound where triggers or rules run too.

    A row-level trigger does not run for 0 rows.
    """
    if loss.removal is None:
        return loss
    found = relations.hooked(loss.removal.table, loss.removal.event)
    names = dict.fromkeys(str(hook) for hook in found if loss.rows != 0 or not hook.each_row)
    return replace(loss, besides=", ".join(names))


def losses(loss: Loss, relations: Relations) -> Iterator[Loss]:
    """The losses in other tables that follow a counted loss, each with the query that counts it.

    A DELETE of 0 rows has none.
    """
    removal = loss.removal
    if removal is None or loss.rows == 0:
        return
    if removal.event == "truncate":
        for table in truncated(removal.table, relations) if removal.cascade else ():
            what = f"all rows of table {relations.written(table)} (TRUNCATE … CASCADE)"
            question = f"SELECT count(*) FROM {table}"  # noqa: S608
            yield Loss(loss.revision, what, question, removal=Removal(table, "truncate"))
    elif removal.event == "delete":
        yield from _deleted(loss.revision, removal, relations)


def _deleted(revision: str, removal: Removal, relations: Relations) -> Iterator[Loss]:
    keys = followed(removal.table, relations)
    cascading = [key for key in keys if key.on_delete == CASCADE]
    for child in dict.fromkeys(key.child for key in cascading):
        into = [key for key in cascading if key.child == child]
        what = f"rows of {relations.written(child)} ({ACTIONS[CASCADE]})"
        yield Loss(
            revision,
            what,
            _question(child, into, removal, relations, cascading),
            removal=Removal(child, "delete"),
        )
    for key in keys:
        if key.on_delete != CASCADE:
            columns = ", ".join(
                f"{relations.written(key.child)}.{column}" for column in key.columns
            )
            question = _question(key.child, [key], removal, relations, cascading)
            yield Loss(
                revision,
                f"the values of {columns} ({ACTIONS[key.on_delete]})",
                question,
                removal=Removal(key.child, "update"),
            )


class _CannotBeCounted(Exception):
    """A cycle of foreign keys, too many paths, or a foreign key that does not name its columns."""


def _question(
    child: str,
    keys: list[ForeignKey],
    removal: Removal,
    relations: Relations,
    cascading: list[ForeignKey],
) -> str | None:
    """The query that counts the rows of `child` that refer by `keys` to deleted rows.

    None where one plain query can't count them.
    """

    def deleted(table: str, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """(FROM clause, qualifier for its columns) of the rows of `table` that are deleted."""
        if table in path:
            raise _CannotBeCounted
        if table == relations.root(removal.table):
            yield removal.source, removal.alias
        for key in cascading:
            if relations.root(key.child) == table:
                yield f"{key.child} AS ops_child WHERE {refers(key, (*path, table))}", "ops_child"

    def refers(key: ForeignKey, path: tuple[str, ...] = ()) -> str:
        mine = ", ".join(f"ops_child.{column}" for column in key.columns)
        found = []
        if not key.referenced:  # REFERENCES without columns, in a revision
            raise _CannotBeCounted
        for source, alias in deleted(relations.root(key.parent), path):
            theirs = ", ".join(f"{alias}.{column}" for column in key.referenced)
            found.append(f"({mine}) IN (SELECT {theirs} FROM {source})")  # noqa: S608
            if sum(map(len, found)) > LONGEST_QUESTION:
                raise _CannotBeCounted
        return f"({' OR '.join(found)})"

    if not removal.source:
        return None
    try:
        condition = " OR ".join(refers(key) for key in keys)
        return f"SELECT count(*) FROM {child} AS ops_child WHERE {condition}"  # noqa: S608
    except _CannotBeCounted:
        return None
