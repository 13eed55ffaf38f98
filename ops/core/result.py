"""What every task ends in: a result to report, or a planned change to carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Result(Protocol):
    """The result of a task: `session.report(result)` prints it and exits.

    `document` is printed with `--json`, `text` otherwise: wrapped and in colour on a terminal,
    unless the result has an attribute `verbatim` that is true (SQL, a log).
    """

    @property
    def document(self) -> Mapping[str, Any]: ...

    @property
    def text(self) -> str: ...

    @property
    def exit_code(self) -> int: ...


@dataclass(frozen=True)
class Report:
    """A result without a class of its own."""

    document: Mapping[str, Any]
    text: str
    exit_code: int = 0
    verbatim: bool = False


class PlannedChange(Protocol):
    """A change that is planned but not made: `session.carry_out(change)` handles `--plan`.

    With `--plan`, only `preview` is called, and its result reported. Otherwise `confirm` is called,
    then `apply`, whose result is reported.
    """

    def preview(self) -> Result:
        """The plan, usually a `core.plan.Plan`; changes nothing."""

    def confirm(self, *, yes: bool) -> None:
        """Ask what must be asked; raise Refused on no. `yes` is `--yes`."""

    def apply(self) -> Result:
        """Execute exactly the plan that `preview` returns."""
