"""How a deploy by Terraform ends whose apply does not: a login that expires, a state that cannot be
written, or is locked, or has moved.
"""

from __future__ import annotations

import pytest

from ops.core.errors import Refused, TimedOut
from ops.core.findings import Verdict
from ops.deploy.context import DeployContext
from ops.state import records
from ops.terraform.errors import LockHeld
from tests.terraform.fake_terraform import Scene, done, error
from tests.terraform.test_output import HELD

MADE = done("aws_ecs_task_definition.backend: Creation complete")
EXPIRED = error(
    "updating ECS Service (backend)",
    "api error ExpiredTokenException: The security token included in the request is expired",
)
LOCKED = error("Error acquiring the state lock", HELD)
STALE = error(
    "Saved plan is stale",
    "The given plan file can no longer be applied because the state was changed by another "
    "operation",
)
DROPPED = error("creating ECS Service (backend)", "read tcp 10.0.0.1:443: connection reset by peer")
UNSAVED = error(
    "Failed to persist state to backend",
    "api error ExpiredToken: it was written to errored.tfstate",
)


def statuses(release: DeployContext) -> list[tuple[str, str]]:
    return [(entry.step.verb, entry.status) for entry in release.journal.entries]


def test_a_login_that_expires_in_mid_apply(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reported with the command that renews it. Terraform cannot roll back either, and ECS is asked
    instead: the service had not moved.
    """
    scene.script(apply=[[MADE, EXPIRED], [EXPIRED]])
    ended = scene.run(scene.release())
    assert ended.verdict is Verdict.FAILED
    assert (
        "the login has expired" in ended.ending.why
        and "what was applied before is in the state" in ended.ending.why
    )
    assert ended.next == (
        "renew aws.access_key and aws.secret_key in the environment's overlay, then run it again; "
        "inv troubleshoot.all"
    )
    assert (
        statuses(ended.context)[-1] == ("tf-apply", "undone") and ended.context.journal.left == []
    )
    said = capsys.readouterr().err
    assert "no rollback by Terraform: terraform apply: the login has expired" in said
    assert "nothing to roll back: the service was not changed" in said
    assert len(scene.calls("apply")) == 2, "never repeated by itself"
    assert scene.saved() == []


def test_a_state_that_could_not_be_written(scene: Scene) -> None:
    """The one file that knows what was made is named, with the command that puts it in its
    place.
    """
    scene.script(apply=[[MADE, UNSAVED], [UNSAVED]])
    ended = scene.run(scene.release())
    assert ended.verdict is Verdict.FAILED and "errored.tfstate" in ended.ending.why
    assert ended.next.endswith("state push errored.tfstate; inv troubleshoot.all")


@pytest.mark.parametrize(
    ("wait_s", "asked"), [(0.0, "-lock-timeout=30s"), (300.0, "-lock-timeout=300s")]
)
def test_a_state_that_is_locked_at_the_apply(scene: Scene, wait_s: float, asked: str) -> None:
    """Terraform waits as long as for the plan, and for `--lock-wait`; then the deploy is refused:
    nothing was changed, nothing is taken back.
    """
    scene.script(apply=[[LOCKED], [LOCKED]])
    release = scene.release(lock_wait_s=wait_s)
    with pytest.raises(LockHeld) as refused:
        scene.run(release)
    assert refused.value.exit_code == 3 and "ana@laptop" in refused.value.why
    assert refused.value.as_document()["verdict"] == "refused"
    assert statuses(release)[-1] == ("tf-apply", "refused") and release.journal.left == []
    assert [
        next(word for word in words if "lock-timeout" in word) for words in scene.calls("apply")
    ] == ["-lock-timeout=0s", asked]
    assert len(scene.calls("plan")) == 1 and scene.saved() == []
    assert [kept.verdict for kept in records.read(scene.platform, "backend")] == ["refused"]


def test_a_state_that_moved_between_plan_and_apply(scene: Scene) -> None:
    """Terraform refuses the plan before it does anything: so is the deploy, and its plan is
    gone.
    """
    scene.script(apply=[[STALE]])
    release = scene.release()
    with pytest.raises(Refused, match="the state has moved"):
        scene.run(release)
    assert statuses(release)[-1] == ("tf-apply", "refused")
    assert len(scene.calls("plan")) == len(scene.calls("apply")) == 1 and scene.saved() == []


def test_a_plan_is_tried_again_and_an_apply_is_not(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same dropped connection: one line and another plan; but an apply may have been heard, so
    it is taken back.
    """
    scene.script(plan=[[DROPPED]], apply=[[MADE, DROPPED]])
    ended = scene.run(scene.release())
    assert ended.verdict is Verdict.FAILED and "connection reset by peer" in ended.ending.why
    assert (
        "  terraform plan: connection reset by peer: retrying in 5 s"
        in capsys.readouterr().err.splitlines()
    )
    images = [
        word.rpartition(":")[2]
        for words in scene.calls("plan")
        for word in words
        if word.startswith("-var=image=")
    ]
    assert images == ["abc1234", "abc1234", "old"], "the plan twice, then the way back"
    assert len(scene.calls("apply")) == 2


def test_a_timeout_bounds_terraform_but_not_the_way_back(scene: Scene) -> None:
    """`--timeout 3`: the apply gets its one interrupt and is waited for; the second plan's takes
    its four seconds; exit 6.
    """
    scene.script(apply=[["hang", MADE], [4, MADE]])
    ended = scene.run(scene.release(timeout_s=3.0))
    assert ended.verdict is Verdict.TIMED_OUT and "took longer than 3 s" in ended.ending.why
    assert ended.next == "inv tf.locks; more time: a longer --timeout; inv troubleshoot.all"
    assert statuses(ended.context)[-1] == ("tf-apply", "undone") and len(scene.calls("apply")) == 2


def test_a_timeout_before_anything_was_changed(scene: Scene) -> None:
    """The plan takes too long: nothing to take back, exit 6."""
    scene.script(plan=[["hang", DROPPED]])
    with pytest.raises(TimedOut, match="took longer than 3 s"):
        scene.run(scene.release(timeout_s=3.0))
    assert scene.calls("apply") == []
