"""The level of a log line: from its level field, or from words in its text."""

from __future__ import annotations

import json
import re

# At the end of a word: TypeError, psycopg.OperationalError, NullPointerException; not the plural
# `errors` of a count.
ERROR = re.compile(
    r"\b(?:\w*(?:error|exception)|err|fatal|critical|panic|traceback|unhandled\w*|uncaught\w*)\b",
    re.IGNORECASE,
)
WARNING = re.compile(r"\b(?:warn|\w*warning)\b", re.IGNORECASE)
_ERROR_LEVELS = (
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
_QUIET_LEVELS = (
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
_LEVELS: dict[str, str | None] = {  # 10 to 60: pino's and bunyan's
    **dict.fromkeys(_ERROR_LEVELS, "error"),
    **dict.fromkeys(("warn", "warning", "40"), "warning"),
    **dict.fromkeys(_QUIET_LEVELS),
}
_SEVERITY = re.compile(r"\b(?:level|severity|levelname|lvl)=\"?(\w+)", re.IGNORECASE)  # logfmt
# every line with a level contains one of these; most lines contain none, which saves the rest
_HINTS = (
    "err",
    "exception",
    "fatal",
    "critical",
    "panic",
    "traceback",
    "unhandled",
    "uncaught",
    "warn",
    "level",
    "severity",
    "lvl",
)


def level(text: str) -> str | None:
    """Return `error`, `warning` or None.

    A level field of a JSON or logfmt line goes first, if its value is known; otherwise words in the
    text decide.
    """
    lowered = text.lower()
    if not any(word in lowered for word in _HINTS):
        return None
    fields = parse_json(text)
    if fields is not None:
        name = next(
            (
                str(fields[key])
                for key in ("level", "severity", "levelname", "lvl")
                if fields.get(key)
            ),
            "",
        )
    else:
        found = _SEVERITY.search(text)
        name = found[1] if found else ""
    if name.lower() in _LEVELS:
        return _LEVELS[name.lower()]
    if ERROR.search(text):
        return "error"
    return "warning" if "warn" in lowered and WARNING.search(text) else None


def parse_json(text: str) -> dict[str, object] | None:
    """The fields of a line that is a JSON object; None for any other line."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
