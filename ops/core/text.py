"""Durations, sizes, counts, ids and errors as short text for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ops.core.errors import Interrupted, OpsError
from ops.core.redaction.redact import one_line

_SIZES = (("GB", 2**30), ("MB", 2**20), ("kB", 2**10))

SHORT_ID_LENGTH = 7  # digits of a commit id, where nothing else is configured


def format_duration(seconds: float) -> str:
    """A measured duration: `4.2 s`, `3 min 5 s`."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def format_latency(seconds: float) -> str:
    """The duration of a request: `80 ms`, `1.2 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def format_age(seconds: float) -> str:
    """A rough duration in one unit: `40 s`, `12 min`, `3 h`, `2 days`."""
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_option(seconds: float) -> str:
    """A duration as an option takes it: `8s`, `10m`, `1h`."""
    for letter, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{letter}"
    return f"{seconds:g}s"


def format_size(size: float) -> str:
    """Bytes in the units of pg_size_pretty: `64 kB`, `9 MB`, `1.4 GB`, rounded up to `1 kB`."""
    unit, factor = next((pair for pair in _SIZES if size >= pair[1]), _SIZES[-1])
    return f"{max(size / factor, 1 if size else 0):.{1 if unit == 'GB' else 0}f} {unit}"


def format_count(number: int, noun: str, zero: str = "0") -> str:
    """A number and its noun: `0 rows` (or `no rows`), `1 row`, `2 rows`."""
    return f"{number or zero} {noun}{'' if number == 1 else 's'}"


def short_commit(commit: str) -> str:
    """The first 7 digits of a commit id."""
    return commit[:SHORT_ID_LENGTH]


def short_digest(digest: str) -> str:
    """The first 12 digits of an image digest, after `sha256:`."""
    return digest[:19]


_LONG_ID = re.compile(r"(?<![\w/])(sha256:)?([0-9a-f]{12})(?:[0-9a-f]{20}|[0-9a-f]{52})(?!\w)")


def short_ids(text: str) -> str:
    """The text with task ids and digests cut to 12 digits, which every option accepts."""
    return _LONG_ID.sub(r"\1\2", text)


def format_timestamp(iso: str) -> str:
    """An ISO 8601 time in UTC to the second: `2026-01-05T12:00:41Z`."""
    return f"{iso[:19]}Z"


def format_utc(at: datetime) -> str:
    """A time of any zone in UTC, to the second: `2026-01-05 12:00:41 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_error(error: BaseException) -> str:
    """An error on one line: `what: why` of an OpsError; class and text of any other error.

    An interruption by a signal is its text alone.
    """
    if isinstance(error, Interrupted):
        return str(error)
    if isinstance(error, OpsError):
        return ": ".join(part for part in (error.what, error.why) if part)
    return f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
