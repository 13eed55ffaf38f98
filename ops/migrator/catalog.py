"""Read the schema of a database from PostgreSQL's catalog, independent of pg_dump's format.

Each row is an object: kind, name (quoted for SQL), the object that it belongs to, and the parts
that define it:

    TABLE        kind, persistence, row security, partitioning, parents, options
    COLUMN       type, NOT NULL, default, identity, generated, collation
    SEQUENCE     type, start, increment, minimum, maximum, cycle (an identity column's is a part of it)
    INDEX        its definition without its name, "invalid"
    CONSTRAINT, RULE, FUNCTION, VIEW    its definition
    TYPE         enum, composite or domain, then its labels, attributes or constraints
    TRIGGER      its definition, when it fires
    POLICY       command, kind, roles, USING, WITH CHECK
    GRANT        nothing: its name says all

Left out: objects of PostgreSQL and extensions, owners and their implicit privileges, comments, the
order of columns, MAINTAIN (PostgreSQL 17 grants it with ALL, older versions don't have it), PUBLIC's
privileges on schema public (they depend on the version that created the database), NOT NULL as a
constraint (PostgreSQL 18), and our own: Alembic's table, the audit, a legacy `migration_history`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import psycopg

Row = tuple[str, str, str, list[str]]
_EXCLUDED_TABLES = "('alembic_version', 'migration_history')"
_SELECT_OBJECTS = f"""
WITH spaces AS (
    SELECT n.* FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'ops_migrations')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
), rels AS (
    SELECT c.*, format('%I.%I', s.nspname, c.relname) AS name,
           CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind
    FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't' AND c.relname NOT IN {_EXCLUDED_TABLES}
      AND NOT EXISTS (SELECT FROM pg_depend d LEFT JOIN pg_class o ON d.refclassid = 'pg_class'::regclass AND o.oid = d.refobjid
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                        AND (d.deptype = 'e' OR (c.relkind = 'S' AND (d.deptype = 'i' OR (d.deptype = 'a' AND o.relname IN {_EXCLUDED_TABLES})))))
), functions AS (
    SELECT p.*, p.oid::regprocedure::text AS name FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
), types AS (
    SELECT t.*, format('%I.%I', s.nspname, t.typname) AS name FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace
    WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c'))
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
), columns AS (
    SELECT r.name AS relation, r.kind AS kind, r.relowner, a.*, format('%s.%I', r.name, a.attname) AS name
    FROM rels r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attnum > 0 AND NOT a.attisdropped
), acls (key, inside, target, owner, acl) AS (
    SELECT 'SCHEMA ' || quote_ident(nspname), '', 'SCHEMA ' || quote_ident(nspname), nspowner, coalesce(nspacl, acldefault('n', nspowner))
    FROM spaces
    UNION ALL SELECT kind || ' ' || name, '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || name, relowner,
        coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) FROM rels
    UNION ALL SELECT 'COLUMN ' || name, format(' (%I)', attname), 'TABLE ' || relation, relowner, attacl FROM columns
    WHERE attacl IS NOT NULL
    UNION ALL SELECT 'FUNCTION ' || name, '', CASE prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' END || name, proowner,
        coalesce(proacl, acldefault('f', proowner)) FROM functions
    UNION ALL SELECT 'TYPE ' || name, '', 'TYPE ' || name, typowner, coalesce(typacl, acldefault('T', typowner)) FROM types
)
SELECT 'SCHEMA' AS kind, quote_ident(nspname) AS name, '' AS on, '{{}}'::text[] AS parts FROM spaces WHERE nspname <> 'public'
UNION ALL SELECT 'EXTENSION', quote_ident(extname), '', '{{}}' FROM pg_extension WHERE extname <> 'plpgsql'
UNION ALL SELECT kind, name, '', ARRAY[relkind::text, relpersistence::text, relrowsecurity::text, relforcerowsecurity::text,
        coalesce(pg_get_partkeydef(oid), ''), coalesce(pg_get_expr(relpartbound, oid), ''),
        (SELECT coalesce(string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno), '')
         FROM pg_inherits i WHERE i.inhrelid = rels.oid),
        coalesce(array_to_string(reloptions, ', '), '')] FROM rels WHERE kind = 'TABLE'
UNION ALL SELECT kind, name, '', ARRAY[pg_get_viewdef(oid), coalesce(array_to_string(reloptions, ', '), '')] FROM rels
    WHERE kind LIKE '%VIEW'
UNION ALL SELECT 'COLUMN', c.name, 'TABLE ' || c.relation, ARRAY[format_type(c.atttypid, c.atttypmod), c.attnotnull::text,
        coalesce(pg_get_expr(d.adbin, d.adrelid), ''), c.attidentity::text, c.attgenerated::text,
        CASE WHEN c.attcollation <> t.typcollation THEN c.attcollation::regcollation::text ELSE '' END]
    FROM columns c JOIN pg_type t ON t.oid = c.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.attrelid AND d.adnum = c.attnum
    WHERE c.kind = 'TABLE'
UNION ALL SELECT 'SEQUENCE', r.name, coalesce('COLUMN ' || o.name, ''), ARRAY[format_type(s.seqtypid, NULL), s.seqstart::text,
        s.seqincrement::text, s.seqmin::text, s.seqmax::text, s.seqcycle::text]
    FROM rels r JOIN pg_sequence s ON s.seqrelid = r.oid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'a'
    LEFT JOIN columns o ON o.attrelid = d.refobjid AND o.attnum = d.refobjsubid
UNION ALL SELECT 'CONSTRAINT', format('%s.%I', r.name, c.conname), 'TABLE ' || r.name, ARRAY[pg_get_constraintdef(c.oid)]
    FROM pg_constraint c JOIN rels r ON r.oid = c.conrelid WHERE c.contype IN ('p', 'u', 'f', 'c', 'x')
UNION ALL SELECT 'INDEX', format('%I.%I', s.nspname, i.relname), r.kind || ' ' || r.name,
        ARRAY[replace(pg_get_indexdef(i.oid), format(' INDEX %I ON ', i.relname), ' INDEX ON '),
              CASE WHEN x.indisvalid THEN '' ELSE 'invalid' END]
    FROM pg_index x JOIN rels r ON r.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid JOIN spaces s ON s.oid = i.relnamespace
    WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid AND c.contype IN ('p', 'u', 'x'))
UNION ALL SELECT 'FUNCTION', name, '', ARRAY[CASE prokind WHEN 'a' THEN 'aggregate' ELSE pg_get_functiondef(oid) END] FROM functions
UNION ALL SELECT 'TRIGGER', format('%s.%I', r.name, t.tgname), r.kind || ' ' || r.name, ARRAY[pg_get_triggerdef(t.oid), t.tgenabled::text]
    FROM pg_trigger t JOIN rels r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL SELECT 'RULE', format('%s.%I', r.name, w.rulename), r.kind || ' ' || r.name, ARRAY[pg_get_ruledef(w.oid)]
    FROM pg_rewrite w JOIN rels r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL SELECT 'POLICY', format('%s.%I', r.name, p.polname), 'TABLE ' || r.name, ARRAY[p.polcmd::text, p.polpermissive::text,
        (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ' ORDER BY o)
         FROM unnest(p.polroles) o),
        coalesce(pg_get_expr(p.polqual, p.polrelid), ''), coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')]
    FROM pg_policy p JOIN rels r ON r.oid = p.polrelid
UNION ALL SELECT 'TYPE', t.name, '', ARRAY[t.typtype::text] || CASE t.typtype
        WHEN 'e' THEN ARRAY(SELECT quote_literal(e.enumlabel) FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
        WHEN 'c' THEN ARRAY(SELECT format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) FROM pg_attribute a
                            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
        WHEN 'r' THEN ARRAY(SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid)
        ELSE ARRAY[format_type(t.typbasetype, t.typtypmod), CASE WHEN t.typnotnull THEN 'NOT NULL' ELSE '' END, coalesce(t.typdefault, '')]
             || ARRAY(SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c
                      WHERE c.contypid = t.oid AND c.contype = 'c' ORDER BY c.conname) END
    FROM types t
UNION ALL SELECT 'GRANT', format('%s%s ON %s TO %s%s', e.privilege_type, a.inside, a.target,
        CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END,
        CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), a.key, '{{}}'
    FROM acls a, aclexplode(a.acl) e WHERE e.grantee <> a.owner AND e.privilege_type <> 'MAINTAIN'
      AND NOT (a.key = 'SCHEMA public' AND e.grantee IN (0, (SELECT oid FROM pg_roles WHERE rolname = 'pg_database_owner')))
ORDER BY 1, 2
"""  # noqa: S608 - the constants above


def read(connection: psycopg.Connection[Any]) -> list[Row]:
    """Read every object, in order, with an empty search_path so that names are schema-qualified."""
    with connection.transaction():
        connection.execute("SELECT set_config('search_path', '', true)")
        found = connection.execute(_SELECT_OBJECTS).fetchall()
    return [
        (str(kind), str(name), str(on), [str(part) for part in parts])
        for kind, name, on, parts in found
    ]


def digest(rows: list[Row]) -> str:
    """Sixteen hexadecimal digits that identify a schema."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
