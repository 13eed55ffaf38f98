"""A rollout's verdict is read from our deployment's id and its own stopped tasks, never from a
service that looks stable.
"""

from dataclasses import replace

import pytest

from ops.aws.facts import LoadBalancer
from ops.core.findings import Verdict
from ops.ecs.rules.verdict.observation import Observation, RolloutHistory, remember, wants_details
from ops.ecs.rules.verdict.rollout import decide
from ops.ecs.rules.verdict.settling import Settling, same_tasks, settle, settle_time
from tests.ecs.stops import BACK, NEWER, OLD, OLD_ONE, OURS, box, crashed, deployment, service, task

ROLLING = "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/9."
BROKEN = "ECS deployment circuit breaker: tasks failed to start."
RATE = "CannotPullContainerError: ERROR: toomanyrequests: Too Many Requests."
MISSING = "CannotPullContainerError: x: not found"
NETWORK = "CannotPullContainerError: Check your network configuration. i/o timeout"


def story(*answers, stopped=(), timeout=900.0, every=4.0, patient=False, stage="", bounded=False):
    """The decision after each answer in turn has been remembered; the last one's is returned."""
    history, decision = RolloutHistory(), None
    for number, answer in enumerate(answers):
        history = remember(history, answer, OURS, number * every)
        observation = Observation(number * every, answer, tuple(stopped), history, stage=stage)
        decision = decide(
            observation,
            OURS,
            timeout_s=timeout,
            leave_to_circuit_breaker=patient,
            timeout_includes_bake=bounded,
        )
    return decision


started = service(deployment(running=0, pending=2), OLD_ONE)
done = service(deployment(state="COMPLETED", running=2))
failed = deployment(state="FAILED", reason=BROKEN, failed=3)
failed_active = deployment(status="ACTIVE", state="FAILED", reason=BROKEN, failed=3, desired=0)
rolling = deployment(BACK, "PRIMARY", "IN_PROGRESS", reason=ROLLING, made=180, revision=1)
rolled = deployment(
    BACK,
    "PRIMARY",
    "COMPLETED",
    reason="ECS deployment ecs-svc/9 completed.",
    made=180,
    revision=1,
    running=2,
)


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([started], None),
        ([service(deployment(running=2), OLD_ONE)], None),
        ([started, done], Verdict.SUCCEEDED),
        ([service(deployment(state=None, running=2))], Verdict.SUCCEEDED),
        ([service(deployment(state=None, running=2), OLD_ONE)], None),
        ([service(deployment(state=None, running=1, pending=1))], None),
        ([service(deployment(state="COMPLETED", desired=0), desired=0)], Verdict.SUCCEEDED),
        ([started, service(failed, OLD_ONE, breaker=True)], Verdict.FAILED),
        ([started, service(failed, OLD_ONE, breaker=True, rollback=True)], None),
        ([started, service(rolling, failed_active, OLD_ONE, breaker=True, rollback=True)], None),
        ([started, service(rolling, failed_active), service(rolled)], Verdict.ROLLED_BACK),
        (
            [
                started,
                service(rolling, failed_active),
                service(deployment(BACK, "PRIMARY", "FAILED", made=180)),
            ],
            Verdict.FAILED,
        ),
        (
            [started, service(rolling, failed_active), service(deployment(NEWER, made=300))],
            Verdict.SUPERSEDED,
        ),
        (
            [started, service(deployment(NEWER, made=60), deployment(status="ACTIVE"), OLD_ONE)],
            Verdict.SUPERSEDED,
        ),
        (
            [started, service(deployment(NEWER, made=60, state="COMPLETED", running=2))],
            Verdict.SUPERSEDED,
        ),
        ([started, None], None),
        ([started, None, None], Verdict.FAILED),
        ([started, None, done], Verdict.SUCCEEDED),
        ([started, None, started, None], None),
        ([started, service()], None),
        ([started, service(), done], Verdict.SUCCEEDED),
        ([started, service(), service(), service(), service()], Verdict.SUPERSEDED),
        (
            [started, service(rolling, failed_active), service(), service(rolled)],
            Verdict.ROLLED_BACK,
        ),
        ([started, service(status="INACTIVE")], Verdict.FAILED),
        ([started, service(deployment(desired=0), status="DRAINING", desired=0)], Verdict.FAILED),
    ],
)
def test_a_verdict_follows_our_deployment(answers, verdict):
    """Each ending is told from the others, and what is under way has no verdict."""
    assert story(*answers).verdict == verdict


def test_a_completed_rollback_is_never_a_success():
    """Even where failing and rolling back fell between two looks, ECS's own events tell."""
    said = "(service x) (deployment ecs-svc/2) deployment failed: tasks failed to start."
    events = [(20, said), (21, "(service x) rolling back to deployment ecs-svc/9.")]
    decision = story(started, service(rolled, events=events))
    assert decision.verdict is Verdict.ROLLED_BACK


def test_the_old_deployment_in_front_again_is_a_rollback():
    """UpdateService always makes a newer deployment, so an older PRIMARY beside ours was put there
    by ECS.
    """
    again = deployment(OLD, "PRIMARY", "COMPLETED", made=-3600, running=2, revision=1)
    assert story(started, service(again, failed_active)).verdict is Verdict.ROLLED_BACK


def test_a_stale_answer_is_waited_out():
    """ECS is eventually consistent: an answer from before our deployment is neither superseded nor
    rolled back.
    """
    before = service(deployment(OLD, "PRIMARY", "COMPLETED", made=-3600, running=2, revision=1))
    assert story(before).verdict is None
    assert story(started, before).verdict is None
    assert story(started, before, done).verdict is Verdict.SUCCEEDED


def test_an_event_about_an_earlier_rollback_is_not_ours():
    """Going back by hand after a failed deploy: the old rollback's events are still listed."""
    events = [(-50, "(service x) rolling back to deployment ecs-svc/3.")]
    decision = story(
        started, service(deployment(NEWER, made=60), deployment(status="ACTIVE"), events=events)
    )
    assert decision.verdict is Verdict.SUPERSEDED


def test_a_rollback_is_a_phase_from_its_first_answer():
    """It is reported when it starts, with where it goes."""
    decision = story(started, service(rolling, failed_active, OLD_ONE))
    assert (decision.verdict, decision.phase) == (None, "rolling back")
    assert "dev-backend:1" in decision.why


def test_a_breaker_that_has_nowhere_to_go_back_to_is_not_waited_for():
    """Rollback needs an earlier completed deployment; without one ECS stays where it is."""
    stuck = service(failed, breaker=True, rollback=True)
    assert story(*[stuck] * 10).verdict is None
    assert story(*[stuck] * 20).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("stopped", "verdict"),
    [
        ([task("a", MISSING, box())], Verdict.FAILED),
        ([crashed("a")], None),
        ([crashed("a"), crashed("b")], Verdict.FAILED),
        ([crashed("a", 1), crashed("b", 2)], None),
        ([crashed("a", 1), crashed("b", 2), crashed("c", 1)], Verdict.FAILED),
        ([task("a", NETWORK)], None),
        ([task("a", NETWORK), task("b", NETWORK)], Verdict.FAILED),
        ([task("a", RATE, created=5, stopped=30), task("b", RATE, created=5, stopped=31)], None),
        (
            [task("a", RATE, created=5, stopped=30), task("b", RATE, created=35, stopped=60)],
            Verdict.FAILED,
        ),
        ([task("a", "Task stopped by user"), task("b", "Task stopped by user")], None),
        ([task("a", "Scaling activity initiated by (deployment ecs-svc/2)")] * 3, None),
        (
            [task("a", "Task failed ELB health checks in (target-group x)", box(exit_code=143))],
            None,
        ),
        ([task("a", "odd"), task("b", "odd")], Verdict.FAILED),
    ],
)
def test_stopped_tasks_end_a_roll_out_without_a_breaker(stopped, verdict):
    """A cause that no retry mends at once, any other the second time; a benign stop never."""
    assert story(started, stopped=stopped).verdict == verdict


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [
        ("Your Spot Task was interrupted.", "SpotInterruption", "Fargate Spot took"),
        ("", "SpotInterruption", "Fargate Spot took"),
        ("Capacity is unavailable at this time.", "TaskFailedToStart", "no capacity"),
    ],
)
def test_lack_of_capacity_is_waited_for(reason, code, words):
    """However often: the earlier revision would be placed on the same capacity."""
    stopped = [
        task(f"{number}", reason, code=code, created=5 + 60 * number, stopped=60 * (number + 1))
        for number in range(4)
    ]
    decision = story(started, stopped=stopped)
    assert (decision.verdict, decision.phase) == (None, "waiting for capacity")
    assert words in decision.why
    late = story(*[started] * 3, stopped=stopped, timeout=8.0)
    assert late.verdict is Verdict.TIMED_OUT
    assert "waiting for capacity" in late.why
    assert words in late.why
    both = [*stopped, crashed("a"), crashed("b")]
    assert story(started, stopped=both).verdict is Verdict.FAILED


def test_patience_leaves_failing_tasks_to_a_breaker_that_rolls_back():
    """Only where there is one: without it nothing would ever end."""
    both = [crashed("a"), crashed("b")]
    with_breaker = service(deployment(pending=2), OLD_ONE, breaker=True, rollback=True)
    assert story(with_breaker, stopped=both, patient=True).verdict is None
    assert story(with_breaker, stopped=both).verdict is Verdict.FAILED
    assert story(started, stopped=both, patient=True).verdict is Verdict.FAILED


def test_slow_start_is_no_failure_and_time_is_up_at_the_limit():
    """Tasks that run and are not healthy yet are waited for, and the limit says what was waited
    for.
    """
    slow = service(deployment(running=2), OLD_ONE)
    assert story(*[slow] * 100).verdict is None
    decision = story(*[slow] * 101, timeout=400.0)
    assert decision.verdict is Verdict.TIMED_OUT
    assert "2 of 2 tasks run" in decision.why


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (service(OLD_ONE), "waiting for ECS"),
        (service(deployment(pending=2), OLD_ONE), "starting tasks"),
        (service(deployment(running=2), OLD_ONE), "waiting to be healthy"),
        (
            service(
                deployment(running=2), deployment(OLD, "ACTIVE", running=1, desired=0, made=-3600)
            ),
            "draining old tasks",
        ),
        (service(deployment(running=2)), "settling"),
    ],
)
def test_a_roll_out_under_way_says_what_it_waits_for(answer, phase):
    """The phases in the order in which a person sees them."""
    assert story(answer).phase == phase


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (service(deployment(pending=2), OLD_ONE), False),
        (service(deployment(running=1, pending=1), OLD_ONE), True),
        (service(deployment(pending=2, failed=1), OLD_ONE), True),
        (service(deployment(pending=2, state="FAILED"), OLD_ONE), True),
        (service(deployment(pending=2)), True),
        (service(deployment(pending=2), OLD_ONE, events=[(1, "has started 2 tasks")]), True),
        (None, True),
    ],
)
def test_details_are_wanted_when_something_changed(changed, wanted):
    """Counts, failures, states, deployments and events are worth a look; sameness is not."""
    assert wants_details(started, changed) is wanted


BLUE_GREEN = replace(service(deployment(running=2), OLD_ONE), strategy="BLUE_GREEN", bake_s=1800.0)
HALF_UP = replace(BLUE_GREEN, deployments=(deployment(running=1, pending=1), OLD_ONE))


@pytest.mark.parametrize(
    ("answer", "stage", "at", "bounded", "expected"),
    [
        (BLUE_GREEN, "BAKE_TIME", 1000, False, (None, "baking", False)),
        (
            BLUE_GREEN,
            "PRODUCTION_TRAFFIC_SHIFT",
            1000,
            False,
            (None, "production traffic shift", False),
        ),
        (BLUE_GREEN, "", 1000, False, (None, "baking", False)),
        (BLUE_GREEN, "BAKE_TIME", 2704, False, (Verdict.TIMED_OUT, "baking", True)),
        (BLUE_GREEN, "BAKE_TIME", 1000, True, (Verdict.TIMED_OUT, "baking", True)),
        (BLUE_GREEN, "POST_SCALE_UP", 800, False, (None, "post scale up", False)),
        (BLUE_GREEN, "POST_SCALE_UP", 1000, False, (Verdict.TIMED_OUT, "post scale up", False)),
        (HALF_UP, "", 1000, False, (Verdict.TIMED_OUT, "starting tasks", False)),
        (
            service(deployment(running=2), OLD_ONE),
            "",
            1000,
            False,
            (Verdict.TIMED_OUT, "waiting to be healthy", False),
        ),
    ],
)
def test_a_bake_time_does_not_count_against_the_timeout(answer, stage, at, bounded, expected):
    """A blue/green deployment stays IN_PROGRESS while it bakes; `--timeout` bounds it, and then it
    is kept.
    """
    decision = story(answer, answer, every=float(at), stage=stage, bounded=bounded)
    assert (decision.verdict, decision.phase, decision.baking) == expected


def test_tasks_that_crash_in_the_bake_still_end_it():
    """All traffic is on them, and they stop one after the other."""
    crashing = [crashed("a"), crashed("b")]
    assert story(BLUE_GREEN, stopped=crashing, stage="BAKE_TIME").verdict is Verdict.FAILED


def test_a_rollback_by_alarms_is_expected_like_one_by_the_breaker():
    """ECS goes back by itself where deployment alarms say so, the circuit breaker off."""
    alarmed = replace(service(failed, OLD_ONE), alarms_rollback=True)
    assert story(started, alarmed).verdict is None
    assert (
        story(started, alarmed, service(rolling, failed_active), service(rolled)).verdict
        is Verdict.ROLLED_BACK
    )


@pytest.mark.parametrize(
    ("at", "stopped", "verdict"),
    [
        (10, [], None),
        (40, [], Verdict.SUCCEEDED),
        (10, [crashed("new")], Verdict.FAILED),
        (10, [crashed("new", exit_code=0)], Verdict.FAILED),
        (40, [crashed("early")], Verdict.SUCCEEDED),
        (40, [task("new", "Task stopped by user")], Verdict.SUCCEEDED),
        (40, [task("new", "Your Spot Task was interrupted.")], Verdict.SUCCEEDED),
    ],
)
def test_tasks_that_nothing_checks_must_last(at, stopped, verdict):
    """A failure after the rollout completed counts; one from before, or a stop on purpose, does
    not.
    """
    since = Settling(5.0, frozenset({"a"}), frozenset({task("early").arn}))
    assert settle(since, Observation(float(at), done, tuple(stopped)), 30.0).verdict is verdict


@pytest.mark.parametrize(
    ("configured", "balanced", "desired", "expected"),
    [
        (None, False, 2, 30.0),
        (None, True, 2, 0.0),
        (5.0, False, 2, 5.0),
        (5.0, True, 2, 5.0),
        (0.0, False, 2, 0.0),
        (None, False, 0, 0.0),
        (5.0, True, 0, 0.0),
    ],
)
def test_the_settle_time_is_as_configured_or_30_s_without_a_target_group(
    configured, balanced, desired, expected
):
    """A service without tasks has nothing that could settle."""
    groups = (LoadBalancer("arn:tg", "web", 80),) if balanced else ()
    state = replace(service(deployment(desired=desired, running=desired)), load_balancers=groups)
    assert settle_time(configured, state, OURS) == expected
    assert settle_time(configured, service(OLD_ONE), OURS) == 0.0


@pytest.mark.parametrize(
    ("before", "now", "desired", "same"),
    [
        ("ab", "ab", 2, True),
        ("ab", "ac", 2, False),
        ("ab", "a", 1, True),
        ("ab", "abc", 3, True),
        ("", "ab", 2, False),
        ("ab", "", 2, False),
    ],
)
def test_the_same_tasks_run(before, now, desired, same):
    """Scaling is no replacement; tasks that were never seen are not the same."""
    assert same_tasks(Settling(0.0, frozenset(before)), frozenset(now), desired) is same
