"""The real watch, through its adapters and boto3's own clients, over recorded timelines on a
virtual clock.
"""

from types import SimpleNamespace

import pytest

from bench.recording import Clock, Notes, Recording
from bench.timelines import load, replay, watched
from ops.aws.errors import translate_error
from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Verdict

OK = SimpleNamespace(status_code=200, content=b"")

EXPECTED = {
    "breaker": "failed",
    "breaker_rollback": "failed",
    "image_missing": "failed",
    "no_breaker": "failed",
    "same_revision": "succeeded",
    "slow_start": "succeeded",
    "success": "succeeded",
    "superseded": "superseded",
}


def refusal(code, message=""):
    return SimpleNamespace(status_code=400), {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }


def recording(name, before=lambda operation, now: None, **changes):
    clock = Clock()
    made = Recording({**load(name), **changes}, clock)
    made.before = lambda operation: before(operation, clock.now)
    return made


def shown(notes, kind):
    return [what for _, each, what in notes.shown if each == kind]


@pytest.mark.parametrize(("name", "verdict"), EXPECTED.items())
def test_each_timeline_ends_in_its_verdict(name, verdict):
    """A failure is told within 5 s of its stop, and there are at most 0.5 calls a second on
    average.
    """
    row = replay(name)
    assert row.verdict == verdict
    assert row.calls_a_second <= 0.5
    if verdict == "failed":
        assert row.diagnosis_s is not None and row.first_stop_s is not None
        assert row.diagnosis_s - row.first_stop_s <= 5
        assert row.verdict_s <= 45
    else:
        assert row.diagnosis_s is None


def test_a_final_cause_is_a_verdict_on_the_first_task():
    """A tag that is not in the repository will not be there for the second task either."""
    row = replay("image_missing")
    assert row.verdict_s == row.diagnosis_s
    assert "a retry can't help" in row.why


def test_boto3s_waiter_is_replayed_as_it_is():
    """The figures beside ours: no answer before 585 s, and a success where everything was rolled
    back.
    """
    assert (replay("no_breaker").waiter, replay("no_breaker").waiter_s) == (
        "max attempts exceeded",
        585,
    )
    assert (replay("breaker_rollback").waiter, replay("breaker_rollback").waiter_s) == (
        "success",
        255,
    )


def test_a_rollback_by_ecs_is_said_when_it_starts():
    """Left to ECS, the rollback of 180 s is reported within 5 s, the verdict at its end, and it is
    no success.
    """
    row = replay("breaker_rollback", patient=True)
    assert row.rollback_said_s is not None and 180 <= row.rollback_said_s <= 185
    assert row.verdict == "rolled_back"
    assert 250 <= row.verdict_s <= 255
    assert row.calls_a_second <= 0.5


def test_a_stop_is_diagnosed_once_with_its_log():
    """Stop code, reason, exit code and log lines are there; a third stop with the same cause gets a
    line.
    """
    outcome, notes = watched(recording("breaker_rollback"), patient=True)
    findings = shown(notes, "finding")
    assert len(findings) == 1
    assert [line for line in shown(notes, "line") if line.endswith("[container_exited]: as above")]
    assert len({finding.summary for finding in outcome.findings}) == 2
    assert outcome.findings[:1] == tuple(findings)
    texts = [evidence.text for evidence in findings[0].evidence]
    assert {
        "EssentialContainerExited",
        "Essential container in task exited",
        "1",
        "Error: Cannot find module 'express'",
    } <= set(texts)
    assert sum("the same cause" in line for line in shown(notes, "line")) == 6


def test_events_come_once_oldest_first_and_none_from_before():
    """What ECS said before our deployment is not news."""
    timeline = load("success")
    timeline["frames"][0]["events"] = ["now"]
    before = {
        "at": -100,
        "deployments": timeline["frames"][0]["deployments"],
        "events": ["long ago"],
    }
    _, notes = watched(recording("success", frames=[before, *timeline["frames"]]))
    messages = [event.message for event in shown(notes, "event")]
    assert len(messages) == len(set(messages)) == 7
    assert messages[0] == "now"
    assert messages[-1] == "(service backend) has reached a steady state."


def test_throttling_is_waited_out_with_growing_pauses():
    """AWS asking for fewer calls for half a minute gets fewer, is said once, and costs no
    verdict.
    """
    made = recording(
        "success", lambda operation, now: refusal("ThrottlingException") if 20 <= now < 60 else None
    )
    outcome, notes = watched(made)
    assert outcome.verdict is Verdict.SUCCEEDED
    tried = [
        at for at, operation in made.calls if operation == "DescribeServices" and 20 <= at < 60
    ]
    assert tried == [20, 28, 44]
    assert shown(notes, "line") == [
        "cannot see ECS, watching on: AWS asked for fewer calls (ThrottlingException)",
        "ECS answers again",
    ]


def test_a_network_that_drops_is_tolerated_until_the_time_is_up():
    """Gone for good, it ends as a timeout that says so, at the limit and not later."""
    from botocore.exceptions import EndpointConnectionError

    def drop(operation, now):
        if now >= 20:
            raise EndpointConnectionError(endpoint_url="https://ecs.us-east-1.amazonaws.com")

    outcome, notes = watched(recording("success", drop), timeout_s=120)
    assert (outcome.verdict, outcome.took_s) == (Verdict.TIMED_OUT, 120)
    assert "cannot be reached" in outcome.why
    assert len(shown(notes, "line")) == 1


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException"]
)
def test_what_no_waiting_mends_is_raised_at_once(code):
    """A missing permission or an expired login is asked once."""
    message = "User: arn:aws:iam::1:user/x is not authorized to perform: ecs:DescribeServices"
    made = recording("success", lambda operation, now: refusal(code, message))
    with pytest.raises(OpsError) as raised:
        watched(made)
    assert len(made.calls) == 1
    assert raised.value.next


@pytest.mark.parametrize(
    ("code", "waits"),
    [
        ("AccessDenied", False),
        ("UnauthorizedOperation", False),
        ("ExpiredToken", False),
        ("InvalidClientTokenId", False),
        ("RequestTimeTooSkewed", False),
        ("ThrottlingException", True),
        ("InternalFailure", True),
        ("ServiceUnavailable", True),
    ],
)
def test_lasting_problems_are_told_from_passing_ones(code, waits):
    """As the adapter words them: this test holds the two together."""
    from botocore.exceptions import ClientError

    error = translate_error(
        "service x (ecs:DescribeServices)",
        ClientError({"Error": {"Code": code, "Message": "said so"}}, "DescribeServices"),
    )
    assert isinstance(error, Unreachable)
    assert error.permanent is not waits


def test_targets_that_may_not_be_seen_are_unknown_and_not_asked_for_again():
    """A missing ELB permission (facts: the pipeline lacked it) stops no deploy."""
    made = recording(
        "success",
        lambda operation, now: (
            refusal("AccessDenied", "denied") if operation == "DescribeTargetHealth" else None
        ),
    )
    outcome, notes = watched(made)
    assert outcome.verdict is Verdict.SUCCEEDED
    assert [operation for _, operation in made.calls].count("DescribeTargetHealth") == 1
    assert sum("targets: unknown" in line for line in shown(notes, "line")) == 1


def test_a_log_that_may_not_be_read_is_unknown_in_the_finding():
    """The diagnosis still stands there, and says what it could not see."""
    denied = recording(
        "no_breaker",
        lambda operation, now: (
            refusal("AccessDeniedException") if operation == "GetLogEvents" else None
        ),
    )
    outcome, _ = watched(denied)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.findings[0].evidence[-1].text.startswith("unknown: ")
    assert "log could not be read" in outcome.why


def test_slow_start_within_the_limit_succeeds_and_beyond_it_times_out():
    """Four minutes to become healthy is no failure; a limit of two minutes is one, with what was
    waited for.
    """
    assert watched(recording("slow_start"))[0].verdict is Verdict.SUCCEEDED
    outcome, notes = watched(recording("slow_start"), timeout_s=120)
    assert (outcome.verdict, outcome.took_s) == (Verdict.TIMED_OUT, 120)
    assert [finding.cause for finding in shown(notes, "finding")] == ["not_ready_in_time"]


def test_following_shows_the_new_tasks_lines_redacted():
    """`--follow`: what the new tasks log, each behind its task, without its secrets."""
    timeline = load("success")
    for task in timeline["tasks"][2:]:
        task["log"] = ["listening on 3001", "db is postgres://app:hunter2@db/x"]
    _, notes = watched(recording("success", tasks=timeline["tasks"]), follow=True)
    lines = shown(notes, "line")
    assert any(line.endswith("listening on 3001") for line in lines)
    assert not any("hunter2" in line for line in lines)


def test_ctrl_c_passes_through_and_gives_the_screen_back():
    """The caller undoes; the terminal is not left drawn upon."""

    def interrupt(operation, now):
        if now >= 20:
            raise KeyboardInterrupt

    made = recording("success", interrupt)
    notes = Notes(made.clock)
    with pytest.raises(KeyboardInterrupt):
        watched(made, notes=notes)
    assert notes.shown[-1][1] == "close"


def test_a_service_that_is_gone_is_a_failure():
    """Deleted under our feet: MISSING comes back under `failures`, which is no error in ECS."""
    gone = OK, {"services": [], "failures": [{"arn": "x", "reason": "MISSING"}]}
    outcome, _ = watched(
        recording(
            "success",
            lambda operation, now: gone if now >= 20 and operation == "DescribeServices" else None,
        )
    )
    assert outcome.verdict is Verdict.FAILED
    assert "no such service" in outcome.why


EMPTY = OK, {"ResponseMetadata": {"HTTPStatusCode": 200}}
NOWHERE = OK, {"services": [], "failures": [{"arn": "x", "reason": "MISSING"}]}
BARE = (
    OK,
    {
        "services": [{"serviceName": "backend", "status": "ACTIVE", "desiredCount": 2}],
        "failures": [],
    },
)


@pytest.mark.parametrize(
    "odd",
    [EMPTY, NOWHERE, BARE],
    ids=["neither services nor failures", "MISSING once", "no deployments"],
)
def test_one_odd_answer_is_no_verdict(odd):
    """A single DescribeServices answer without the service, in the middle of a healthy rollout."""
    given: list[float] = []

    def once(operation, now):
        if operation == "DescribeServices" and now >= 40 and not given:
            given.append(now)
            return odd
        return None

    outcome, _ = watched(recording("success", once))
    assert given and outcome.verdict is Verdict.SUCCEEDED


def baked(stage, **configuration):
    """The timeline up to 125 s, where both kinds of task run, as a blue/green service shows it; it
    stays so.
    """
    timeline = load("success")
    breaker = {"deploymentCircuitBreaker": timeline["breaker"]}
    service = {
        "deploymentConfiguration": {
            **breaker,
            "strategy": "BLUE_GREEN",
            "bakeTimeInMinutes": 30,
            **configuration,
        }
    }
    listed = {"serviceDeployments": [{"serviceDeploymentArn": "arn:sd/1", "createdAt": 1}]}
    answers = {
        "ListServiceDeployments": listed,
        "DescribeServiceDeployments": {
            "serviceDeployments": [{"lifecycleStage": stage}],
            "failures": [],
        },
    }

    def staged(operation, now):
        return (OK, answers[operation]) if operation in answers else None

    done_at = {**timeline["frames"][-1], "at": 1700}
    return recording("success", staged, service=service, frames=[*timeline["frames"][:-3], done_at])


def test_a_bake_longer_than_the_timeout_is_waited_for():
    """30 minutes of bake with a deploy_timeout of 15: succeeded, with its phase, and few calls."""
    made = baked("BAKE_TIME")
    outcome, notes = watched(made)
    assert outcome.verdict is Verdict.SUCCEEDED and outcome.took_s >= 1700
    assert "baking" in shown(notes, "phase") and outcome.calls / outcome.took_s <= 0.5


def test_a_timeout_in_the_bake_says_so():
    """`--timeout` bounds the bake too; the outcome tells that the new tasks run."""
    outcome, notes = watched(baked("BAKE_TIME"), bounded=True)
    assert (outcome.verdict, outcome.baking) == (Verdict.TIMED_OUT, True)
    assert [finding.cause for finding in shown(notes, "finding")] == ["still_baking"]


def test_before_the_traffic_shift_a_timeout_is_one():
    """A lifecycle hook that hangs before production traffic is shifted: nothing is kept."""
    outcome, _ = watched(baked("POST_SCALE_UP"))
    assert (outcome.verdict, outcome.baking) == (Verdict.TIMED_OUT, False)


def worker(**changes):
    return recording("success", service={"loadBalancers": []}, **changes)


def test_a_worker_is_watched_after_its_roll_out_completed():
    """No target group checks its tasks: success comes when they have run for 30 s."""
    outcome, _ = watched(worker())
    assert outcome.verdict is Verdict.SUCCEEDED and outcome.took_s >= 210
    assert watched(recording("success"))[0].took_s < 190


def test_a_configured_settle_time_counts_for_every_service():
    """With `settle: 10s`, tasks behind a load balancer must last too; with 0, a worker need not."""
    checked = watched(recording("success"), settle_s=10.0)[0]
    assert checked.verdict is Verdict.SUCCEEDED and "have run for 10 s" in checked.why
    assert watched(worker(), settle_s=0.0)[0].took_s < 190


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_worker_that_dies_after_its_roll_out_is_a_failure(exit_code):
    """One of its tasks ends four seconds after ECS said COMPLETED; ECS replaces it, and its counts
    look as before.
    """
    tasks = load("success")["tasks"]
    tasks[2] |= {
        "stopped": 184,
        "code": "EssentialContainerExited",
        "reason": "Essential container in task exited",
        "exit": exit_code,
    }
    tasks[2]["log"] = ["no such queue"]
    outcome, _ = watched(
        worker(
            tasks=[*tasks, {"id": "f" * 32, "deployment": "new", "created": 185, "running": 190}]
        )
    )
    assert outcome.verdict is Verdict.FAILED and "within 30 s" in outcome.why
    assert "no such queue" in [evidence.text for evidence in outcome.findings[0].evidence]


def test_a_worker_whose_task_is_replaced_on_purpose_settles_anew():
    """Stopped by hand, started again by ECS: no failure, and the new task must run as long."""
    tasks = load("success")["tasks"]
    tasks[2] |= {"stopped": 184, "code": "UserInitiated", "reason": "Task stopped by user"}
    outcome, _ = watched(
        worker(
            tasks=[*tasks, {"id": "f" * 32, "deployment": "new", "created": 185, "running": 190}]
        )
    )
    assert outcome.verdict is Verdict.SUCCEEDED and outcome.took_s >= 240
