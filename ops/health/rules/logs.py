"""Check a service's log: errors and warnings by pattern (runbook 5, "CloudWatch Logs")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ops.core.findings import Evidence, Finding
from ops.core.log_level import level, parse_json
from ops.core.redaction.redact import one_line
from ops.core.text import format_count, format_option
from ops.health.model import Check, CheckKey

# The CloudWatch filter. Only regular expressions match parts of words (user guide, "Supported
# regular expressions": %AUTHORIZED% finds UNAUTHORIZED; no parentheses, no quotation marks). It
# matches more than the rules below, which decide.
_WORDS = (
    "err",
    "warn",
    "fatal",
    "crit",
    "panic",
    "traceback",
    "exception",
    "unhandled",
    "uncaught",
    "alert",
    "emerg",
    "severe",
)
FILTER = (
    "%"
    + "|".join(
        ["".join(f"[{each.upper()}{each}]" for each in word) for word in _WORDS]
        + ["[Ll][Ee][Vv][Ee][Ll].*[456]0"]
    )
    + "%"
)
_VARYING = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d{4}-\d\d-\d\d[T "
    r"][\d:.,]+Z?\b|\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b|\d+",
    re.IGNORECASE,
)
_MAX_PATTERNS = 5
_TIME_FIELDS = ("time", "timestamp", "ts", "@timestamp", "ms")


@dataclass(frozen=True)
class LogLine:
    """One log line; `at` is in seconds since 1970."""

    at: float
    text: str


@dataclass(frozen=True)
class LogPattern:
    """Lines that differ only in numbers and ids.

    `recent`: how many of `count` are within the time in which errors count.
    """

    level: str
    text: str
    count: int
    recent: int
    sample: str

    @property
    def key(self) -> str:
        return f"{self.level} {self.text}"


def _message_of(text: str) -> str:
    """Return the redacted text to compare, on one line, without time fields of JSON."""
    fields = parse_json(text)
    if fields is not None:
        text = " ".join(
            f"{key}={value}" for key, value in fields.items() if key not in _TIME_FIELDS
        )
    return one_line(text, limit=200)


def patterns(lines: Iterable[LogLine], since: float) -> tuple[LogPattern, ...]:
    """Group the lines: errors first, then the most frequent.

    `since`: lines from then on count as recent.
    """
    found: dict[tuple[str, str], list[LogLine]] = {}
    for line in lines:
        kind = level(line.text)
        if kind is not None:
            found.setdefault((kind, _VARYING.sub("#", _message_of(line.text))), []).append(line)
    made = [
        LogPattern(
            kind,
            text,
            len(group),
            sum(each.at >= since for each in group),
            _message_of(group[-1].text),
        )
        for (kind, text), group in found.items()
    ]
    return tuple(sorted(made, key=lambda each: (each.level != "error", -each.count, each.text)))


def log_key(service: str) -> CheckKey:
    return CheckKey("logs", "log", service)


def check(
    service: str,
    found: Sequence[LogPattern],
    known: frozenset[str] | None,
    minutes: float,
    whole: bool,
    span: str,
    recent_whole: bool = True,
) -> Check:
    """Check that no error is recent.

    `known`: patterns of the previous run, or None. `minutes`: length of the time in which errors
    count. `span`: describes what was read. `whole`, `recent_whole`: whether all of the log, and all
    of its recent part, was read. No errors in an incomplete recent part is unknown.
    """
    key = log_key(service)
    errors = [each for each in found if each.level == "error"]
    recent = sum(each.recent for each in errors)
    rate = recent / minutes if minutes else 0.0
    shown = _summary(found, known, whole and recent_whole, span)
    fields: dict[str, Any] = {
        "service": service,
        "numbers": {"errors/min": rate},
        "patterns": tuple(each.key for each in found),
    }
    if not recent and not recent_whole:
        why = (
            f"more was logged in the last {_window(minutes)} than can be read, and no "
            f"error is in what was read: {shown}"
        )
        return Check(key, "unknown", why, **fields)
    if not recent:
        return Check(key, "ok", shown, "no errors", **fields)
    worst = max(errors, key=lambda each: each.recent)
    evidence = tuple(
        Evidence(f"{each.count} times", each.sample) for each in errors[:_MAX_PATTERNS]
    )
    what = f"{service} logs {format_count(recent, 'error')}: {worst.text}"
    finding = Finding(
        "log_errors",
        what,
        "certain",
        evidence,
        (
            f"inv {service}.status",
            f"inv health.logs --since {_window(minutes)}",
        ),
    )
    return Check(key, "failed", f"{shown}, expected no error", "errors", finding=finding, **fields)


def _window(minutes: float) -> str:
    return format_option(60 * max(1, round(minutes)))


def _summary(
    found: Sequence[LogPattern], known: frozenset[str] | None, whole: bool, span: str
) -> str:
    if not found:
        return f"no error or warning {span}"
    lines = [
        f"{each.count} × "
        f"{each.level}{' (new)' if known is not None and each.key not in known else ''}: "
        f"{each.text}"
        for each in found
    ]
    more = (
        f"; {format_count(len(lines) - _MAX_PATTERNS, 'more pattern')}"
        if len(lines) > _MAX_PATTERNS
        else ""
    )
    return f"{'' if whole else 'at least '}{'; '.join(lines[:_MAX_PATTERNS])}{more} {span}"
