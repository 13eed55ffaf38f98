"""How a deploy ends that does not reach its end: refused, timed out, failed, its lock lost, its
look interrupted (on moto).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.aws import session
from ops.aws.facts import Image
from ops.core import ui
from ops.core.apply import Journal, StepRecord
from ops.core.config.settings import Environment, Service, Settings
from ops.core.errors import ConfigError, Interrupted, OpsError, Refused, TimedOut
from ops.core.findings import Finding, Verdict
from ops.core.plan import Plan
from ops.deploy import deploy, planned_release, verify
from ops.deploy import run as deploy_run
from ops.deploy.context import DeployContext, DeployRequest, Rollback
from ops.deploy.ecs_rollout import EcsRollout
from ops.deploy.result import DeployResult, Ending, refusing
from ops.deploy.rules.steps import (
    ApplyTerraformRollout,
    ContinueRollout,
    LastHealthy,
    RegisterTaskDefinition,
    RestartService,
    UpdateService,
    VerifyRelease,
    WatchDeployment,
)
from ops.ecs import live_display
from ops.ecs.model import WatchResult
from ops.health.before_after import BeforeAfter
from ops.http.facts import Answer
from ops.platform import Platform
from ops.state import lock, lock_admin, records
from tests import plain_aws
from tests.deploy.test_plan import FACTS, REVISION, URI

IMAGE = f"{URI}:abc1234"
UPDATE = UpdateService(IMAGE, LastHealthy("backend:7"), False, "backend", 2)
GO_ON = ContinueRollout(IMAGE, None, False, "ecs-svc/1")
WATCH = WatchDeployment("backend", False)


@pytest.fixture(scope="module")
def cloud() -> Iterator[session.AwsSession]:
    yield from plain_aws.with_bucket("state")


@pytest.fixture
def platform(cloud: session.AwsSession, tmp_path: Path) -> Platform:
    """No cluster there: every call to ECS fails."""
    service = {
        "ecs_service": "backend",
        "container": "backend",
        "repository": "davidshaevel/backend",
    }
    environment: dict[str, Any] = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "nowhere",
        "services": {"backend": Service.model_validate(service)},
        "state": {"bucket": "state", "prefix": tmp_path.name},
    }
    return Platform(
        Settings(name="here", root=tmp_path, environment=Environment.model_validate(environment)),
        cloud,
    )


def release(platform: Platform, **changes: Any) -> DeployContext:
    return DeployContext(
        platform,
        "backend",
        replace(FACTS, **changes),
        DeployRequest(yes=True, timeout_s=1.0),
        live_display.create_display,
        Journal(lambda line: None),
    )


def test_a_refusal_in_the_middle_is_remembered_as_one(platform: Platform) -> None:
    """A step says no before anything was changed: exit 3, verdict "refused" with its tag in the
    document and in the record.
    """
    other = replace(REVISION, document={"containerDefinitions": [{"name": "other"}]})
    plan = Plan((RegisterTaskDefinition(other, "backend", IMAGE), UPDATE))
    with pytest.raises(Refused) as caught:
        deploy_run.run(release(platform), plan, lock.myself("deploy abc1234", "abc1234"))
    told = caught.value.as_document()
    assert (
        told["verdict"] == "refused"
        and told["tag"] == "abc1234"
        and "container backend" in told["error"]["what"]
    )
    assert [(step["name"], step["status"]) for step in told["steps"]] == [("register", "failed")]
    (kept,) = records.read(platform, "backend")
    assert (kept.verdict, kept.tag, kept.health) == ("refused", "abc1234", None)
    assert kept.why is not None
    assert "container backend" in kept.why and not kept.why.startswith("error")


def test_what_was_changed_and_then_failed_is_no_refusal(platform: Platform) -> None:
    """Something may have changed: the verdict is a failure, its fix is commands, and the error's
    own advice is said.
    """
    done = deploy_run.run(release(platform), Plan((GO_ON, WATCH)), lock.myself("", ""))
    assert done.verdict is Verdict.FAILED
    (finding,) = done.context.findings
    assert finding.cause == "not_completed" and finding.fix == (
        "inv backend.status",
        "inv backend.deploy",
    )
    advice = done.ending.next
    assert advice and f"  next     {advice}" in done.text
    assert advice in [each.text for each in finding.evidence]
    assert done.context.journal.left, "nothing could take it back, and that is said"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Refused("a lock is held"), Verdict.REFUSED),
        (TimedOut("terraform plan"), Verdict.TIMED_OUT),
        (Interrupted("SIGTERM"), Verdict.INTERRUPTED),
        (ConfigError("no such variable"), Verdict.FAILED),
        (OpsError("broken"), Verdict.FAILED),
        (ValueError("a bug"), Verdict.FAILED),
    ],
)
def test_what_a_release_is_called_that_ended_by_an_error(
    error: BaseException, verdict: Verdict
) -> None:
    """The record has the verdict that the exit code says."""
    assert deploy_run.verdict_of(error) is verdict
    if isinstance(error, OpsError) and verdict is not Verdict.FAILED:
        assert error.code == verdict.exit_code


@pytest.mark.parametrize(
    ("status", "touched"), [("running", True), ("done", True), ("failed", True), ("refused", False)]
)
def test_a_refused_step_has_touched_nothing(platform: Platform, status: str, touched: bool) -> None:
    """A held lock at the apply is no change; whatever else became of a changing step may be one."""
    context = release(platform)
    step = ApplyTerraformRollout(IMAGE, None, False, "backend")
    context.journal.entries.append(StepRecord(step, status))
    assert deploy_run.service_changed(context) is touched
    deploy_run.report_not_undone(DeployResult(context, Ending(Verdict.REFUSED), 1.0))
    assert bool(context.journal.left) is touched


def test_a_refusal_names_what_was_to_be_deployed() -> None:
    """The lock was held, or the checklist said no: the tag is the commit's, also where none was
    asked for.
    """
    with pytest.raises(Refused) as caught, refusing(FACTS):
        raise Refused("lock backend is held")
    assert caught.value.as_document() == {
        "verdict": "refused",
        "service": "backend",
        "environment": "here",
        "tag": "abc1234",
        "error": {"what": "lock backend is held", "why": "", "next": ""},
    }


def test_a_lost_lock_ends_a_watch(platform: Platform) -> None:
    """Somebody took it over: noticed between two looks, not only before the next step."""
    lost = OpsError("lock backend was lost", "ann on laptop holds it")

    def guard() -> None:
        raise lost

    context = release(platform)
    context.journal.guard = guard
    with pytest.raises(OpsError, match="was lost"):
        context.pause(0.0)


def test_without_its_lock_a_deploy_undoes_nothing(platform: Platform) -> None:
    """Taken over after the update: what stands there may be the other one's, so it is left, with
    their name; ECS is not even asked.
    """
    place = lock.LockLocation.of(platform.cloud, platform.settings, "backend")
    assert place
    context = release(platform)
    with lock.hold(place, lock.myself("deploy abc1234", "")) as ours:
        assert ours

        def guard() -> None:
            if deploy_run.service_changed(context) and not ours.lost.is_set():
                assert lock.try_acquire(place, lock.myself("deploy of another", ""), expiry_s=-1)[0]
                ours.write(released=False)  # the heartbeat's
            planned_release.lock_guard(context, ours)()

        context.journal.guard = guard
        step = replace(GO_ON, last_healthy=LastHealthy("backend:7"))
        done = deploy_run.run(context, Plan((step, WATCH)), ours.holder)
    assert done.verdict is Verdict.FAILED
    assert "lock backend was lost" in done.ending.why and "deploy of another" in done.ending.why
    assert [entry.status for entry in context.journal.entries] == ["left"]
    (left,) = context.journal.left
    assert "lock backend was lost" in left and "deploy of another" in left
    (standing,) = lock_admin.lock_status(platform.cloud, platform.settings)
    assert standing.holder.reason == "deploy of another"


def test_ctrl_c_in_the_look_after_it_loses_no_record(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    """The release is over and somebody will not wait for the look: its verdict is said and
    remembered.
    """
    gate = threading.Event()

    def slow() -> Platform:
        gate.wait(20)
        return platform

    context = release(platform)
    context.health = BeforeAfter.begin(platform.settings, slow, "deploy of backend")
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(Interrupted("SIGINT")))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            deploy_run.run(context, Plan((GO_ON,)), lock.myself("deploy", ""))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gate.set()
    assert "the deploy itself ended: succeeded" in capsys.readouterr().err
    (kept,) = records.read(platform, "backend")
    assert kept.verdict == "succeeded"


def test_a_deploy_that_finds_no_record_of_what_runs_writes_one(platform: Platform) -> None:
    """The rollout was finished by ECS after its deploy had been killed: nothing is left to do but
    the proof, and it is remembered.
    """
    image = Image("sha256:1", "abc1234", 1, None)
    expected = (
        ["sha256:1"],
        ["sha256:1"],
        ["sha256:2", "sha256:1"],
        ["sha256:1", "sha256:2", "sha256:1"],
    )
    for second, digests in enumerate(expected):
        context = release(platform, image=replace(image, digest=digests[0]))
        me = replace(lock.myself("", ""), at=f"2026-01-01T00:00:0{second}+00:00")
        deploy_run.run(context, Plan(()), me)
        assert [kept.digest for kept in records.read(platform, "backend")] == digests


def test_a_record_that_cannot_be_read_is_written_again(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown is not "recorded": the deploy stores one to send later."""
    assert platform.settings.environment.state
    state = platform.settings.environment.state.model_copy(update={"bucket": "absent"})
    environment = platform.settings.environment.model_copy(update={"state": state})
    settings = platform.settings.model_copy(update={"environment": environment})
    elsewhere = Platform(settings, platform.cloud)
    deploy_run.run(
        release(elsewhere, image=Image("sha256:1", "abc1234", 1, None)),
        Plan(()),
        lock.myself("deploy", ""),
    )
    said = capsys.readouterr().err
    assert "unknown: the last release's record" in said and "to be sent later" in said


def test_a_question_that_nobody_can_answer_is_refused_before_the_checklist(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    """A protected environment in CI without --yes: known in the first second, not after the
    service's tests.
    """
    environment = platform.settings.environment.model_copy(update={"protected": True})
    protected = Platform(
        platform.settings.model_copy(update={"environment": environment}), platform.cloud
    )
    with pytest.raises(Refused, match="this needs an answer"):
        change = deploy.PlannedDeploy(
            protected, "backend", DeployRequest(), live_display.create_display
        )
        change.confirm(yes=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (None, "was sent and ECS continues with it unwatched"),
        (Verdict.TIMED_OUT, "was sent and ECS continues with it unwatched"),
        (Verdict.SUPERSEDED, "was sent and a newer deployment took over"),
        (Verdict.FAILED, "was sent and it failed too"),
        (Verdict.SUCCEEDED, "was sent and the service is on it"),
    ],
)
def test_a_rollback_that_was_sent_is_what_ecs_goes_on_with(
    platform: Platform, verdict: Verdict | None, says: str
) -> None:
    """Its watch ended early: the advice is about the rollback, not about the failed revision."""
    context = release(platform)
    context.rollback = Rollback("backend:7", "ecs-svc/2")
    if verdict is not None:
        context.rollback_result = WatchResult(verdict, "", (), "ecs-svc/2", 1.0, 1)
    step = replace(GO_ON, last_healthy=LastHealthy("x/backend:7"))
    context.journal.entries.append(StepRecord(step, "left"))
    done = DeployResult(context, Ending(Verdict.FAILED), 1.0)
    left_in_place = deploy_run.report_not_undone(done)
    first, *more = left_in_place.split("\n")
    assert first == f"the rollback to backend:7 (ecs-svc/2) {says}: inv backend.status shows it"
    assert more == (["what runs now is unknown"] if verdict is Verdict.FAILED else [])
    document = replace(done, left_in_place=left_in_place).document
    assert document["next"] == "; ".join([first, *more, "inv troubleshoot.all"])


def test_a_document_names_the_commands_that_the_text_prints(platform: Platform) -> None:
    context = release(platform)
    fix = ("inv backend.logs --task a1", "inv x")
    context.findings.append(Finding("container_exited", "it exited", "certain", fix=fix))
    done = DeployResult(context, Ending(Verdict.ROLLED_BACK), 1.0)
    assert done.document["next"] == "inv backend.logs --task a1; inv troubleshoot.all"
    line = "  next     inv backend.logs --task a1 · inv troubleshoot.all"
    assert line in done.text.splitlines()


@pytest.mark.parametrize(
    ("error", "verdict"), [(ConfigError("--tag"), "invalid"), (OpsError("broken"), "failed")]
)
def test_a_wrong_argument_is_no_failed_deploy(error: OpsError, verdict: str) -> None:
    assert deploy_run.document_of_error("backend", error, None)["verdict"] == verdict


def test_the_verdict_names_the_revision_that_the_rollback_went_to(platform: Platform) -> None:
    """Not the one that ran before: that may be a rollout that failed too, and was superseded."""
    context = release(platform)
    context.rollback = Rollback("backend:2", "ecs-svc/2")
    context.rollback_result = WatchResult(Verdict.SUCCEEDED, "", (), "ecs-svc/2", 1.0, 1)
    assert REVISION.label != "backend:2"
    first = DeployResult(context, Ending(Verdict.ROLLED_BACK), 1.0).text.splitlines()[0]
    assert first.endswith(" · backend:2 serves again, as deployment ecs-svc/2")


@pytest.mark.parametrize(("healthy", "sign"), [(True, "✓"), (False, "✗")])
def test_an_unhealthy_endpoint_is_no_proof(
    platform: Platform, healthy: bool, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deploy fails without an undo: the line of the step does not look like a success."""
    answer = Answer("/api/health", 200, "", 1.0, problem="" if healthy else "503 and not 200")
    image = verify.ImageCheck(None, None)
    monkeypatch.setattr(verify, "verify_images", lambda *words: image)
    monkeypatch.setattr(verify, "verify_endpoints", lambda *words: verify.EndpointCheck((answer,)))
    lines: list[str] = []
    context = replace(release(platform, answers=(answer,)), journal=Journal(lines.append))
    context.digest = "sha256:1"
    step = VerifyRelease("backend", "sha256:1", 1)
    done = deploy_run.run(context, Plan((GO_ON, step)), lock.myself("deploy", ""))
    assert done.verdict is (Verdict.SUCCEEDED if healthy else Verdict.FAILED)
    assert lines[-1 if healthy else 1].startswith(f"{sign} prove")


def test_what_terraform_ignores_is_not_the_cause_of_a_failure(platform: Platform) -> None:
    """The last lines name the finding that failed the rollout, not one that only notes a fact."""
    context = release(platform)
    for cause in ("task_definition_ignored", "container_exited", "terraform_state_differs"):
        context.findings.append(Finding(cause, f"about {cause}", "certain"))
    text = DeployResult(context, Ending(Verdict.ROLLED_BACK, "two tasks stopped"), 1.0).text
    causes = [line for line in text.splitlines() if line.startswith("  cause ")]
    assert "container_exited" in causes[0] and not any("terraform" in each for each in causes)


def test_a_restart_that_was_cut_off_names_the_watch(platform: Platform) -> None:
    """The advice is not a deploy of its tag; each line has one statement."""
    context = replace(release(platform), kind="restart")
    step = RestartService("i", None, False, "dev-backend", 2, "backend:7", "ecs-svc/1")
    context.journal.entries.append(StepRecord(step, "done"))
    done = DeployResult(context, Ending(Verdict.INTERRUPTED), 1.0)
    left_in_place = deploy_run.report_not_undone(done)
    assert left_in_place == "nothing watches the restart any more: inv backend.watch"
    assert context.journal.left[0].endswith(
        ": the service stays on the same revision, so there is nothing to roll back"
    )
    lines = f"running now: 2 of 2 tasks of ecs-svc/1 (ACTIVE)\n{left_in_place}"
    result = replace(done, left_in_place=lines)
    assert [line for line in result.text.splitlines() if line.startswith("  next ")] == [
        "  next     running now: 2 of 2 tasks of ecs-svc/1 (ACTIVE)",
        f"  next     {left_in_place}",
    ]
    assert result.next == lines.replace("\n", "; ")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("at", ["countdown", "read_answer"])
@pytest.mark.parametrize("interrupted", [False, True])
def test_only_a_second_signal_stops_the_undo(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, name: str, at: str, interrupted: bool
) -> None:
    """The first one, of a deploy that failed by itself, ends the countdown or its question."""

    def interrupt(*_: object) -> bool:
        raise Interrupted(name)

    monkeypatch.setattr(ui, "on_terminal", lambda: True)
    monkeypatch.setattr(ui, "countdown", lambda *_: True)
    monkeypatch.setattr(ui, at, interrupt)
    work = release(platform)
    work.request = replace(work.request, yes=False)
    work.journal.cause = Interrupted("SIGINT") if interrupted else None
    if interrupted and name != "SIGHUP":
        with pytest.raises(Interrupted):
            work.confirm_undo("backend:7")
    else:
        work.confirm_undo("backend:7")


@pytest.mark.parametrize("baking", [True, False])
def test_a_rollout_that_bakes_is_not_undone(platform: Platform, baking: bool) -> None:
    """ECS ends a bake by itself, so a timeout in it keeps the new tasks, also with `--yes`."""
    work = release(platform)
    work.watch_result = WatchResult(Verdict.TIMED_OUT, "900 s passed", (), "d", 900.0, 9, baking)
    step = replace(GO_ON, last_healthy=LastHealthy("backend:7"))
    with pytest.raises(OpsError) as raised:  # without a bake ECS is asked, and does not answer
        EcsRollout(work).undo(step)
    assert isinstance(raised.value, Refused) is baking
    assert ("ECS waits for the bake time" in raised.value.why) is baking
