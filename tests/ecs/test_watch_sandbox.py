"""The watch against the sandbox's own AWS and agent: real HTTP, real processes, real seconds."""

import time

import pytest

from bench.recording import Notes
from ops.aws import session
from ops.core.findings import Verdict
from ops.ecs import watch
from ops.ecs.model import WatchOptions
from ops.sandbox.contracts import REGION
from tests.sandbox.aws_platform import CRASH, agent_at_work
from tests.waiting import until

ROLLBACK = {
    "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    "minimumHealthyPercent": 100,
    "maximumPercent": 200,
}


@pytest.fixture
def platform():
    with agent_at_work() as made:
        yield made


def rolled(platform, image, **options):
    """Deploy `image` over a running version 1 and watch it to its verdict."""
    deployment = platform.update(taskDefinition=platform.revision(image))["deployments"][0]["id"]
    return watched(platform, deployment, **options)


def watched(platform, deployment, **options):
    key = platform.aws.keys.operator
    cloud = session.of_overlay(platform.aws.url, key.access_key, key.secret_key, REGION)
    observer = watch.EcsObserver(cloud, "demo", "web", "web")
    notes = Notes(time.monotonic)
    outcome = watch.watch(
        observer,
        deployment,
        **{
            "timeout_s": 60,
            "poll_s": 0.5,
            "display": notes,
            "options": WatchOptions("web"),
            **options,
        },
    )
    return outcome, notes


def running(platform, **settings):
    platform.create(platform.revision(platform.image("v1")), **settings)
    platform.completed()
    return platform


def test_a_good_version_succeeds(platform):
    """From UpdateService to COMPLETED, with ECS's events on the way and no finding."""
    outcome, notes = rolled(running(platform), platform.image("v2"))
    assert outcome.verdict is Verdict.SUCCEEDED
    assert outcome.findings == ()
    assert any("has started" in event.message for _, kind, event in notes.shown if kind == "event")


def test_a_version_that_crashes_fails_with_its_log_line(platform):
    """Exit 1 at start, no circuit breaker: failed on the second stop, with what the container
    printed.
    """
    outcome, _ = rolled(running(platform), platform.image("bad", CRASH))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.findings[0].cause == "container_exited"
    assert "boom: cannot start" in [evidence.text for evidence in outcome.findings[0].evidence]
    assert "exit code 1" in outcome.why


def test_a_missing_image_fails_on_the_first_task(platform):
    """No retry brings a tag back."""
    outcome, _ = rolled(running(platform), "web:missing")
    assert outcome.verdict is Verdict.FAILED
    assert outcome.findings[0].cause == "image_missing"
    assert "a retry can't help" in outcome.why


def test_a_health_path_that_answers_404_fails_with_the_target_s_reason(platform):
    """The load balancer's check fails, ECS stops the tasks for it, and the finding shows the
    404.
    """
    outcome, _ = rolled(running(platform), platform.image("sick", STATUS="404"))
    assert outcome.verdict is Verdict.FAILED
    assert outcome.findings[0].cause == "target_unhealthy"
    assert any("404" in evidence.text for evidence in outcome.findings[0].evidence)


def test_the_circuit_breaker_s_rollback_is_rolled_back_and_the_way_there_is_said(platform):
    """Left to ECS: never a success, though the service is stable again."""
    outcome, notes = rolled(
        running(platform, deploymentConfiguration=ROLLBACK),
        platform.image("bad", CRASH),
        leave_to_circuit_breaker=True,
    )
    assert outcome.verdict is Verdict.ROLLED_BACK
    assert platform.primary()["rolloutState"] == "COMPLETED"
    assert notes.first("finding") is not None


def test_a_newer_deployment_supersedes(platform):
    """Somebody else deployed in between: neither our success nor our failure."""
    running(platform)
    ours = platform.update(taskDefinition=platform.revision(platform.image("v2")))["deployments"][
        0
    ]["id"]
    until(lambda: platform.deployment(ours)["runningCount"] > 0)
    platform.update(taskDefinition=platform.revision(platform.image("v3")))
    outcome, _ = watched(platform, ours)
    assert outcome.verdict is Verdict.SUPERSEDED


def test_going_back_after_a_failure_succeeds(platform):
    """The undo is a deployment too, watched by its own id; the failed one's stopped tasks are not
    its own.
    """
    first = running(platform).service()["taskDefinition"]
    assert rolled(platform, platform.image("bad", CRASH))[0].verdict is Verdict.FAILED
    back = platform.update(taskDefinition=first)["deployments"][0]["id"]
    outcome, _ = watched(platform, back)
    assert (outcome.verdict, outcome.findings) == (Verdict.SUCCEEDED, ())
