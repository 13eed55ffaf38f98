"""The log of a run in a task: our marked lines, and what remains to be printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from ops.aws.facts import TaskState
from ops.core.errors import OpsError
from ops.migrator.remote.messages import RunEnd

MARK = "ops-task "  # as `ops.migrator.task.loader.MARK`, which is shipped and imported lazily


@dataclass
class RunLog:
    """What was read of a log: the run that began in it, and its result."""

    run: str | None = None
    end: RunEnd | None = None

    @property
    def ended(self) -> bool:
        return self.end is not None

    def take(self, lines: Iterable[str]) -> tuple[str, ...]:
        """Read the marked lines, and return the others."""
        return tuple(self._rest(lines))

    def _rest(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            document = marked(line)
            if document is None:
                yield line
                continue
            self.run = document.get("run", self.run)
            if "end" in document:
                self.end = cast("RunEnd", document["end"])


def marked(line: str) -> dict[str, Any] | None:
    """The document of a marked line; None for any other."""
    if not line.startswith(MARK):
        return None
    try:
        found = json.loads(line.removeprefix(MARK))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def unknown_result(run: str, task: TaskState, container: str, log_problem: str) -> OpsError:
    """The error of a run without a result: it is never taken for done."""
    ours = task.container(container)
    code = "unknown" if ours is None or ours.exit_code is None else str(ours.exit_code)
    reason = task.stopped_reason or "ECS gives no reason"
    log = f"; the log can't be read ({log_problem})" if log_problem else ""
    return OpsError(
        f"the result of run {run} is unknown",
        f"task {task.id} stopped without a result: exit code {code}, {reason}{log}",
        "inv db.history says what was recorded, then inv db.current",
    )
