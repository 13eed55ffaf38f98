"""`--fix`: which commands are fixes, which questions are asked, and what is checked afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ops.core import ui
from ops.core.errors import Refused
from ops.core.findings import Finding
from ops.diagnosis.fixes import FixRunner
from ops.diagnosis.model import Candidate, Diagnosed, Diagnosis
from ops.diagnosis.result import DiagnosisResult
from ops.diagnosis.rules import topics
from tests.diagnosis.incidents import snapshot, world

OPTIONS = {
    "db.start": frozenset({"plan", "yes"}),
    "tf.unlock": frozenset({"plan", "yes"}),
    "backend.logs": frozenset({"json"}),
}


def diagnosis(*causes: tuple[str, tuple[str, ...]]) -> Diagnosis:
    roots = (Diagnosed(Candidate(Finding(name, name, "certain", (), fix))) for name, fix in causes)
    return Diagnosis(snapshot(world()), tuple(roots))


class Inv:
    """Runs of `inv`, and the diagnoses that follow them."""

    def __init__(self, *after: Diagnosis, exit_code: int = 0) -> None:
        self.runs: list[str] = []
        self.after, self.exit_code = list(after), exit_code

    def run(self, words: Sequence[str]) -> int:
        self.runs.append(" ".join(words))
        return self.exit_code

    def diagnose(self) -> Diagnosis:
        return self.after.pop(0) if len(self.after) > 1 else self.after[0]

    @property
    def runner(self) -> FixRunner:
        return FixRunner(OPTIONS, self.run, self.diagnose, lambda seconds: None)


STOPPED = ("database_stopped", ("inv backend.logs", "inv db.start"))


def test_a_fix_is_planned_run_and_checked() -> None:
    inv = Inv(diagnosis())
    found, [outcome] = inv.runner.apply(diagnosis(STOPPED), yes=True)
    assert inv.runs == ["db.start --plan", "db.start --yes"]
    assert outcome.exit_code == 0 and outcome.gone is True and found.found == ()


def test_a_cause_that_stays_is_reported_so() -> None:
    inv = Inv(diagnosis(STOPPED))
    found, [outcome] = inv.runner.apply(diagnosis(STOPPED), yes=True)
    assert outcome.gone is False and [each.cause for each in found.found] == ["database_stopped"]


def test_a_failed_plan_runs_nothing() -> None:
    inv = Inv(diagnosis(), exit_code=3)
    _, [outcome] = inv.runner.apply(diagnosis(STOPPED), yes=True)
    assert inv.runs == ["db.start --plan"] and outcome.exit_code is None and outcome.gone is None
    assert not outcome.refused


@pytest.mark.parametrize(
    "fix", ["aws rds start-db-instance", "ask the owner", "inv backend.logs", "inv nonsense 'x"]
)
def test_what_is_no_change_of_ours_is_not_run(fix: str) -> None:
    inv = Inv(diagnosis())
    _, outcomes = inv.runner.apply(diagnosis(("page_failing", (fix,))), yes=True)
    assert outcomes == () and inv.runs == []


def test_an_unlock_is_never_confirmed_by_yes() -> None:
    inv = Inv(diagnosis())
    _, [outcome] = inv.runner.apply(diagnosis(("state_locked", ("inv tf.unlock",))), yes=True)
    assert inv.runs == ["tf.unlock --plan"] and outcome.exit_code is None and outcome.refused


def test_an_unlock_asks_by_itself_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "on_terminal", lambda: True)
    inv = Inv(diagnosis())
    inv.runner.apply(diagnosis(("state_locked", ("inv tf.unlock",))), yes=True)
    assert inv.runs == ["tf.unlock --plan", "tf.unlock"]


def test_without_a_terminal_and_yes_nothing_is_run() -> None:
    inv = Inv(diagnosis())
    found, outcomes = inv.runner.apply(diagnosis(STOPPED), yes=False)
    assert inv.runs == [] and [each.refused for each in outcomes] == [True]
    result = DiagnosisResult(found, topics.ALL, fixes=outcomes)
    assert result.exit_code == Refused.exit_code
    assert [each["cause"] for each in result.document["findings"]] == ["database_stopped"]


def test_a_no_leaves_the_fix_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "on_terminal", lambda: True)
    monkeypatch.setattr(ui, "read_answer", lambda prompt, ask: "n")
    inv = Inv(diagnosis())
    _, [outcome] = inv.runner.apply(diagnosis(STOPPED), yes=False)
    assert inv.runs == ["db.start --plan"] and outcome.exit_code is None and outcome.refused
