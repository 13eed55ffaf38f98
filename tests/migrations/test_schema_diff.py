"""Two schemas compared, and the DDL between them, by table."""

from __future__ import annotations

import pytest

from ops.migrations.rules.reconcile_ddl import reconcile_ddl
from ops.migrations.rules.schema_diff import compare, describe
from ops.postgres.model import DatabaseSchema, SchemaObject

T = "TABLE public.t"
TABLE = SchemaObject("TABLE", "public.t", "", ("r", "p", "false", "false", "", "", "", ""))
ID = SchemaObject("COLUMN", "public.t.id", T, ("integer", "true", "7", "", "", ""))
KEY = SchemaObject("CONSTRAINT", "public.t.t_pkey", T, ("PRIMARY KEY (id)",))
OTHER = SchemaObject("CONSTRAINT", 'public.t."PK_1"', T, ("PRIMARY KEY (id)",))
GRANT = SchemaObject("GRANT", "SELECT ON TABLE public.t TO bob", T, ())
MOOD = SchemaObject("TYPE", "public.mood", "", ("e", "'a'"))
MOODS = SchemaObject("TYPE", "public.mood", "", ("e", "'a'", "'b'"))


def column(**parts: str) -> SchemaObject:
    """`id`, otherwise in one thing."""
    known = dict(zip(("type", "filled", "default"), ID.parts[:3], strict=True)) | parts
    return SchemaObject("COLUMN", "public.t.id", T, (*known.values(), *ID.parts[3:]))


def function(body: str, language: str = "plpgsql") -> SchemaObject:
    head = f"CREATE OR REPLACE FUNCTION public.f()\n LANGUAGE {language}\n"
    return SchemaObject("FUNCTION", "public.f()", "", (f"{head}AS $function${body}$function$\n",))


CASES = {
    "the same": ([TABLE, ID], [TABLE, ID], (), ""),
    "a table is missing, with all that is in it": (
        [TABLE, ID, KEY, GRANT],
        [],
        ("- TABLE public.t",),
        "CREATE TABLE public.t ();|ALTER TABLE public.t ADD COLUMN id integer NOT NULL DEFAULT 7;"
        "|ALTER TABLE public.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);|GRANT SELECT ON "
        "TABLE public.t TO bob;",
    ),
    "a table too much is a decision": (
        [],
        [TABLE, ID, KEY],
        ("+ TABLE public.t",),
        "-- DROP TABLE public.t;   -- its rows would be lost: decide",
    ),
    "a column too much is a decision": (
        [TABLE],
        [TABLE, ID],
        ("+ COLUMN public.t.id",),
        "-- ALTER TABLE public.t DROP COLUMN id;   -- its data would be lost: decide",
    ),
    "another name": (
        [TABLE, KEY],
        [TABLE, OTHER],
        ('~ CONSTRAINT public.t.t_pkey is named public.t."PK_1"',),
        'ALTER TABLE public.t RENAME CONSTRAINT "PK_1" TO t_pkey;',
    ),
    "a default and NULL": (
        [ID],
        [column(default="", filled="false")],
        ("~ COLUMN public.t.id: NOT NULL is false, not true, default is none, not 7",),
        "ALTER TABLE public.t ALTER COLUMN id SET DEFAULT 7;|ALTER TABLE public.t ALTER "
        "COLUMN id SET NOT NULL;",
    ),
    "a grant too much": (
        [],
        [GRANT],
        ("+ GRANT SELECT ON TABLE public.t TO bob",),
        "REVOKE SELECT ON TABLE public.t FROM bob;",
    ),
    "an enum's value": (
        [MOODS],
        [MOOD],
        ("~ TYPE public.mood: e 'a', not e 'a' 'b'",),
        "ALTER TYPE public.mood ADD VALUE 'b';",
    ),
    "an enum's value too much is by hand": (
        [MOOD],
        [MOODS],
        ("~ TYPE public.mood: e 'a' 'b', not e 'a'",),
        "-- TYPE public.mood: by hand (e 'a')",
    ),
    "a function's layout is nothing": (
        [function("\nBEGIN\n  x := 1;\nEND ")],
        [function("BEGIN x := 1; END")],
        (),
        "",
    ),
    "the case of a function's keywords and names is nothing": (
        [function("NEW.at = NOW(); return NEW;")],
        [function("new.At = now(); RETURN new;")],
        (),
        "",
    ),
    "the case of a quoted name is something": (
        [function('NEW."updatedAt" = 1;')],
        [function('NEW."updatedat" = 1;')],
        (),
        None,
    ),
    "the case inside of a nested body is something": (
        [function("EXECUTE $q$SELECT 'a' AS A$q$")],
        [function("EXECUTE $q$SELECT 'a' AS a$q$")],
        (),
        None,
    ),
    "the case of another language is something": (
        [function("Now()", "plpython3u")],
        [function("now()", "plpython3u")],
        (),
        None,
    ),
    "a function's strings are something": (
        [function("SELECT 'a  b'")],
        [function("SELECT 'a b'")],
        (),
        None,
    ),
}


def schema(pieces: list[SchemaObject]) -> DatabaseSchema:
    return {piece.key: piece for piece in pieces}


@pytest.mark.parametrize("case", CASES)
def test_differences_by_name_and_the_ddl_that_ends_them(case: str) -> None:
    """What is too much, missing or otherwise, and the statements in their order; nothing that loses
    rows.
    """
    wanted, found, names, ddl = CASES[case]
    differences = compare(schema(wanted), schema(found))
    if ddl is None:
        assert len(differences) == 1
        return
    assert describe(differences) == names
    frame = ("BEGIN;", "COMMIT;", "SET LOCAL")
    assert (
        "|".join(
            line for line in reconcile_ddl(differences).splitlines() if not line.startswith(frame)
        )
        == ddl
    )
