"""The result of `inv troubleshoot.*`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.diagnosis import render
from ops.diagnosis.model import Diagnosis
from ops.diagnosis.rules.topics import Topic


@dataclass(frozen=True)
class DiagnosisResult:
    """A diagnosis as a task's result.

    Exit code 1 if a cause was found, or if a check of the sweep, or the sweep itself, is unknown.
    """

    diagnosis: Diagnosis
    topic: Topic

    @property
    def document(self) -> Mapping[str, Any]:
        return render.as_document(self.diagnosis)

    @property
    def text(self) -> str:
        return render.as_text(self.diagnosis, self.topic)

    @property
    def exit_code(self) -> int:
        sweep = self.diagnosis.snapshot.documents.get("sweep")
        healthy = sweep is not None and not sweep.unknown and bool(sweep.content["healthy"])
        return 0 if healthy and not self.diagnosis.found else 1
