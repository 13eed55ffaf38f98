"""The end of a run in a task: which source says it, and what is said without one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ops.aws.facts import ContainerState, TaskState
from ops.core.errors import Cancelled, Denied, Interrupted, OpsError, Refused, Unreachable
from ops.database_task import recorded
from ops.database_task.run import RunWatch

OUTCOME = {"before": "0002", "after": "0003", "applied": [], "run": "1f3c"}
DONE = {"state": "succeeded", "outcome": OUTCOME}
FAILED = {
    "state": "failed",
    "error": {"kind": "refused", "what": "revision 0003", "why": "no", "next": "inv db.current"},
}
RUNS = TaskState("arn:aws:ecs:us-east-1:1:task/c/abc", "RUNNING", "RUNNING", "", "", "", "", "", ())
GONE = replace(
    RUNS,
    status="STOPPED",
    stopped_reason="Essential container in task exited",
    containers=(ContainerState("api", "image", None, "STOPPED", 0, ""),),
)
NO_LOG = Refused("log stream ecs/api/abc", "AccessDeniedException", "grant logs:GetLogEvents")
LOST = Unreachable("AWS", "no route to host", "check the network")
LOST.permanent = False


@dataclass
class FakePlan:
    container: str = "api"


@dataclass
class FakeChannel:
    """Replies by S3, one a call; an error is raised."""

    replies: list[Any] = field(default_factory=list)
    run: str = "1f3c"
    deleted: bool = False

    def receive(self) -> Any:
        found = self.replies.pop(0) if self.replies else None
        if isinstance(found, OpsError):
            raise found
        return found

    def delete(self) -> tuple[str, ...]:
        self.deleted = True
        return ()


@dataclass
class FakeRunning:
    """A task whose log comes one batch a call, and which stops after them."""

    channel: FakeChannel
    log: list[Any]
    platform: Any = None
    plan: FakePlan = field(default_factory=FakePlan)
    stopped: list[str] = field(default_factory=list)
    calls: int = 0
    lives: int = 3
    silent: bool = False

    @property
    def task(self) -> TaskState:
        return GONE if self.calls > self.lives else RUNS

    def has_stopped(self) -> bool:
        if self.silent:
            raise LOST
        self.calls += 1
        return self.task is GONE

    def log_lines(self, token: str | None = None) -> tuple[tuple[str, ...], str | None]:
        found = self.log.pop(0) if self.log else ()
        if isinstance(found, BaseException):
            raise found
        return tuple(found), "token"

    def stop(self, reason: str) -> None:
        self.stopped.append(reason)


def marked(end: dict[str, Any]) -> str:
    return f"ops-task {json.dumps({'run': '1f3c', 'end': end})}"


class Clock:
    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def watch(replies: list[Any], log: list[Any], *, ours: bool = True) -> tuple[RunWatch, list[str]]:
    printed: list[str] = []
    running: Any = FakeRunning(FakeChannel(replies), log)
    clock = Clock()
    return RunWatch(running, printed.append, ours, clock.sleep, clock, no_audit), printed


def no_audit(_platform: Any, _run: str, ended: OpsError, _progress: Any) -> Any:
    raise ended


@pytest.mark.parametrize(
    ("replies", "log", "ours"),
    [
        ([None, {"end": DONE}], [("upgrade 0003",), (), (marked(DONE),)], True),
        ([], [("upgrade 0003",), (marked(DONE),)], True),
        ([], [("upgrade 0003",), (marked(DONE),)], False),
        ([None, {"end": DONE}], [("upgrade 0003",), NO_LOG], True),
        ([LOST, LOST, {"end": DONE}], [("upgrade 0003",), LOST, (marked(DONE),)], True),
    ],
    ids=["both", "log alone", "attached", "S3 alone", "lost for a while"],
)
def test_each_source_of_the_result_is_enough(
    replies: list[Any], log: list[Any], ours: bool
) -> None:
    """The log is printed without our marked lines; the messages are deleted."""
    found, printed = watch(replies, log, ours=ours)
    result = found.wait()
    assert (result.outcome.after, result.mode) == ("0003", "task")
    assert printed[0] == "upgrade 0003" and "ops-task" not in "".join(printed)
    channel: Any = found.running.channel
    assert channel.deleted


def test_a_failed_revision_is_the_engines_error() -> None:
    """With its exit code, as from here."""
    with pytest.raises(Refused, match="revision 0003"):
        watch([{"end": FAILED}], [])[0].wait()


@pytest.mark.parametrize("log", [[], [NO_LOG]], ids=["silent", "unreadable"])
def test_without_a_result_nothing_is_called_done(log: list[Any]) -> None:
    """The task ended with exit code 0 and said nothing: unknown, and where it is recorded."""
    with pytest.raises(OpsError, match="the result of run 1f3c is unknown") as unknown:
        watch([], log)[0].wait()
    assert unknown.value.exit_code == 1 and "inv db.history" in unknown.value.next


def test_a_watcher_that_is_cut_off_leaves_the_run() -> None:
    """AWS is silent for minutes: exit code 1, the command that continues, and no StopTask."""
    found, _ = watch([LOST] * 1000, [])
    running: Any = found.running
    running.silent = True
    with pytest.raises(Unreachable, match="can't be watched, and continues") as cut:
        found.wait()
    assert "inv db.attach --run 1f3c" in str(cut.value)
    assert running.stopped == [] and not running.channel.deleted


@pytest.mark.parametrize(
    ("signal", "stopped", "says"),
    [
        ("SIGHUP", 0, "it continues in task abc"),
        ("SIGTERM", 1, "run 1f3c was cancelled"),
        ("SIGINT", 1, "run 1f3c was cancelled"),
    ],
)
def test_an_interrupt_leaves_or_stops_the_task(signal: str, stopped: int, says: str) -> None:
    """As on the bastion: a lost terminal leaves it, a signal without a terminal cancels it."""
    cancelled = {"state": "cancelled"}
    found, _ = watch([None, {"end": cancelled}], [Interrupted(signal), (), (marked(cancelled),)])
    with pytest.raises(Cancelled) as ended:
        found.wait()
    running: Any = found.running
    assert says in str(ended.value) and len(running.stopped) == stopped


AT = {"at": "0003"}
STEP = {"revision": "0003", "took_s": 0.1, "result": "done"}
RECORDED = {**AT, "result": "done", "from": "0002", "to": "0003", "steps": [STEP], "message": None}
ENDED = OpsError("the result of run 1f3c is unknown", "exit code 137", "inv db.history")


def test_a_result_that_was_recorded_counts() -> None:
    """The audit is written with the revision: a lost log and lost messages change nothing."""
    found = recorded.result_of("1f3c", RECORDED, ENDED)
    assert (found.outcome.after, len(found.outcome.applied), found.mode) == ("0003", 1, "task")


@pytest.mark.parametrize(
    ("entry", "kind", "says"),
    [
        (AT, OpsError, "run 1f3c did not begin"),
        ({**RECORDED, "result": "failed", "message": "division by zero"}, OpsError, "by zero"),
        ({**RECORDED, "result": "interrupted"}, Cancelled, "was interrupted"),
        ({**RECORDED, "result": "lost"}, OpsError, "its task was killed"),
        ({**RECORDED, "result": "running"}, OpsError, "its task was killed"),
    ],
)
def test_any_other_record_is_an_error(entry: Any, kind: type[OpsError], says: str) -> None:
    """A run that the audit does not know has changed nothing; a killed one says where it is."""
    with pytest.raises(kind, match=says):
        recorded.result_of("1f3c", entry, ENDED)


def test_a_cancel_without_the_permission_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again would be denied again."""
    watched, _ = watch([], [])
    denied = Denied(
        "task abc (ecs:StopTask)", "u may not ecs:StopTask", "have ecs:StopTask allowed"
    )

    def stop(_reason: str) -> None:
        raise denied

    monkeypatch.setattr(watched.running, "stop", stop)
    error = watched.cancel()
    assert error.next == "have ecs:StopTask allowed; then inv db.cancel --run 1f3c"
    assert "may not ecs:StopTask" in error.why and "continues" in error.what
