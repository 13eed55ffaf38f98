"""A service without a target group and endpoints: what a deploy proves about a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
WORKER = """\
      worker:
        ecs_service: worker
        container: backend
        repository: davidshaevel/backend
        context: backend
        build_args: {VERSION: "{tag}"}
        settle: 15s
"""
BEFORE = "      frontend:\n        ecs_service: dev-davidshaevel-frontend\n"
SHORT_LIVED = """
import os as _os, threading as _threading
def _end():
    print("the queue is gone", flush=True)
    _os._exit(1)
_threading.Timer(5, _end).start()
"""


@pytest.fixture
def worker(platform: Checkout) -> Iterator[Checkout]:
    """The platform with a third service, whose tasks nothing checks."""
    ecs, backend = world.aws(platform, "ecs"), world.service(platform)
    configuration = platform.root / "invoke.yaml"
    text = configuration.read_text()
    configuration.write_text(text.replace(BEFORE, WORKER + BEFORE, 1))
    ecs.create_service(
        cluster="dev-davidshaevel-cluster",
        serviceName="worker",
        taskDefinition=backend["taskDefinition"],
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=backend["networkConfiguration"],
    )
    try:
        until(lambda: _is_rolled_out(platform))  # only then is there a revision to go back to
        yield platform
    finally:
        ecs.delete_service(cluster="dev-davidshaevel-cluster", service="worker", force=True)
        configuration.write_text(text)


def _is_rolled_out(platform: Checkout) -> bool:
    (deployment,) = world.service(platform, "worker")["deployments"]
    return bool(deployment["rolloutState"] == "COMPLETED" and deployment["runningCount"] == 1)


def test_a_worker_that_dies_seconds_after_its_start_is_rolled_back(worker: Checkout) -> None:
    """A real one, with `settle: 15s`: ECS calls its rollout COMPLETED, and the deploy fails with
    the stop reason and the log; the next good version succeeds once it has run for that long.
    """
    old = world.service(worker, "worker")["taskDefinition"]
    server = (world.source(worker) / "backend/server.py").read_text()
    world.commit(worker, {"backend/server.py": SHORT_LIVED + server}, "Dies without its queue")
    done = worker.document("worker.deploy", "--skip", "tests")
    world.revert(worker)
    assert done["verdict"] == "rolled_back", done
    evidence = [each["text"] for each in done["findings"][0]["evidence"]]
    assert {"EssentialContainerExited", "the queue is gone"} <= set(evidence)
    assert world.service(worker, "worker")["taskDefinition"] == old
    again = worker.inv("worker.deploy", "--skip", "tests")
    assert again.returncode == 0, again.stderr
    assert "must run for 15 s before this succeeds" in again.stderr
