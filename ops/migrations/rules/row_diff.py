"""Whether rows were kept: each table's rows before and after, as a sentence a table in which they
are not the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ops.core.text import format_count

SHOWN = 160  # characters of an example


def lost_rows(
    before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> tuple[str, ...]:
    """What happened to the rows that were there before; empty where they are all as they were, and
    no others.
    """
    return tuple(
        sentence
        for table in sorted(before.keys() | after.keys())
        for sentence in of_table(table, before, after)
    )


def of_table(
    table: str, before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]
) -> Iterator[str]:
    had, has = before.get(table, Counter()), after.get(table, Counter())
    for rows, what in ((had - has, "gone or changed"), (has - had, "new or changed")):
        if rows:
            count = rows.total()
            yield (
                f"{format_count(count, 'row')} of {table} "
                f"{'are' if count > 1 else 'is'} {what}: {min(rows)[:SHOWN]}"
            )
