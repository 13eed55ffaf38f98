"""Retries: which errors are repeated, how often, and with which pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.retry import pauses_within, repeat_until, retry


def failing(*errors: OpsError) -> Callable[[], str]:
    """An action that raises each error in turn, then succeeds."""
    left = list(errors)

    def act() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act


def is_unreachable(error: OpsError) -> bool:
    return isinstance(error, Unreachable)


def test_a_passing_error_is_repeated_after_growing_pauses() -> None:
    """Each error is reported with the pause that follows it."""
    slept: list[float] = []
    reported: list[tuple[str, float]] = []
    found = retry(
        failing(Unreachable("first"), Unreachable("second")),
        (1.0, 4.0),
        passing=is_unreachable,
        report=lambda error, pause_s: reported.append((error.what, pause_s)),
        sleep=slept.append,
    )
    assert found == "done" and slept == [1.0, 4.0]
    assert reported == [("first", 1.0), ("second", 4.0)]


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ((Refused("a"),), "a"),
        ((Unreachable("a"), Refused("b")), "b"),
        ((Unreachable("a"), Unreachable("b"), Unreachable("c")), "b"),
    ],
)
def test_the_first_lasting_or_the_last_error_is_raised(
    errors: tuple[OpsError, ...], raised: str
) -> None:
    """One pause allows two tries."""
    with pytest.raises(OpsError, match=raised):
        retry(failing(*errors), (1.0,), passing=is_unreachable, sleep=lambda _: None)


@pytest.mark.parametrize(("values", "expected"), [([1, 5, 9], 5), ([1, 2, 3], 3)])
def test_a_read_is_repeated_until_it_is_good(values: list[int], expected: int) -> None:
    """The first good value, or the last one."""
    left = iter(values)
    found = repeat_until(lambda: next(left), lambda value: value > 4, (1.0, 1.0), lambda _: None)
    assert found == expected


def test_no_pause_begins_after_the_limit() -> None:
    """The limit counts from the call, not from the first pause."""
    times: Iterator[float] = iter([0.0, 3.0, 9.0, 11.0])
    assert list(pauses_within((2.0, 2.0, 2.0), 10.0, lambda: next(times))) == [2.0, 2.0]
