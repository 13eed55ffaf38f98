"""Rows before and after, as a table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ops.migrations.rules.row_diff import row_differences

CASES: dict[str, Any] = {
    "the same": ({"t": ["a", "b"]}, {"t": ["b", "a"]}, ()),
    "one is gone": ({"t": ["a", "b"]}, {"t": ["a"]}, ("1 row of t is gone or changed: b",)),
    "equal rows count": ({"t": ["a", "a"]}, {"t": ["a"]}, ("1 row of t is gone or changed: a",)),
    "two are new": ({"t": []}, {"t": ["b", "a"]}, ("2 rows of t are new or changed: a",)),
    "a table is gone": ({"t": ["a"]}, {}, ("1 row of t is gone or changed: a",)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_happened_to_rows_is_said_by_table(case: str) -> None:
    """Gone, new, and rows that are equal to one another."""
    before, after, said = CASES[case]
    assert (
        row_differences(
            {key: Counter(rows) for key, rows in before.items()},
            {key: Counter(rows) for key, rows in after.items()},
        )
        == said
    )
