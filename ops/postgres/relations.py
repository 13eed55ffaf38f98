"""The foreign keys, triggers and rules around the tables that a migration writes."""

from __future__ import annotations

from typing import Any

from ops.postgres.model import ForeignKey, Hook, Relations

# A partitioned table's foreign key has a copy for each partition (conparentid <> 0): not followed.
_REACH = """
WITH RECURSIVE given AS (
    SELECT name, to_regclass(name)::oid AS rel,
           coalesce(pg_partition_root(to_regclass(name)), to_regclass(name))::oid AS root
    FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL
), keys AS MATERIALIZED (
    SELECT *, coalesce(pg_partition_root(conrelid)::oid, conrelid) AS child,
           coalesce(pg_partition_root(confrelid)::oid, confrelid) AS parent
    FROM pg_constraint WHERE contype = 'f' AND conparentid = 0
), reach(rel) AS (
    SELECT root FROM given UNION SELECT keys.child FROM reach JOIN keys ON keys.parent = reach.rel
)
"""
_NAMES = "SELECT name, rel::regclass::text, root::regclass::text FROM given"
_KEYS = """
SELECT conname, conrelid::regclass::text, child::regclass::text,
       ARRAY(SELECT quote_ident(attname) FROM unnest(conkey) WITH ORDINALITY AS k(number, place)
             JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place),
       confrelid::regclass::text, parent::regclass::text,
       ARRAY(SELECT quote_ident(attname) FROM unnest(confkey) WITH ORDINALITY AS k(number, place)
             JOIN pg_attribute ON attrelid = confrelid AND attnum = number ORDER BY place),
       confdeltype::text, confupdtype::text,
       coalesce((SELECT relname::text FROM pg_class WHERE oid = conindid), '')
FROM keys WHERE parent IN (SELECT rel FROM reach) OR child IN (SELECT root FROM given) ORDER BY 2, 1
"""
_HOOKS = """
SELECT DISTINCT coalesce(pg_partition_root(tgrelid), tgrelid)::regclass::text,
       'trigger ' || quote_ident(tgname), tgtype::int, proname::text, ''
FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND pronamespace <> 'pg_catalog'::regnamespace
  AND coalesce(pg_partition_root(tgrelid)::oid, tgrelid) IN (SELECT rel FROM reach)
UNION SELECT ev_class::regclass::text, 'rule ' || quote_ident(rulename),
       CASE ev_type WHEN '2' THEN 16 WHEN '3' THEN 4 ELSE 8 END,
       '', pg_get_ruledef(oid)
FROM pg_rewrite
WHERE ev_type IN ('2', '3', '4') AND ev_enabled IN ('O', 'A')
  AND ev_class IN (SELECT rel FROM reach)
UNION SELECT oid::regclass::text, 'view ' || oid::regclass::text, 28, '', ''
FROM pg_class WHERE relkind = 'v' AND oid IN (SELECT rel FROM reach)
ORDER BY 1, 2
"""
_EACH_ROW, _EVENTS = (
    1,
    {"insert": 4, "delete": 8, "update": 16, "truncate": 32},
)  # pg_trigger.tgtype


def read(opened: Any, names: tuple[str, ...]) -> Relations:
    """Everything that a write to these tables (names as written in SQL) may reach."""
    if not names:
        return Relations()
    given = [list(names)]
    known = opened.execute(_REACH + _NAMES, given).fetchall()
    keys = opened.execute(_REACH + _KEYS, given).fetchall()
    hooks = opened.execute(_REACH + _HOOKS, given).fetchall()
    roots = (
        {relation: root for _, relation, root in known}
        | {row[1]: row[2] for row in keys}
        | {row[4]: row[5] for row in keys}
    )
    return Relations(
        {name: relation for name, relation, _ in known},
        {relation: root for relation, root in roots.items() if relation != root},
        tuple(
            ForeignKey(
                name, child, tuple(columns), parent, tuple(referenced), on_delete, on_update, index
            )
            for name, child, _, columns, parent, _, referenced, on_delete, on_update, index in keys
        ),
        tuple(
            Hook(
                table,
                what,
                frozenset(event for event, bit in _EVENTS.items() if kind & bit),
                bool(kind & _EACH_ROW),
                function,
                code,
            )
            for table, what, kind, function, code in hooks
        ),
    )
