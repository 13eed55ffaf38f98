"""Durations, sizes, counts and errors as text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from ops.core import text
from ops.core.errors import (
    Denied,
    Interrupted,
    OpsError,
    Refused,
    TimedOut,
    error_kind,
    error_of_kind,
)


@pytest.mark.parametrize(
    ("form", "seconds", "expected"),
    [
        (text.format_duration, 4.24, "4.2 s"),
        (text.format_duration, 185, "3 min 5 s"),
        (text.format_latency, 0.08, "80 ms"),
        (text.format_latency, 1.24, "1.2 s"),
        (text.format_age, 119, "119 s"),
        (text.format_age, 720, "12 min"),
        (text.format_age, 3 * 86400, "3 days"),
        (text.format_option, 600, "10m"),
        (text.format_option, 90, "90s"),
    ],
)
def test_a_duration_is_printed_in_its_form(
    form: Callable[[float], str], seconds: float, expected: str
) -> None:
    """Measured, of a request, rough, or as an option takes it."""
    assert form(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0 kB"), (1, "1 kB"), (2**16, "64 kB"), (3 * 2**29, "1.5 GB")]
)
def test_a_size_is_printed_as_postgresql_does(size: int, expected: str) -> None:
    """Nothing that exists is printed as 0 kB."""
    assert text.format_size(size) == expected


def test_a_count_agrees_with_its_noun() -> None:
    """One change, two changes, no changes."""
    counts = [text.format_count(number, "change", "no") for number in range(3)]
    assert counts == ["no changes", "1 change", "2 changes"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OpsError("push", "the disk is full"), "push: the disk is full"),
        (OpsError("push"), "push"),
        (Interrupted("SIGTERM"), "interrupted by SIGTERM"),
        (ValueError("a\nb"), "ValueError: a b"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_is_one_line(error: BaseException, expected: str) -> None:
    """An OpsError as `what: why`, any other with its class."""
    assert text.format_error(error) == expected


@pytest.mark.parametrize("kind", [OpsError, Refused, TimedOut, Denied])
def test_an_error_of_another_process_keeps_its_class(kind: type[OpsError]) -> None:
    """The kind that is sent gives the class that was raised."""
    found = error_of_kind(error_kind(kind("a", "b", "c")), "a", "b", "c")
    assert type(found) is kind and found.as_document() == kind("a", "b", "c").as_document()


def test_a_subclass_is_sent_as_its_base() -> None:
    """A class that the receiver does not know keeps its exit code."""

    class LockLost(Refused):
        pass

    assert error_kind(LockLost("a")) == "refused"


@pytest.mark.parametrize(
    ("long", "expected"),
    [
        (f"task {'ab' * 16}: ended", "task abababababab: ended"),
        (f"has sha256:{'01' * 32}", "has sha256:010101010101"),
        (
            f"arn:aws:ecs:us-east-1:1:task/c/{'ab' * 16}",
            f"arn:aws:ecs:us-east-1:1:task/c/{'ab' * 16}",
        ),
        ("commit 0123456789abcdef", "commit 0123456789abcdef"),
    ],
)
def test_ids_and_digests_have_twelve_digits(long: str, expected: str) -> None:
    """Those of tasks and images; inside an ARN they stay whole."""
    assert text.short_ids(long) == expected


def test_a_time_of_another_zone_is_printed_in_utc() -> None:
    """boto3 returns the times of AWS in the zone of this machine."""
    berlin = timezone(timedelta(hours=1))
    assert text.format_utc(datetime(2026, 1, 5, 0, 30, 41, tzinfo=berlin)) == (
        "2026-01-04 23:30:41 UTC"
    )
