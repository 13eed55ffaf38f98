"""A service that is meant to be down is healthy while it is, and a failure while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.health.sweeps import ill, look, until_well

FRONTEND = "dev-davidshaevel-frontend"


def _scale(platform: Checkout, count: int) -> None:
    state = world.service(platform, FRONTEND)
    ecs = world.aws(platform, "ecs")
    ecs.update_service(cluster=state["clusterArn"], service=FRONTEND, desiredCount=count)
    end = time.monotonic() + 60
    while world.service(platform, FRONTEND)["runningCount"] != count:
        assert time.monotonic() < end
        time.sleep(0.3)


@pytest.fixture
def stopped(platform: Checkout) -> Iterator[Checkout]:
    until_well(platform)
    _scale(platform, 0)
    yield platform
    _scale(platform, 2)


@pytest.mark.timeout(180)
def test_a_service_that_is_meant_to_be_down(stopped: Checkout, tmp_path: Path) -> None:
    """Scaled to 0: a failure by default, healthy with `expect: stopped`; running: a failure."""
    config = tmp_path / "down.yaml"
    down = {"environments": {"sandbox": {"services": {"frontend": {"expect": "stopped"}}}}}
    config.write_text(yaml.safe_dump(down))
    assert "ecs · frontend tasks" in ill(look(stopped))

    done = stopped.inv("-f", str(config), "health.ecs", "health.targets", "health.cdn")
    assert done.returncode == 0, done.stdout + done.stderr

    pages = stopped.inv("-f", str(config), "health.endpoints", "--json")
    assert pages.returncode == 0, pages.stdout + pages.stderr

    gone = {"services": {"frontend": {"ecs_service": "none-such", "expect": "stopped"}}}
    config.write_text(yaml.safe_dump({"environments": {"sandbox": gone}}))
    words = ("health.ecs", "health.targets", "health.cdn", "health.logs")
    done = stopped.inv("-f", str(config), *words)
    assert done.returncode == 0, done.stdout + done.stderr

    everything = {"cluster": "none-such", "expect": "stopped", "cdn": {"alias": "none.example"}}
    config.write_text(yaml.safe_dump({"environments": {"sandbox": everything}}))
    done = stopped.inv("-f", str(config), "health.all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "browser" not in done.stdout

    config.write_text(yaml.safe_dump(down))
    _scale(stopped, 2)
    assert stopped.inv("-f", str(config), "health.ecs").returncode == 1
