"""Plans as data: frozen, typed steps, made by a pure rule, then printed or applied.

A step is a frozen dataclass whose fields are all that its handler needs:

    @dataclass(frozen=True)
    class PushImage(Step):
        verb: ClassVar[str] = "push"
        image: str

        def __str__(self) -> str:
            return f"Push {self.image} to ECR"

`ops.core.apply` runs the handler of each step's class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Step(ABC):
    """Base class of a plan's steps.

    `verb` is its name in JSON documents, `str(step)` the sentence to print. Several classes may
    share a verb.
    """

    verb: ClassVar[str]

    @abstractmethod
    def __str__(self) -> str: ...

    @property
    def undo(self) -> str | None:
        """How the step is undone, as a sentence; None if no undo is needed."""
        return None

    def as_document(self) -> dict[str, str | None]:
        return {"verb": self.verb, "says": str(self), "undo": self.undo}


@dataclass(frozen=True)
class Plan:
    """The steps to run, in order, and what is done `already`; also a `core.result.Result`."""

    steps: tuple[Step, ...]
    already: tuple[str, ...] = ()

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `--plan --json` prints."""
        return {"plan": [step.as_document() for step in self.steps]}

    @property
    def text(self) -> str:
        """One numbered line per step, with its undo below."""
        lines = [f"  -  {text}" for text in self.already]
        for number, step in enumerate(self.steps, 1):
            lines.append(f"{number:>3}  {step}")
            if step.undo:
                lines.append(f"     undo: {step.undo}")
        return "\n".join(lines) or "nothing to do"
