"""A service's log as a check: errors and warnings grouped by pattern, new ones marked (runbook 5,
"CloudWatch Logs").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ops.core.findings import Evidence, Finding
from ops.core.redaction.redact import one_line
from ops.health.model import Check

# what CloudWatch hands over: a regular expression, since it is said of those alone that they find
# parts of words (user guide, "Supported
# regular expressions": %AUTHORIZED% finds UNAUTHORIZED; no parentheses, no quotation marks). Wider
# than the rules below, which judge.
WORDS = (
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
        ["".join(f"[{each.upper()}{each}]" for each in word) for word in WORDS]
        + ["[Ll][Ee][Vv][Ee][Ll].*[456]0"]
    )
    + "%"
)
# the word is the end of one: TypeError, psycopg.OperationalError, NullPointerException; `errors` in
# a count is none
ERROR = re.compile(
    r"\b(?:\w*(?:error|exception)|err|fatal|critical|panic|traceback|unhandled\w*|uncaught\w*)\b",
    re.IGNORECASE,
)
WARNING = re.compile(r"\b(?:warn|\w*warning)\b", re.IGNORECASE)
ERRORS = (
    "error",
    "err",
    "fatal",
    "critical",
    "crit",
    "panic",
    "dpanic",
    "alert",
    "emergency",
    "emerg",
    "severe",
    "50",
    "60",
)
QUIET = (
    "trace",
    "debug",
    "verbose",
    "info",
    "information",
    "informational",
    "notice",
    "log",
    "default",
    "10",
    "20",
    "30",
)
LEVELS: dict[str, str | None] = {  # 10 to 60: pino's and bunyan's
    **dict.fromkeys(ERRORS, "error"),
    **dict.fromkeys(("warn", "warning", "40"), "warning"),
    **dict.fromkeys(QUIET),
}
SEVERITY = re.compile(r"\b(?:level|severity|levelname|lvl)=\"?(\w+)", re.IGNORECASE)  # logfmt
VARYING = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d{4}-\d\d-\d\d[T "
    r"][\d:.,]+Z?\b|\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b|\d+",
    re.IGNORECASE,
)
SHOWN = 5
MOMENT = ("time", "timestamp", "ts", "@timestamp", "ms")


@dataclass(frozen=True)
class LogLine:
    """One line of the log: seconds since 1970, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class LogPattern:
    """Lines that differ in numbers and ids alone. `recent`: how many of `count` came within the
    time that is judged.
    """

    level: str
    text: str
    count: int
    recent: int
    sample: str

    @property
    def key(self) -> str:
        return f"{self.level} {self.text}"


def level(text: str) -> str | None:
    """error | warning | None: by the level that a line of JSON or logfmt names itself, where it is
    one that we know, else by the words.
    """
    fields = parsed(text)
    if fields is not None:
        said = next(
            (
                str(fields[key])
                for key in ("level", "severity", "levelname", "lvl")
                if fields.get(key)
            ),
            "",
        )
    else:
        found = SEVERITY.search(text)
        said = found[1] if found else ""
    if said.lower() in LEVELS:
        return LEVELS[said.lower()]
    return "error" if ERROR.search(text) else "warning" if WARNING.search(text) else None


def parsed(text: str) -> dict[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def message_of(text: str) -> str:
    """What is compared: a JSON line without its moment, on one line, redacted."""
    fields = parsed(text)
    if fields is not None:
        text = " ".join(f"{key}={value}" for key, value in fields.items() if key not in MOMENT)
    return one_line(text, limit=200)


def patterns(lines: Iterable[LogLine], since: float) -> tuple[LogPattern, ...]:
    """Errors first, then the most frequent. `since`: from when on a line counts as recent."""
    found: dict[tuple[str, str], list[LogLine]] = {}
    for line in lines:
        kind = level(line.text)
        if kind is not None:
            found.setdefault((kind, VARYING.sub("#", message_of(line.text))), []).append(line)
    made = [
        LogPattern(
            kind,
            text,
            len(group),
            sum(each.at >= since for each in group),
            message_of(group[-1].text),
        )
        for (kind, text), group in found.items()
    ]
    return tuple(sorted(made, key=lambda each: (each.level != "error", -each.count, each.text)))


def check(
    service: str,
    found: Sequence[LogPattern],
    known: frozenset[str] | None,
    minutes: float,
    whole: bool,
    span: str,
    judged_whole: bool = True,
) -> Check:
    """`known`: patterns of the run before (None: there was none); `minutes`: how long the judged
    time is; `span`: what was read; `whole`, `judged_whole`: whether all of it, and all of the
    judged time, was read: where it was not, no error seen is none that is not there."""
    name = f"{service} log"
    errors = [each for each in found if each.level == "error"]
    recent = sum(each.recent for each in errors)
    rate = recent / minutes if minutes else 0.0
    shown = summary(found, known, whole and judged_whole, span)
    told: dict[str, Any] = {
        "service": service,
        "numbers": {"errors/min": rate},
        "patterns": tuple(each.key for each in found),
    }
    if not recent and not judged_whole:
        why = (
            f"more was said in the last {span_option(minutes)} than can be read, and no error "
            f"is among what was read: {shown}"
        )
        return Check("logs", name, "unknown", why, **told)
    if not recent:
        return Check("logs", name, "ok", shown, "no errors", **told)
    worst = max(errors, key=lambda each: each.recent)
    evidence = tuple(Evidence(f"{each.count} times", each.sample) for each in errors[:SHOWN])
    what = f"{service} logs {recent} error(s): {worst.text}"
    finding = Finding(
        "log_errors",
        what,
        "certain",
        evidence,
        (f"inv {service}.status", f"inv health.logs --since {span_option(minutes)}"),
    )
    return Check(
        "logs", name, "failed", f"{shown}, expected no error", "errors", finding=finding, **told
    )


def span_option(minutes: float) -> str:
    return f"{max(1, round(minutes))}m"


def summary(
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
    more = f"; {len(lines) - SHOWN} more pattern(s)" if len(lines) > SHOWN else ""
    return f"{'' if whole else 'at least '}{'; '.join(lines[:SHOWN])}{more} {span}"
