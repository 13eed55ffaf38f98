"""How long a migration will take, and from what that is told, by table."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ops.migrations.rules.durations import (
    MB,
    Rate,
    bytes_by_work,
    estimate,
    format_total,
    rates,
    worth_measuring,
)
from ops.migrations.rules.statements import parse
from ops.migrations.rules.table_locks import locks

GB = 1024 * MB


@pytest.mark.parametrize(
    ("sql", "weight"),
    [
        ("CREATE INDEX i ON big (b)", {"reads": GB}),
        ("ALTER TABLE big ADD CONSTRAINT c CHECK (b > 0), ADD COLUMN x bigserial", {"writes": GB}),
        ("CREATE INDEX i ON big (b); UPDATE small SET a = 1", {"reads": GB, "writes": MB}),
        ("ALTER TABLE big ADD COLUMN x text", {}),
        ("CREATE INDEX i ON other (b); CREATE INDEX j ON big (b)", {"reads": None}),
    ],
)
def test_what_there_is_to_do(sql: str, weight: Mapping[str, int | None]) -> None:
    """Bytes of the tables that are read or written as a whole; of a table whose size is not known,
    nothing is made up.
    """
    assert bytes_by_work(locks("7", parse(sql)), {"big": GB, "small": MB}) == weight


@pytest.mark.parametrize(
    ("took", "weight", "unknown", "seconds", "source", "says"),
    [
        (3.5, {"reads": GB}, "", 3.5, "before", "7 took 3.50 s when it last ran here"),
        (
            None,
            {"reads": 4 * GB},
            "",
            40.96,
            "assumed",
            "7 will take about 41 s: 4.0 GB read at an assumed 100 MB/s",
        ),
        (
            None,
            {"reads": GB, "writes": 2 * GB},
            "",
            112.64,
            "assumed",
            "and 2.0 GB written at an assumed 20 MB/s",
        ),
        (None, {"writes": 0}, "", 0.0, "catalog", "7 changes the catalog only"),
        (None, {}, "", 0.0, "catalog", "7 changes the catalog only"),
        (None, {"reads": GB}, "a DO block", None, "unknown", "it runs a DO block"),
        (None, {"reads": None}, "", None, "unknown", "the size of a table is not"),
    ],
)
def test_one_revision(
    took: float | None,
    weight: Mapping[str, int | None],
    unknown: str,
    seconds: float | None,
    source: str,
    says: str,
) -> None:
    """What it took here before; else bytes at a rate that is named; else that nobody can tell."""
    found = estimate("7", took, weight, unknown, rates({}))
    assert found.source == source and says in found.as_text()
    assert found.seconds == (None if seconds is None else pytest.approx(seconds))


def test_a_rate_is_measured_where_an_earlier_revision_shows_it() -> None:
    """The slowest that did one kind of work on enough for long enough; short ones, mixed ones and
    unknown ones say nothing.
    """
    measured = rates(
        {
            "1": (10.0, {"reads": 500 * MB}),
            "2": (10.0, {"reads": 300 * MB}),
            "3": (0.5, {"reads": 20 * MB}),
            "4": (9.0, {"reads": MB}),
            "5": (60.0, {"reads": 90 * MB, "writes": 90 * MB}),
            "6": (60.0, {"writes": None}),
        }
    )
    assert measured == {"reads": Rate(30.0 * MB, "2"), "writes": Rate(20.0 * MB)}
    found = estimate("7", None, {"reads": 3000 * MB}, "", measured)
    assert (found.source, found.seconds) == (
        "measured",
        100.0,
    ) and "2.9 GB read at 30 MB/s, as 2 did here" in found.as_text()
    assert worth_measuring([{"reads": GB}]) and not worth_measuring(
        [{"reads": MB}, {}, {"writes": None}]
    )


def test_all_of_them_in_a_line() -> None:
    """The sum of what is known, and the names of what is not."""
    quick, slow, dark = (
        estimate(name, None, weight, why, rates({}))
        for name, weight, why in (
            ("1", {}, ""),
            ("2", {"writes": 60 * GB}, ""),
            ("3", {}, "a DO block"),
        )
    )
    assert format_total([quick]) == "expected duration: less than a second, and waiting for locks"
    assert format_total([quick, slow]) == "expected duration: about 51 min, and waiting for locks"
    assert (
        format_total([slow, dark]).endswith("; without 3, whose duration is unknown")
        and format_total([dark]) == "expected duration: unknown"
    )
