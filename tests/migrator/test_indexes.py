"""Which indexes a revision builds concurrently, by its words."""

from __future__ import annotations

import pytest

from ops.migrator.indexes import concurrent_indexes


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", {(None, "i")}),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS I ON ONLY public.t (a)",
            {("public", "i")},
        ),
        ('CREATE INDEX CONCURRENTLY "My ""own" ON "S".t USING gin (a)', {("S", 'My "own')}),
        ("REINDEX INDEX CONCURRENTLY s.i", {("s", "i")}),
        ("CREATE INDEX i ON t (a)", set()),
    ],
)
def test_indexes_are_named_with_their_schema(sql: str, found: set[tuple[str | None, str]]) -> None:
    """A new index lies where its table does; without a schema it is the search path's."""
    assert concurrent_indexes([sql]) == found
