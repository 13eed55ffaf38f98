"""What the words of an unknown text suggest. A suggestion is never a cause."""

from __future__ import annotations

import re

_HINTS = (
    ("a missing permission", r"access ?denied|not authori[sz]ed|unauthori[sz]ed|forbidden|denied"),
    ("a limit or a quota", r"limit exceeded|quota|too many|rate exceeded|throttl"),
    ("memory", r"out of memory|\boom\b|cannot allocate memory|memory limit"),
    ("storage", r"no space left|disk (?:is )?full|storage|read-only file system"),
    (
        "the network",
        r"time[d-]? ?out|deadline|unreachable|no such host|connection|\bdns\b|dial tcp",
    ),
    ("something missing", r"not found|no such|does not exist|doesn't exist|missing|cannot find"),
    ("an invalid value", r"invalid|malformed|not supported|unsupported|mismatch|expected "),
)
_COMPILED = tuple((hint, re.compile(pattern, re.IGNORECASE)) for hint, pattern in _HINTS)


def suggestion(text: str) -> str:
    """What the words of `text` suggest ("the network"), or "" if nothing."""
    return next((hint for hint, pattern in _COMPILED if pattern.search(text)), "")
