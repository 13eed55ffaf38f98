"""A plan is data: frozen steps, each with a sentence and its undo, made by a pure rule and printed
or applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One thing to do. `verb` names the doer, `says` is the sentence shown, `undo` what takes it
    back (None: nothing needs to).
    """

    verb: str
    says: str
    undo: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What would be done, in order, and what need not be (`already`)."""

    steps: tuple[Step, ...]
    already: tuple[str, ...] = ()

    def as_document(self) -> dict[str, list[dict[str, str | None]]]:
        """The shape that `--plan --json` prints."""
        return {
            "plan": [
                {"verb": step.verb, "says": step.says, "undo": step.undo} for step in self.steps
            ]
        }

    def as_text(self) -> str:
        """One numbered line a step, its undo below."""
        lines = [f"  -  {text}" for text in self.already]
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number:>3}  {step.says}")
            if step.undo:
                lines.append(f"     undo: {step.undo}")
        return "\n".join(lines) or "nothing to do"
