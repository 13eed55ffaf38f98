"""The options of `SERVICE.logs`: times, and text or pattern to search for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ops.core.errors import ConfigError

DEFAULT_S = 600.0
DEFAULT_FOLLOW_S = 60.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIMES = "allowed: a duration (30s, 5m, 2h, 1d), or a time (2026-11-30T05:43, with an offset or Z)"
_PATTERN = re.compile(r"/(?P<regex>.+)/(?P<flags>i?)", re.DOTALL)
# The characters that a CloudWatch regular expression takes literally, and operators that mean the
# same in Python. No parentheses, quotation marks or spaces (user guide, "Supported regular
# expressions").
_LITERAL = re.compile(r"[A-Za-z0-9_#=@/;,:-]+")
_WORD = r"(?:(?:[A-Za-z0-9_#=@/;,:-]|\.|\[[A-Za-z0-9_]+(?:-[A-Za-z0-9])?\])[*+?]?)+"
_COMMON = re.compile(rf"\^?{_WORD}|{_WORD}(?:\|{_WORD})*")
_LONGEST_FILTER = 1000


@dataclass(frozen=True)
class LogWindow:
    """The time range to read, in seconds since 1970; `until` None means up to now."""

    since: float
    until: float | None = None


def parse_window(
    since: str | None, until: str | None, now: float, *, follow: bool = False
) -> LogWindow:
    """The range of `--since` and `--until`. Raises ConfigError for an invalid one."""
    if follow and until is not None:
        raise ConfigError(
            "--follow and --until exclude each other",
            "--follow reads on until it is stopped",
            "leave one of them out",
        )
    default = DEFAULT_FOLLOW_S if follow else DEFAULT_S
    ends = _moment("until", until, now) if until is not None else None
    begins = _moment("since", since, now) if since is not None else (ends or now) - default
    if begins > now:
        raise ConfigError(
            f"--since {since}", "it is in the future", "give a time in the past: --since 5m"
        )
    if ends is not None and ends <= begins:
        given = f"--since {since} --until {until}" if since is not None else f"--until {until}"
        raise ConfigError(
            given, "the range ends before it begins", "give --since an earlier time than --until"
        )
    return LogWindow(begins, ends)


def _moment(option: str, text: str, now: float) -> float:
    """A duration before `now`, or a time; one without an offset is local."""
    if not text.strip():
        raise ConfigError(f"--{option} {text!r}", f"it is empty; {_TIMES}", f"--{option} 5m")
    found = _DURATION.fullmatch(text.strip())
    if found:
        return now - float(found[1]) * _UNITS[found[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"--{option} {text}", _TIMES, f"--{option} 5m") from None


@dataclass(frozen=True)
class Grep:
    """What a line must contain. `filter`: a CloudWatch pattern that every match satisfies, or "".

    The filter only saves reading: it may let more through, so `matches` decides.
    """

    text: str
    pattern: re.Pattern[str]
    filter: str = ""

    def matches(self, text: str) -> bool:
        return self.pattern.search(text) is not None


def parse_grep(text: str | None) -> Grep | None:
    """`--grep`: plain text, or /regex/ (/regex/i ignores case). Raises ConfigError."""
    if text is None:
        return None
    if not text:
        raise ConfigError("--grep", "it is empty", "--grep ERROR, or --grep '/time(d )?out/i'")
    found = _PATTERN.fullmatch(text)
    if found is None:
        literals = sorted(_LITERAL.findall(text), key=len)
        part = literals[-1] if literals else ""
        return Grep(text, re.compile(re.escape(text)), _filter(part))
    try:
        pattern = re.compile(found["regex"], re.IGNORECASE if found["flags"] else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"--grep {text}",
            f"it is not a regular expression: {error}",
            "correct it, or search for plain text: without the slashes",
        ) from None
    same = not found["flags"] and _COMMON.fullmatch(found["regex"])
    return Grep(text, pattern, _filter(found["regex"]) if same else "")


def _filter(regex: str) -> str:
    return f"%{regex}%" if 1 < len(regex) <= _LONGEST_FILTER else ""
