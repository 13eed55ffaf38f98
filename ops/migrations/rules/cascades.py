"""The effects of a statement that its text does not show: foreign keys, triggers and rules.

Foreign keys are followed transitively, and the rows that they delete are counted. The effects of a
trigger or a rule are unknown, so a count on a table that has one is a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ops.migrations.rules.data_loss import Loss, Removal
from ops.postgres.model import ForeignKey, Relations

CASCADE, SET_NULL, SET_DEFAULT = "c", "n", "d"  # pg_constraint.confdeltype
_ACTIONS = {
    CASCADE: "ON DELETE CASCADE",
    SET_NULL: "ON DELETE SET NULL",
    SET_DEFAULT: "ON DELETE SET DEFAULT",
}
_LONGEST_QUERY = 10_000  # characters; many paths to one table make a query of minutes


def delete_actions(table: str, relations: Relations) -> tuple[ForeignKey, ...]:
    """The foreign keys whose ON DELETE actions run after a DELETE, transitively, each once."""
    found: dict[ForeignKey, None] = {}
    todo, done = [relations.root(table)], set[str]()
    while todo:
        done.add(current := todo.pop(0))
        for key in relations.referring(current):
            if key.on_delete in _ACTIONS:
                found[key] = None
                child = relations.root(key.child)
                todo += [child] if key.on_delete == CASCADE and child not in done else []
    return tuple(found)


def truncated_tables(table: str, relations: Relations) -> tuple[str, ...]:
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


def update_actions(
    table: str, columns: frozenset[str], relations: Relations
) -> tuple[ForeignKey, ...]:
    """The foreign keys whose ON UPDATE actions may run after an UPDATE of these columns."""
    found: dict[ForeignKey, None] = {}
    todo = [(table, columns)]
    while todo:
        current, changed = todo.pop(0)
        for key in relations.referring(current):
            if key.on_update in _ACTIONS and changed & set(key.referenced) and key not in found:
                found[key] = None
                todo.append((key.child, frozenset(key.columns)))
    return tuple(found)


def lower_bound(loss: Loss, relations: Relations) -> Loss:
    """Mark a loss as a lower bound if triggers or rules run too.

    A row-level trigger does not run for 0 rows.
    """
    if loss.removal is None:
        return loss
    found = relations.hooked(loss.removal.table, loss.removal.event)
    names = dict.fromkeys(str(hook) for hook in found if loss.rows != 0 or not hook.each_row)
    return replace(loss, side_effects=", ".join(names))


def cascade_losses(loss: Loss, relations: Relations) -> Iterator[Loss]:
    """The losses in other tables that follow from a counted loss, each with its counting query.

    A DELETE of 0 rows has none.
    """
    removal = loss.removal
    if removal is None or loss.rows == 0:
        return
    if removal.event == "truncate":
        for table in truncated_tables(removal.table, relations) if removal.cascade else ():
            what = f"all rows of table {relations.written(table)} (TRUNCATE … CASCADE)"
            query = f"SELECT count(*) FROM {table}"  # noqa: S608
            yield Loss(loss.revision, what, query, removal=Removal(table, "truncate"))
    elif removal.event == "delete":
        yield from _delete_losses(loss.revision, removal, relations)


def _delete_losses(revision: str, removal: Removal, relations: Relations) -> Iterator[Loss]:
    keys = delete_actions(removal.table, relations)
    cascading = [key for key in keys if key.on_delete == CASCADE]
    for child in dict.fromkeys(key.child for key in cascading):
        into = [key for key in cascading if key.child == child]
        what = f"rows of {relations.written(child)} ({_ACTIONS[CASCADE]})"
        yield Loss(
            revision,
            what,
            _count_query(child, into, removal, relations, cascading),
            removal=Removal(child, "delete"),
        )
    for key in keys:
        if key.on_delete != CASCADE:
            columns = ", ".join(
                f"{relations.written(key.child)}.{column}" for column in key.columns
            )
            query = _count_query(key.child, [key], removal, relations, cascading)
            yield Loss(
                revision,
                f"the values of {columns} ({_ACTIONS[key.on_delete]})",
                query,
                removal=Removal(key.child, "update"),
            )


class _CannotBeCounted(Exception):
    """A cycle of foreign keys, too many paths, or a foreign key that does not name its columns."""


def _count_query(
    child: str,
    keys: list[ForeignKey],
    removal: Removal,
    relations: Relations,
    cascading: list[ForeignKey],
) -> str | None:
    """The query that counts the rows of `child` that refer by `keys` to deleted rows.

    None if a single query can't count them.
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
            if sum(map(len, found)) > _LONGEST_QUERY:
                raise _CannotBeCounted
        return f"({' OR '.join(found)})"

    if not removal.source:
        return None
    try:
        condition = " OR ".join(refers(key) for key in keys)
        return f"SELECT count(*) FROM {child} AS ops_child WHERE {condition}"  # noqa: S608
    except _CannotBeCounted:
        return None
