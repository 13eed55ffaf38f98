"""Terraform's version constraints, as `required_version` states them."""

from __future__ import annotations

import re
from collections.abc import Callable

_TERM = re.compile(r"(=|!=|>=|<=|>|<|~>)?\s*v?(\d+(?:\.\d+){0,2})")
_RELEASE = re.compile(r"\d+\.\d+\.\d+")
_Numbers = tuple[int, ...]
_OPERATORS: dict[str, Callable[[_Numbers, _Numbers], bool]] = {
    "=": lambda ours, wanted: ours == wanted,
    "!=": lambda ours, wanted: ours != wanted,
    ">": lambda ours, wanted: ours > wanted,
    ">=": lambda ours, wanted: ours >= wanted,
    "<": lambda ours, wanted: ours < wanted,
    "<=": lambda ours, wanted: ours <= wanted,
}


def satisfies(version: str, constraint: str) -> bool | None:
    """Whether a version meets a constraint; None for one that is not understood.

    A pre-release is not decided here: Terraform has rules of its own for it.
    """
    if not _RELEASE.fullmatch(version):
        return None
    ours, results = _padded(version), []
    for term in constraint.split(","):
        found = _TERM.fullmatch(term.strip())
        if not found:
            return None
        results.append(_meets(ours, found[1] or "=", found[2]))
    return all(results)


def _meets(ours: _Numbers, operator: str, wanted: str) -> bool:
    if operator != "~>":
        return _OPERATORS[operator](ours, _padded(wanted))
    fixed = wanted.count(".")  # only the last number that is written may be larger
    return ours >= _padded(wanted) and ours[:fixed] == _padded(wanted)[:fixed]


def _padded(version: str) -> _Numbers:
    numbers = [int(each) for each in version.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))
