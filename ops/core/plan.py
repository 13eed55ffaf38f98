"""Plans as data: frozen steps, made by a pure rule and printed or applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """A step of a plan.

    `verb` names the handler, `says` is the sentence to print, `undo` is how it is undone (None: not
    needed).
    """

    verb: str
    says: str
    undo: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The steps to run, in order, and what is done `already`."""

    steps: tuple[Step, ...]
    already: tuple[str, ...] = ()

    def as_document(self) -> dict[str, list[dict[str, str | None]]]:
        """The form that `--plan --json` prints."""
        return {
            "plan": [
                {"verb": step.verb, "says": step.says, "undo": step.undo} for step in self.steps
            ]
        }

    def as_text(self) -> str:
        """One numbered line per step, with its undo below."""
        lines = [f"  -  {text}" for text in self.already]
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number:>3}  {step.says}")
            if step.undo:
                lines.append(f"     undo: {step.undo}")
        return "\n".join(lines) or "nothing to do"
