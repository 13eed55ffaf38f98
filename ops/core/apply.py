"""Apply a plan: record each step, run it, and on any failure undo newest first.

An undo that fails is reported; the first error is raised. A step whose error says that it changed
nothing (`OpsError.untouched`) counts as one that never began: it is not undone.

`BaseException` is caught on purpose: Ctrl-C and SIGTERM undo as any failure does. A second
interruption during the undo stops the undo, and the journal lists what was not undone. Detached
ends a plan without an undo.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ops.core.errors import Detached, OpsError
from ops.core.plan import Plan, Step
from ops.core.terminal.step import step as show_step
from ops.core.text import format_duration, format_error

_VERB_WIDTH = 10
S = TypeVar("S", bound=Step)


@dataclass(frozen=True)
class StepProblem:
    """What a step did and found wrong, where nothing is to be undone.

    The plan goes on; its caller decides the verdict.
    """

    text: str


class StepHandlers:
    """The handlers of a plan's steps, by step class.

        handlers = StepHandlers()
        handlers.add(PushImage, push)
        handlers.add(UpdateService, update, undo=roll_back)

    A handler executes exactly the fields of the step that it receives.
    """

    def __init__(self) -> None:
        self._by_class: dict[
            type[Step], tuple[Callable[[Any], str | StepProblem | None], Callable[[Any], None]]
        ] = {}

    def add(
        self,
        kind: type[S],
        do: Callable[[S], str | StepProblem | None],
        undo: Callable[[S], None] | None = None,
    ) -> None:
        """Handle steps of class `kind`.

        `do` runs the step, and raises to stop the plan. It may return what it did, to be printed
        in place of the step's own sentence, or a StepProblem. `undo` undoes it; it is called for a
        step that had begun, whether or not it had ended, if `step.undo` names an undo.
        """
        self._by_class[kind] = (do, undo or _refuse_undo)

    def do(self, step: Step) -> str | StepProblem | None:
        return self._by_class[type(step)][0](step)

    def undo(self, step: Step) -> None:
        self._by_class[type(step)][1](step)


def _refuse_undo(step: Step) -> None:
    raise OpsError(f"step {step.verb} has no undo", "a plan named one", "report this")


@dataclass
class StepRecord:
    """A step in the journal.

    `status` is running, done, failed, refused (it changed nothing), undone or left. `failed` stays
    true after an undo.
    """

    step: Step
    status: str = "running"
    took_s: float = 0.0
    failed: bool = False

    def as_document(self) -> dict[str, str | float | bool]:
        return {
            "name": self.step.verb,
            "status": self.status,
            "took_s": round(self.took_s, 3),
            "failed": self.failed,
        }


@dataclass
class Journal:
    """The steps that began, in order, and those that could not be undone.

    `guard` may raise before a step or an undo, for example if the lock was lost.
    `cause` is the error that started the undo.
    """

    says: Callable[[str], None]
    guard: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    entries: list[StepRecord] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    cause: BaseException | None = None


def apply(plan: Plan, handlers: StepHandlers, journal: Journal) -> None:
    """Run every step of `plan` in order; on an error, undo what had begun and raise it.

    Detached is raised without an undo: the operator leaves in place what goes on.
    """
    try:
        for step in plan.steps:
            _carry_out(step, handlers, journal)
    except Detached:
        raise
    except BaseException as error:
        journal.cause = error
        _undo_all(handlers, journal)
        raise


def _carry_out(step: Step, handlers: StepHandlers, journal: Journal) -> None:
    """Run one step, recorded before it runs."""
    entry, began = StepRecord(step), journal.clock()
    journal.guard()
    journal.entries.append(entry)
    try:
        with show_step(f"{step.verb}: {step}"):
            done = handlers.do(step)
        entry.status = "done"
    except Detached:
        entry.status = "left"
        raise
    except BaseException as error:
        entry.failed = not getattr(error, "untouched", False)
        entry.status = "failed" if entry.failed else "refused"
        entry.took_s = journal.clock() - began
        journal.says(_step_line("✗", step, _reason(error), entry.took_s))
        raise
    entry.took_s = journal.clock() - began
    entry.failed = isinstance(done, StepProblem)
    sign, text = ("✗", done.text) if isinstance(done, StepProblem) else ("✓", done)
    journal.says(_step_line(sign, step, text or str(step), entry.took_s))


def _step_line(sign: str, step: Step, text: str, took_s: float) -> str:
    return f"{sign} {step.verb:<{_VERB_WIDTH}}  {text}  {format_duration(took_s)}"


def _reason(error: BaseException) -> str:
    """What failed, in a few words: the whole error is in the result."""
    return error.what if isinstance(error, OpsError) else format_error(error)


def _undo_all(handlers: StepHandlers, journal: Journal) -> None:
    """Undo what had begun, newest first.

    An undo that fails is reported and does not stop the others.
    """
    pending = [
        entry
        for entry in reversed(journal.entries)
        if entry.step.undo and entry.status != "refused"
    ]
    while pending:
        entry = pending.pop(0)
        try:
            journal.guard()
            began = journal.clock()
            with show_step(f"undo {entry.step.verb}: {entry.step.undo}"):
                handlers.undo(entry.step)
            entry.status = "undone"
            took_s = journal.clock() - began
            journal.says(_step_line("↺", entry.step, f"undone: {entry.step.undo}", took_s))
        except KeyboardInterrupt as second:
            for still in (entry, *pending):
                _mark_not_undone(still, journal, f"{second or 'interrupted again'}")
            return
        except Exception as problem:
            _mark_not_undone(
                entry,
                journal,
                format_error(problem),
            )


def _mark_not_undone(entry: StepRecord, journal: Journal, why: str) -> None:
    entry.status = "left"
    line = f"not undone: {entry.step} (undo: {entry.step.undo}): {why}"
    journal.left.append(line)
    journal.says(line)
