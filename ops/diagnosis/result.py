"""The result of `inv troubleshoot.*`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import Any

from ops.core import ui
from ops.core.errors import Refused
from ops.core.text import format_timestamp
from ops.diagnosis import render
from ops.diagnosis.fixes import FixOutcome, FixRunner
from ops.diagnosis.incident import read_incident
from ops.diagnosis.model import Diagnosis
from ops.diagnosis.rules.timeline import Moment, timeline
from ops.diagnosis.rules.topics import Topic
from ops.ecs.display import clean
from ops.ecs.rules.live_events import event_text


@dataclass(frozen=True)
class DiagnosisResult:
    """A diagnosis as a task's result.

    `since`: how far back the timeline goes; None for none. `fixes`: what `--fix` did. Exit code 3
    if a fix was refused; else 1 if a cause was found, or a check is not ok for another reason than
    a normal rollout, or the sweep is unknown.
    """

    diagnosis: Diagnosis
    topic: Topic
    since: timedelta | None = None
    fixes: tuple[FixOutcome, ...] = ()

    def fixed(self, runner: FixRunner, *, yes: bool) -> DiagnosisResult:
        """Report the causes, apply their fixes, and return the result after that."""
        ui.progress(self.text)
        diagnosis, fixes = runner.apply(self.diagnosis, yes=yes)
        return replace(self, diagnosis=diagnosis, fixes=fixes)

    @property
    def moments(self) -> tuple[Moment, ...]:
        if self.since is None:
            return ()
        return timeline(read_incident(self.diagnosis.snapshot), self.since)

    @property
    def document(self) -> Mapping[str, Any]:
        found = render.as_document(self.diagnosis)
        if self.since is not None:
            found["timeline"] = [each.as_document() for each in self.moments]
        if self.fixes:
            found["fixes"] = [each.as_document() for each in self.fixes]
        return found

    @property
    def text(self) -> str:
        moments = _moment_lines(self.moments)
        return "\n".join([*moments, *([""] if moments else []), self._findings])

    @property
    def _findings(self) -> str:
        return render.as_text(self.diagnosis, self.topic)

    @property
    def exit_code(self) -> int:
        if any(each.refused for each in self.fixes):
            return Refused.exit_code
        sweep = self.diagnosis.snapshot.documents.get("sweep")
        read = sweep is not None and not sweep.unknown
        return 0 if read and not self.diagnosis.found and not self.diagnosis.unhealthy else 1


def _moment_lines(moments: Iterable[Moment]) -> list[str]:
    """A line for each moment; one for several in a row that only differ in their time."""
    same = groupby(moments, key=lambda each: (each.source, each.service, each.text))
    return [_moment_line([*some]) for _, some in same]


def _moment_line(same: Sequence[Moment]) -> str:
    first, last = same[0], same[-1]
    service = f" {first.service}" if first.service else ""
    times = f" (× {len(same)}, until {_time(last)})" if len(same) > 1 else ""
    return clean(f"{_time(first)}  {first.source}{service}: {event_text(first.text)}{times}")


def _time(moment: Moment) -> str:
    return format_timestamp(moment.at.isoformat())
