"""`deploy --no-wait` and `inv SERVICE.watch` on the sandbox."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest

from ops.aws import ecs
from ops.core.errors import Refused
from ops.deploy.operations import attach
from ops.ecs import live_display
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.terraform.fake_terraform import FAMILY, Scene
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(300)]


def test_a_rollout_is_started_watched_and_then_verified(platform: Checkout) -> None:
    """`--no-wait` is no success: recorded as started, the lock released. The watch ends with the
    rollout's verdict, and the next deploy verifies it.
    """
    tag = world.commit(platform, {"backend/NOTE": "started"}, "Started, not waited for")
    started = platform.document("backend.deploy", "--no-wait", "--skip", "tests")
    assert (started["verdict"], started["tag"]) == ("started", tag), started
    assert [step["name"] for step in started["steps"]][-1] == "update"
    assert "inv backend.watch" in started["next"]
    watched = platform.document("backend.watch")
    assert (watched["verdict"], watched["deployment"]) == ("succeeded", started["deployment"])
    assert watched["tag"] == tag == world.version(platform)
    assert platform.document("lock.status")["locks"] == []
    row = platform.document("backend.releases")["releases"][0]
    assert (row["tag"], row["verdict"], row["current"]) == (tag, "started", True)
    idle = platform.inv("backend.watch")
    assert idle.returncode == 0 and "no deployment of backend is in flight" in idle.stdout
    assert platform.document("backend.deploy")["verdict"] == "succeeded"
    assert platform.document("backend.releases")["releases"][0]["verdict"] == "succeeded"


def test_ctrl_c_ends_the_watch_and_not_the_deployment(platform: Checkout) -> None:
    """A restart that nobody waits for goes on to its end; the exit code of the watch is 130."""
    started = platform.document("backend.restart", "--no-wait")
    assert started["verdict"] == "started", started
    assert started["next"] == "inv backend.watch watches and verifies it"
    process = world.start(platform, "backend.watch")
    world.read_until(process, "== ")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "the deployment continues" in errors
    assert world.service(platform)["deployments"][0]["id"] == started["deployment"]
    until(lambda: world.service(platform)["deployments"][0]["rolloutState"] == "COMPLETED")


def test_a_watch_of_a_rollout_that_fails_has_its_exit_code(platform: Checkout) -> None:
    """The stopped task's log is in the findings, and nothing is undone."""
    world.commit(platform, {"backend/server.py": world.CRASH}, "Crashes, not waited for")
    started = platform.document("backend.deploy", "--no-wait", "--skip", "tests")
    done = platform.inv("backend.watch", "--json")
    world.revert(platform)
    watched = json.loads(done.stdout)
    assert watched["deployment"] == started["deployment"]
    assert (done.returncode, watched["verdict"]) in ((1, "failed"), (4, "rolled_back"))
    evidence = [each["text"] for each in watched["findings"][0]["evidence"]]
    assert "boom: no such setting DATABSE_URL" in evidence
    assert platform.document("backend.deploy", "--skip", "tests")["verdict"] == "succeeded"


@pytest.mark.parametrize(
    "words", [("backend.deploy", "--no-wait", "--follow"), ("backend.watch", "--timeout", "soon")]
)
def test_bad_options_are_three_lines(platform: Checkout, words: tuple[str, ...]) -> None:
    done = platform.inv(*words)
    assert done.returncode == 2 and done.stderr.count("\n") <= 5, done.stderr


def test_a_service_that_is_being_deleted_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is in flight, and that is no success."""
    found = ecs.service(scene.platform.cloud, "main", FAMILY)
    assert found is not None
    monkeypatch.setattr(ecs, "service", lambda *_: replace(found, status="DRAINING"))
    with pytest.raises(Refused, match="it is DRAINING"):
        attach.attach(scene.platform, FAMILY, live_display.create_display())
