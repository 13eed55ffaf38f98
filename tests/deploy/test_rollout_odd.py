"""Healthy deploys that must not be taken back, and services that deploy otherwise: in the sandbox,
some of its answers changed.
"""

from __future__ import annotations

import json

import pytest

from tests.checkout import Checkout
from tests.deploy import aws_answers
from tests.deploy import deploying as world
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
NAMES = {"cluster": "dev-davidshaevel-cluster", "service": "dev-davidshaevel-backend"}
MORTAL = """
import os as _os, threading as _threading, time as _time
def _watch():
    while not _os.path.exists({flag!r}):
        _time.sleep(0.1)
    print("the queue is gone", flush=True)
    _os._exit(1)
_threading.Thread(target=_watch, daemon=True).start()
"""


def test_a_schedule_that_scales_to_0_meanwhile_is_no_failure(platform: Checkout) -> None:
    """The new revision stays, what happened is said, and it runs when the schedule scales up
    again.
    """
    tag = world.commit(platform, {"backend/NOTE": "night"}, "Deployed at night")
    old = world.service(platform)["taskDefinition"]
    process = world.start(platform, "backend.deploy", "--json")
    world.read_until(process, "deployment ecs-svc/")
    world.aws(platform, "ecs").update_service(**NAMES, desiredCount=0)
    out, said = process.communicate(timeout=150)
    after = world.service(platform)
    world.aws(platform, "ecs").update_service(**NAMES, desiredCount=2)
    assert process.returncode == 0, said
    done = json.loads(out)
    assert (done["verdict"], [each["cause"] for each in done["findings"]]) == (
        "succeeded",
        ["scaled_to_zero"],
    )
    assert after["taskDefinition"] != old and after["desiredCount"] == 0
    until(lambda: world.version(platform) == tag)


def test_odd_and_contradicting_answers_take_nothing_back(platform: Checkout) -> None:
    """One empty DescribeServices answer in mid-rollout, then ListTasks without tasks for ever:
    unproven (1), and kept.
    """
    tag, given = world.commit(platform, {"backend/NOTE": "odd"}, "Odd answers"), []

    def once(real: aws_answers.Answer) -> aws_answers.Answer:
        given.append(real)
        return (200, {}) if len(given) == 1 else real

    def none(real: aws_answers.Answer) -> aws_answers.Answer:
        return 200, {"taskArns": []}

    with aws_answers.before_aws(platform, {"DescribeServices": once, "ListTasks": none}) as opened:
        process = world.start(platform, "backend.deploy", "--json")
        world.read_until(process, "deployment ecs-svc/")
        opened.set()
        out, said = process.communicate(timeout=150)
    assert process.returncode == 1 and "rolling back" not in said, said
    done = json.loads(out)
    assert done["verdict"] == "failed" and done["findings"][-1]["cause"] == "unproven"
    assert "ListTasks lists 0" in done["findings"][-1]["evidence"][0]["text"]
    assert world.version(platform) == tag


@pytest.mark.parametrize(
    ("controller", "named"), [("CODE_DEPLOY", "CodeDeploy"), ("EXTERNAL", "external controller")]
)
def test_a_service_that_another_controller_deploys_is_refused_first(
    platform: Checkout, controller: str, named: str
) -> None:
    """Exit 3 by the checklist: nothing is built, pushed or registered."""
    tag, before = (
        world.commit(platform, {"backend/NOTE": controller}, "Not ours to deploy"),
        world.newest_revision(platform),
    )

    def other(real: aws_answers.Answer) -> aws_answers.Answer:
        for each in real[1].get("services", ()):
            each |= {"deploymentController": {"type": controller}, "deployments": []}
        return real

    with aws_answers.before_aws(platform, {"DescribeServices": other}) as opened:
        opened.set()
        done = platform.inv("backend.deploy", "--json", "--skip", "tests")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["verdict"] == "refused" and named in done.stderr
    assert world.newest_revision(platform) == before and "✓ build" not in done.stderr
    images = world.aws(platform, "ecr").describe_images(repositoryName="davidshaevel/backend")[
        "imageDetails"
    ]
    assert all(tag not in image.get("imageTags", ()) for image in images)


def test_a_worker_that_dies_after_its_roll_out_is_taken_back(platform: Checkout) -> None:
    """A service without target group: ECS says COMPLETED, and seconds later the new tasks exit."""
    flag = platform.root / "queue-gone"
    server = (world.source(platform) / "backend/server.py").read_text()
    world.commit(
        platform,
        {"backend/server.py": MORTAL.format(flag=str(flag)) + server},
        "Dies without its queue",
    )
    old = world.service(platform)["taskDefinition"]

    def worker(real: aws_answers.Answer) -> aws_answers.Answer:
        for each in real[1].get("services", ()):
            each["loadBalancers"] = []
        return real

    with aws_answers.before_aws(platform, {"DescribeServices": worker}) as opened:
        opened.set()
        process = world.start(platform, "backend.deploy", "--json", "--skip", "tests")
        world.read_until(process, "no target group checks these tasks")
        flag.write_text("")
        out, said = process.communicate(timeout=150)
    world.revert(platform)
    assert process.returncode == 4, said
    done = json.loads(out)
    assert "within 30 s of the completed rollout" in done["why"] and "the queue is gone" in out
    assert world.service(platform)["taskDefinition"] == old
