"""Applying a plan: in order, recorded before it runs, undone newest first, and the first error is
the one that is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from ops.core.apply import Journal, StepHandlers, StepProblem, apply
from ops.core.errors import Interrupted, OpsError, Refused
from ops.core.plan import Plan, Step


@dataclass(frozen=True)
class One(Step):
    verb: ClassVar[str] = "one"

    def __str__(self) -> str:
        return f"Do {self.verb}"

    @property
    def undo(self) -> str | None:
        return f"undo {self.verb}"


@dataclass(frozen=True)
class Two(One):
    verb: ClassVar[str] = "two"

    @property
    def undo(self) -> None:
        return None


@dataclass(frozen=True)
class Three(One):
    verb: ClassVar[str] = "three"


PLAN = Plan((One(), Two(), Three()))


@dataclass
class Recorder:
    """Notes what it is asked, and fails where `fails` has an error."""

    log: list[str]
    fails: dict[str, BaseException] = field(default_factory=dict)

    def handlers(self) -> StepHandlers:
        handlers = StepHandlers()
        for kind in (One, Two, Three):
            handlers.add(kind, self.do, self.undo)
        return handlers

    def do(self, step: Step) -> None:
        self.note(f"do {step.verb}")

    def undo(self, step: Step) -> None:
        self.note(f"undo {step.verb}")

    def note(self, what: str) -> None:
        self.log.append(what)
        if what in self.fails:
            raise self.fails[what]


def run(**fails: BaseException) -> tuple[list[str], Journal, BaseException | None]:
    log: list[str] = []
    said: list[str] = []
    recorder = Recorder(log, {key.replace("_", " "): error for key, error in fails.items()})
    journal = Journal(said.append)
    try:
        apply(PLAN, recorder.handlers(), journal)
    except BaseException as error:
        return log, journal, error
    return log, journal, None


def test_all_steps_in_order() -> None:
    """Without a failure nothing is undone."""
    log, journal, error = run()
    assert log == ["do one", "do two", "do three"] and error is None
    assert [entry.status for entry in journal.entries] == ["done", "done", "done"]


@pytest.mark.parametrize(
    "failure", [OpsError("broken"), Interrupted("SIGTERM"), KeyboardInterrupt(), ValueError("bug")]
)
def test_any_failure_undoes_newest_first(failure: BaseException) -> None:
    """Errors and signals alike undo what had begun, the failed step included, and are raised
    themselves.
    """
    log, journal, error = run(do_three=failure)
    assert log == ["do one", "do two", "do three", "undo three", "undo one"]
    assert error is failure
    assert [entry.status for entry in journal.entries] == ["undone", "done", "undone"]
    assert [entry.as_document()["failed"] for entry in journal.entries] == [False, False, True]


def test_a_problem_that_a_step_found_is_shown_and_undoes_nothing() -> None:
    """The plan goes on, and the line has the sign of a failure."""
    said: list[str] = []
    handlers = StepHandlers()
    handlers.add(One, lambda step: StepProblem("1 of 2 healthy"))
    handlers.add(Two, lambda step: "did two")
    journal = Journal(said.append)
    apply(Plan((One(), Two())), handlers, journal)
    assert [line.split("  ")[0].split()[0] for line in said] == ["✗", "✓"]
    assert "1 of 2 healthy" in said[0]
    assert [(each.status, each.failed) for each in journal.entries] == [
        ("done", True),
        ("done", False),
    ]


def test_a_step_that_changed_nothing_is_not_undone() -> None:
    """A lock that is held, for example: the step is refused, only what came before it is taken
    back.
    """
    held = Refused("held")
    held.untouched = True
    log, journal, error = run(do_three=held)
    assert log == ["do one", "do two", "do three", "undo one"] and error is held
    assert [entry.status for entry in journal.entries] == ["undone", "done", "refused"]


def test_nothing_is_undone_where_the_guard_says_no() -> None:
    """A lock that somebody else has now: what was begun is left to them, and said."""
    log: list[str] = []
    lost = OpsError("lock lost", "ann on laptop holds it")

    def guard() -> None:
        if log:
            raise lost

    journal = Journal(lambda line: None, guard)
    with pytest.raises(OpsError, match="lock lost"):
        apply(PLAN, Recorder(log).handlers(), journal)
    assert log == ["do one"] and [entry.status for entry in journal.entries] == ["left"]
    assert "ann on laptop" in journal.left[0]


def test_an_undo_that_fails_is_reported_and_stops_no_other() -> None:
    """The first error is raised; what is left is said."""
    first = OpsError("first")
    log, journal, error = run(do_three=first, undo_three=OpsError("second"))
    assert log[-1] == "undo one" and error is first
    assert "Do three" in journal.left[0] and "second" in journal.left[0]


def test_a_second_interrupt_stops_the_undo() -> None:
    """Ctrl-C during the undo leaves the rest as it is, and says so."""
    first = Interrupted("SIGINT")
    log, journal, error = run(do_three=first, undo_three=Interrupted("SIGINT"))
    assert "undo one" not in log and error is first
    assert len(journal.left) == 2


def test_a_plan_prints_its_steps_and_their_undo() -> None:
    """`--plan` is the same data as text and as a document."""
    assert "undo: undo three" in PLAN.text
    assert PLAN.document["plan"][1] == {"verb": "two", "says": "Do two", "undo": None}


@dataclass(frozen=True)
class Numbered(Step):
    verb: ClassVar[str] = "three"  # as Three
    number: int

    def __str__(self) -> str:
        return f"Do number {self.number}"


def test_a_handler_gets_its_own_step_with_its_fields() -> None:
    """Steps are dispatched by their class, also where two classes share a verb."""
    numbers: list[int] = []
    handlers = StepHandlers()
    handlers.add(Numbered, lambda step: numbers.append(step.number))
    handlers.add(Three, lambda step: numbers.append(-1))
    apply(Plan((Numbered(7), Three())), handlers, Journal(lambda line: None))
    assert numbers == [7, -1]


def test_an_undo_that_no_handler_has_is_reported() -> None:
    """A step that names an undo, and a handler without one."""
    handlers = StepHandlers()
    handlers.add(One, lambda step: None)
    handlers.add(Numbered, lambda step: [][step.number])
    journal = Journal(lambda line: None)
    with pytest.raises(IndexError):
        apply(Plan((One(), Numbered(1))), handlers, journal)
    assert "step one has no undo" in journal.left[0]
