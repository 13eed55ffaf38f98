"""Compare the rows of tables before and after a migration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ops.core.text import format_count

_EXAMPLE_LENGTH = 160  # characters of an example


def row_differences(
    before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> tuple[str, ...]:
    """One sentence for each kind of difference in a table; empty if all rows are the same."""
    return tuple(
        sentence
        for table in sorted(before.keys() | after.keys())
        for sentence in _table_differences(table, before, after)
    )


def _table_differences(
    table: str, before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> Iterator[str]:
    had, has = before.get(table, Counter()), after.get(table, Counter())
    for rows, what in ((had - has, "gone or changed"), (has - had, "new or changed")):
        if rows:
            count = rows.total()
            yield (
                f"{format_count(count, 'row')} of {table} "
                f"{'are' if count > 1 else 'is'} {what}: {min(rows)[:_EXAMPLE_LENGTH]}"
            )
