"""kill -9 of a deploying process at each step, and a network that drops: the next run converges, nothing is done twice."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import yaml

from tests.conftest import Checkout
from tests.flows import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
STEPS = {
    "preflight": "tests of backend",
    "build": "Step 2/",
    "built": "Successfully tagged",
    "push": "Pushing",
    "pushed": " is sha256:",
    "registered": "revision dev-davidshaevel-backend",
    "updated": "deployment ecs-svc/",
    "watching": "event:",
    "rolled out": "== completed",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_deploy_killed_at_any_step_is_simply_run_again(platform: Checkout, step: str) -> None:
    """The second run ends in the new version: one image, one new revision, one UpdateService, no lock left behind."""
    tag = world.commit(platform, {"backend/NOTE": step}, f"Killed at: {step}")
    before = world.newest_revision(platform)
    process = world.start(platform, "backend.deploy")
    world.read_until(process, STEPS[step])
    process.kill()
    process.communicate()
    done = platform.document("backend.deploy")
    assert done["verdict"] == "succeeded" and world.version(platform) == tag, done
    assert int(world.service(platform)["taskDefinition"].rsplit(":", 1)[1]) == world.newest_revision(platform) == before + 1
    assert platform.document("lock.status") == {"locks": []}
    if step in ("pushed", "registered", "updated", "watching", "rolled out"):
        assert not {"build", "push"} & {entry["name"] for entry in done["steps"]}


class Cut:
    """A way to AWS that can be cut: a TCP forwarder on loopback."""

    def __init__(self, port: int) -> None:
        self.port, self.cut = port, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.cut.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.port))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while not self.cut.is_set() and (data := one.recv(65536)):
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                end.close()


def test_a_network_that_drops_while_watching_is_waited_out(platform: Checkout) -> None:
    """AWS unreachable for a few seconds in the middle of the watch: said once, and the deploy succeeds."""
    tag = world.commit(platform, {"backend/NOTE": "dropped"}, "While the network drops")
    file = platform.root / ".sandbox/environment.yaml"
    text = file.read_text()
    values = yaml.safe_load(text)
    way = Cut(int(values["aws"]["endpoint"].rsplit(":", 1)[1]))
    file.write_text(yaml.safe_dump({**values, "aws": {**values["aws"], "endpoint": way.endpoint}}))
    try:
        process = world.start(platform, "backend.deploy", "--json")
        world.read_until(process, "deployment ecs-svc/")
        way.cut.set()
        time.sleep(7)
        way.cut.clear()
        out, said = process.communicate(timeout=150)
    finally:
        file.write_text(text)
        way.listener.close()
    assert process.returncode == 0, said
    assert '"succeeded"' in out and world.version(platform) == tag
