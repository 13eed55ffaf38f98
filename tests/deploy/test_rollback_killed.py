"""kill -9 of a rollback at each step of its plan: the next rollback, or deploy, ends right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.relay import before_aws

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
SLOW = "import time\n\ntime.sleep(25)\n"
# the words with which each step has begun, or has ended
PLANNED = "rolling {service} back to"
REGISTERED = "  revision dev-davidshaevel-"
UPDATED = "  deployment ecs-svc/"
WATCHED = "event:"
ROLLED_OUT = "== completed"
INVALIDATED = "  invalidation "
PROVED = "  edge /"
ACTIVE = (PLANNED, UPDATED, WATCHED, ROLLED_OUT)


def deployed(platform: Checkout, note: str, service: str = "backend") -> str:
    tag = world.commit(platform, {f"{service}/NOTE": note}, f"To be killed: {note}")
    done = platform.document(f"{service}.deploy", "--skip", "tests")
    assert done["verdict"] == "succeeded", done
    return tag


def kill_at(platform: Checkout, words: str, service: str = "backend") -> None:
    """Start a rollback, and kill it with -9 once it has printed `words`."""
    process = world.start(platform, f"{service}.rollback", "--verbose")
    world.read_until(process, words.format(service=service))
    process.kill()
    process.communicate()


def ended(platform: Checkout, task: str, tag: str, *words: str) -> dict[str, Any]:
    """The run that is not killed: it ends on `tag`, recorded, and leaves no lock."""
    service = task.partition(".")[0]
    done = platform.document(task, *words)
    assert (done["verdict"], done["tag"]) == ("succeeded", tag), done
    (row,) = [
        each for each in platform.document(f"{service}.releases")["releases"] if each["current"]
    ]
    assert (row["tag"], row["verdict"]) == (tag, "succeeded")
    assert platform.document("lock.status") == {"locks": []}
    state = world.service(platform, f"dev-davidshaevel-{service}")
    assert len(state["deployments"]) == 1 and state["runningCount"] == state["desiredCount"]
    return done


def revision_of(platform: Checkout) -> str:
    return str(world.service(platform)["taskDefinition"]).rsplit("/", 1)[1]


@pytest.mark.parametrize("words", ACTIVE)
def test_the_next_rollback_ends_on_the_same_release(platform: Checkout, words: str) -> None:
    """No revision is registered, and the service is on the release's own one."""
    older, runs = deployed(platform, f"{words}, older"), revision_of(platform)
    deployed(platform, f"{words}, newer")
    latest = world.newest_revision(platform)
    kill_at(platform, words)
    ended(platform, "backend.rollback", older)
    assert (world.version(platform), revision_of(platform)) == (older, runs)
    assert world.newest_revision(platform) == latest


@pytest.mark.parametrize("words", ACTIVE)
def test_the_next_deploy_ends_on_the_commit(platform: Checkout, words: str) -> None:
    """A rollback that was cut off does not keep the next deploy back."""
    deployed(platform, f"{words}, deploy after")
    newer = deployed(platform, f"{words}, deployed again")
    kill_at(platform, words)
    ended(platform, "backend.deploy", newer, "--skip", "tests")
    assert world.version(platform) == newer


@pytest.mark.parametrize("words", [REGISTERED, UPDATED, WATCHED])
def test_to_a_deregistered_revision(platform: Checkout, words: str) -> None:
    """It is registered again once, however often the rollback is run."""
    older, runs = deployed(platform, f"{words}, gone"), revision_of(platform)
    deployed(platform, f"{words}, runs")
    world.aws(platform, "ecs").deregister_task_definition(taskDefinition=runs)
    latest = world.newest_revision(platform)
    kill_at(platform, words)
    ended(platform, "backend.rollback", older)
    assert world.version(platform) == older
    assert world.newest_revision(platform) == latest + 1


@pytest.mark.parametrize("words", [PLANNED, UPDATED, WATCHED])
def test_while_a_deployment_in_flight_is_stopped(platform: Checkout, words: str) -> None:
    """ECS rolls back by itself once it was asked to."""
    good, runs = deployed(platform, f"{words}, good"), revision_of(platform)
    server = (world.source(platform) / "backend/server.py").read_text()
    world.commit(platform, {"backend/server.py": SLOW + server}, "Starts slowly")
    process = world.start(platform, "backend.deploy", "--skip", "tests")
    world.read_until(process, UPDATED)
    process.kill()
    process.communicate()
    kill_at(platform, words)
    world.revert(platform)
    ended(platform, "backend.rollback", good)
    assert (world.version(platform), revision_of(platform)) == (good, runs)


@pytest.mark.parametrize("words", [INVALIDATED, PROVED])
def test_a_frontend_at_its_cache_and_its_proof(platform: Checkout, words: str) -> None:
    """The cache is invalidated by the next run, once per deployment, and the edge is proved."""
    older = deployed(platform, f"{words}, older", "frontend")
    deployed(platform, f"{words}, newer", "frontend")
    kill_at(platform, words, "frontend")
    done = ended(platform, "frontend.rollback", older)
    assert [step["name"] for step in done["steps"]] == ["invalidate", "prove"]
    assert done["edge"] and {each["state"] for each in done["edge"]} == {"fresh"}


def test_while_update_service_is_under_way(platform: Checkout) -> None:
    """The call is lost with its process: the next rollback sends it."""
    older, _ = deployed(platform, "call, older"), deployed(platform, "call, newer")
    with before_aws(platform, b"UpdateService") as relay:
        process = world.start(platform, "backend.rollback")
        assert relay.held.wait(60)
        process.kill()
        process.communicate()
    ended(platform, "backend.rollback", older)
    assert world.version(platform) == older
