"""Many looks at once, and what may never be in a sentence."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from ops.core.errors import Denied, Unreachable
from ops.core.findings import Denial, Unknown
from ops.core.parallel import AT_ONCE, NotRead, Reads, SchedulingDelay, gather, unknown
from ops.core.redaction.redact import one_line, redacted


def test_all_run_at_once_and_keep_their_order() -> None:
    """Six looks of 0.3 s take about 0.3 s."""
    began = time.monotonic()

    def read(name: str) -> str:
        time.sleep(0.3)
        return name

    began = time.monotonic()
    found = gather(**{name: partial(read, name) for name in "fedcba"})
    assert time.monotonic() - began < 1
    assert list(found.items()) == [(name, name) for name in "fedcba"]


def test_a_failure_is_unknown_with_its_reason_and_ends_nothing_else() -> None:
    """What could not be looked at says why; the others are there."""

    def ours() -> int:
        raise Unreachable("service x", "no network", "check it")

    def foreign() -> int:
        raise KeyError("gone")

    def leaving() -> int:
        raise SystemExit(3)

    found = gather(good=lambda: 1, ours=ours, foreign=foreign, leaving=leaving)
    assert found == {
        "good": 1,
        "ours": Unknown("service x: no network"),
        "foreign": Unknown("KeyError: 'gone'"),
        "leaving": Unknown("SystemExit: 3"),
    }


def test_a_busy_machine_knows_that_it_is_late() -> None:
    """Whoever holds the interpreter makes every measure as wrong as the metronome says."""
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            pass

    threads = [threading.Thread(target=spin, daemon=True) for _ in range(4)]
    with SchedulingDelay() as own:
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        over.set()
    assert own.late > 0.004  # CPython lets a thread run for 5 ms before it gives way


def test_no_more_than_the_bound_run_together() -> None:
    """Thirty looks never use more than eight threads' work at a time."""
    running, most, lock = 0, 0, threading.Lock()

    def look() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    gather(**{f"n{number}": look for number in range(30)})
    assert most == AT_ONCE


def test_nothing_to_do() -> None:
    """No looks, no answers."""
    assert gather() == {}


@pytest.mark.parametrize(
    "text",
    [
        "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=HUSH&X-Amz-Signature=HUSH&x=1",
        "x-amz-security-token:HUSH",
        "https://user:HUSH@example.org/repo.git",
        "postgresql://app:HUSH@db/app",
        "Authorization: Basic QVdTOkhVU0g=HUSH",
        "Authorization: Bearer HUSH.HUSH.HUSH",
        'password="HUSH HUSH" host=db',
        "PASSWORD: HUSH",
        "AWS_SECRET_ACCESS_KEY=HUSH",
        "the very secret HUSH",
    ],
)
def test_secrets_are_struck_out(text: str) -> None:
    """No shape of a secret survives."""
    assert "HUSH" not in redacted(text, ["HUSH"] if "very" in text else [])
    assert "HUSH" not in one_line(text, ["HUSH"] if "very" in text else [])


def test_one_line_is_one_bounded_line() -> None:
    """A page of text becomes one line of at most the limit."""
    assert one_line("a\n\n b\tc") == "a b c"
    assert len(one_line("x" * 9999)) == 400


def test_reads_of_different_types_keep_their_types() -> None:
    """Each handle has the type of its call; a failed one is Unknown."""
    with Reads() as reads:
        number = reads.submit(int, "7")
        text = reads.submit(str.upper, "a")
        failed = reads.submit(int, "x")
    count: int | Unknown = number.value
    assert (count, text.value) == (7, "A")
    assert isinstance(failed.value, Unknown) and "ValueError" in failed.value.why


def test_an_error_in_the_body_abandons_the_reads() -> None:
    """The error is raised at once, without waiting for a hanging read."""
    began, hung = time.monotonic(), threading.Event()
    with pytest.raises(KeyError), Reads() as reads:
        reads.submit(hung.wait, 30)
        raise KeyError
    hung.set()
    assert time.monotonic() - began < 10


def test_a_missing_permission_survives_as_a_field() -> None:
    """From the error to the unknown fact, and through a read that depends on it."""
    denied = Denied("x", "y", denied_action="s3:GetObject", denied_to="arn:x")
    fact = unknown(denied)
    assert fact.denied == Denial("arn:x", "s3:GetObject")
    assert unknown(NotRead("release records", fact)).denied == fact.denied
    assert unknown(Unreachable("x", "arn:x may not s3:GetObject")).denied is None
