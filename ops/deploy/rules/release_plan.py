"""The plan of a release: its steps, and what they change in the task definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.core.plan import Plan
from ops.ecs.rules.task_definition_diff import Difference


@dataclass(frozen=True)
class TaskDefinitionChange:
    """The change from the revision `before` to `after`; None: to one that is not registered yet."""

    before: str
    after: str | None
    differences: tuple[Difference, ...]

    def as_document(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "changes": [each.as_document() for each in self.differences],
        }

    @property
    def text(self) -> str:
        heading = f"task definition {self.before} → {self.after or 'a new revision'}"
        lines = [f"       {each}" for each in self.differences]
        return "\n".join((f"     {heading}:", *(lines or ["       no difference"])))


@dataclass(frozen=True)
class ReleasePlan(Plan):
    """A plan that also prints what it changes in the task definition; None: nothing."""

    change: TaskDefinitionChange | None = None

    @property
    def document(self) -> dict[str, Any]:
        changed = self.change.as_document() if self.change else None
        return {**super().document, "task_definition": changed}

    @property
    def text(self) -> str:
        return f"{super().text}\n{self.change.text}" if self.change else super().text
