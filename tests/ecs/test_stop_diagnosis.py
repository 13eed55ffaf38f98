"""Why a task stopped is told from its own words, with what shows it and what to type."""

import pytest

from ops.aws.facts import ContainerState, Target, TaskState
from ops.ecs.rules.stop_diagnosis import find_cause, responsible_container, stop_finding
from tests.ecs.stops import box, crashed, task

PULL_403 = (
    "CannotPullContainerError: failed to resolve ref "
    "1.dkr.ecr.us-east-1.amazonaws.com/x:y: unexpected status from HEAD request to "
    "https://b.s3.amazonaws.com/x?X-Amz-Security-Token=SECRET1&X-Amz-Signature=SECRET2: "
    "403 Forbidden"
)
NETWORK = (
    "CannotPullContainerError: The task can't pull the image. Check your network "
    "configuration. i/o timeout"
)
UNHEALTHY = "Task failed ELB health checks"
ESSENTIAL = "Essential container in task exited"


@pytest.mark.parametrize(
    ("stopped", "code", "kind"),
    [
        (
            task(
                "a",
                ESSENTIAL,
                box(exit_code=137, reason="OutOfMemoryError: Container killed due to memory usage"),
            ),
            "ECS-OOM",
            "final",
        ),
        (task("a", ESSENTIAL, box(exit_code=1)), "ECS-ESSENTIAL", "symptom"),
        (
            task(
                "a", "Task failed to start", box(reason="CannotStartContainerError: no such thing")
            ),
            "ECS-RUNTIME",
            "final",
        ),
        (
            task("a", "Task failed ELB health checks in (target-group arn:x)", box(exit_code=143)),
            "ECS-ELB",
            "symptom",
        ),
        (task("a", NETWORK), "ECS-PULL-NET", "transient"),
        (
            task("a", "Scaling activity initiated by (deployment ecs-svc/1)", box(exit_code=1)),
            "ECS-SCALE",
            "benign",
        ),
        (task("a", "Task stopped by user", box(exit_code=143)), "ECS-USER", "benign"),
        (task("a", "made up", code="UserInitiated"), "UserInitiated", "benign"),
        (task("a", "made up", code="SpotInterruption"), "SpotInterruption", "transient"),
        (
            task("a", "", box(exit_code=3), code="EssentialContainerExited"),
            "EssentialContainerExited",
            "symptom",
        ),
        (task("a", "The moon was in the wrong house"), "", "unknown"),
    ],
)
def test_the_most_telling_words_win(stopped, code, kind):
    """A container's own reason beats the task's symptom; a benign stop stays benign whatever its
    exit code.
    """
    why = find_cause(stopped)
    assert (why.code, why.kind) == (code, kind)
    assert why.failure is (kind != "benign")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (crashed("a", 1), crashed("b", 1), True),
        (crashed("a", 1), crashed("b", 2), False),
        (task("a", UNHEALTHY, box(exit_code=143)), task("b", UNHEALTHY, box(exit_code=137)), True),
        (
            task("a", "odd thing 12 at 0123456789abcdef"),
            task("b", "odd thing 13 at fedcba9876543210"),
            True,
        ),
        (task("a", "odd thing"), task("b", "other thing"), False),
        (task("a", NETWORK), task("b", NETWORK), True),
    ],
)
def test_two_stops_have_the_same_cause_or_not(one, other, same):
    """The exit code counts where the container ended by itself, not where the health check had it
    killed.
    """
    assert (find_cause(one).key == find_cause(other).key) is same


def test_a_sidecar_that_was_taken_down_is_not_the_culprit():
    """Our container exited 1 and its sidecar was killed for it: ours is named."""
    why = find_cause(task("a", ESSENTIAL, box("proxy", 137), box("backend", 1)), "backend")
    assert (why.container, why.exit_code) == ("backend", 1)
    why = find_cause(task("a", ESSENTIAL, box("proxy", 137), box("backend", 0)), "backend")
    assert (why.container, why.exit_code) == ("backend", 0)
    why = find_cause(task("a", ESSENTIAL, box("proxy", 2), box("backend", 143)), "backend")
    assert (why.container, why.exit_code) == ("proxy", 2)


def test_a_crash_shows_its_fields_and_log_lines_verbatim():
    """Stop code, reason, exit code and the log stand in the evidence; the fix is a command that can
    be pasted.
    """
    stopped = crashed("a1b2", 1)
    found = stop_finding(
        stopped,
        find_cause(stopped),
        ("starting", "Error: Cannot find module 'x'"),
        service="backend",
        earlier="backend:6",
    )
    texts = [evidence.text for evidence in found.evidence]
    assert texts == [
        "EssentialContainerExited",
        ESSENTIAL,
        "1",
        "starting",
        "Error: Cannot find module 'x'",
    ]
    assert (found.cause, found.confidence) == ("container_exited", "certain")
    assert "exit code 1" in found.summary
    assert found.fix == (
        "inv backend.logs --task a1b2",
        "inv backend.rollback --to backend:6",
    )
    alone = stop_finding(stopped, find_cause(stopped), service="backend")
    assert alone.fix == ("inv backend.logs --task a1b2",), "no revision to roll back to is known"


def test_a_container_that_never_ran_is_said_so():
    """A null exit code of a stopped task is no exit code 0."""
    stopped = task(
        "a", "CannotPullContainerError: x: not found", box(exit_code=None), code="TaskFailedToStart"
    )
    found = stop_finding(stopped, find_cause(stopped))
    assert "never ran" in found.summary
    assert any(evidence.text == "null: it never ran" for evidence in found.evidence)
    assert found.cause == "image_missing"
    assert (
        "aws ecr describe-images --repository-name davidshaevel/backend --image-ids "
        "imageTag=abc1234" in found.fix
    )


def test_a_container_that_is_still_stopping_is_not_called_dead():
    """ECS gives the reason before the exit code."""
    stopped = task(
        "a",
        "Task failed ELB health checks in (target-group x)",
        box(exit_code=None),
        status="DEACTIVATING",
    )
    assert "still stopping" in stop_finding(stopped, find_cause(stopped)).summary


def test_a_refused_pull_may_be_a_missing_tag_and_leaks_no_signature():
    """ECR answers 403 to both, so neither is claimed; the presigned URL's secrets are gone."""
    stopped = task("a", PULL_403, box())
    found = stop_finding(stopped, find_cause(stopped))
    assert (found.cause, found.confidence) == ("image_denied", "likely")
    assert "the tag does not exist" in found.summary
    assert any("describe-images" in command for command in found.fix)
    assert "SECRET" not in str(found)


@pytest.mark.parametrize(
    ("reason", "confidence", "name"),
    [("", "possible", "container_exited"), ("OutOfMemoryError: x", "certain", "out_of_memory")],
)
def test_137_is_out_of_memory_only_where_ecs_says_so(reason, confidence, name):
    """SIGKILL alone may have been the stop timeout."""
    stopped = task(
        "a", ESSENTIAL, box(exit_code=137, reason=reason), code="EssentialContainerExited"
    )
    found = stop_finding(stopped, find_cause(stopped), ("last words",))
    assert (found.confidence, found.cause) == (confidence, name)
    if not reason:
        assert "stop timeout" in found.summary


def test_a_wrong_architecture_is_read_from_the_log():
    """Fargate says only that the container exited; its log says why (facts: built on an ARM
    laptop).
    """
    stopped = crashed("a", 255)
    assert (
        stop_finding(stopped, find_cause(stopped), ("exec /app/run: exec format error",)).cause
        == "image_platform"
    )


def test_failed_health_checks_show_what_the_target_answered():
    """A 404 on the health path is in the evidence, since the task's own words only say that a check
    failed.
    """
    stopped = task("a", "Task failed ELB health checks in (target-group arn:x)", box(exit_code=143))
    target = Target(
        "10.0.1.5",
        3001,
        "unhealthy",
        "Target.ResponseCodeMismatch",
        "Health checks failed with these codes: [404]",
    )
    event = (
        "(service x) (port 3001) is unhealthy in (target-group arn:x) due to (reason Health "
        "checks failed with these codes: [404])"
    )
    assert any(
        event == evidence.text
        for evidence in stop_finding(stopped, find_cause(stopped), events=(event,)).evidence
    )
    assert all(
        event != evidence.text
        for evidence in stop_finding(crashed(), find_cause(crashed()), events=(event,)).evidence
    )
    found = stop_finding(stopped, find_cause(stopped), targets=(target,), target_group="arn:x")
    assert found.cause == "target_unhealthy"
    assert any("[404]" in evidence.text for evidence in found.evidence)
    assert "aws elbv2 describe-target-health --target-group-arn arn:x" in found.fix
    there = stop_finding(
        stopped,
        find_cause(stopped),
        target_group="arn:x",
        aws="aws --profile dev --region us-east-1",
    )
    assert (
        "aws --profile dev --region us-east-1 elbv2 describe-target-health --target-group-arn arn:x"
        in there.fix
    )


def test_log_lines_are_redacted_and_an_unread_log_is_said():
    """No password out of a log; a log that could not be read is unknown, not empty."""
    stopped = crashed("a", 1)
    assert "hunter2" not in str(
        stop_finding(stopped, find_cause(stopped), ("connecting to postgres://app:hunter2@db/x",))
    )
    found = stop_finding(stopped, find_cause(stopped), (), log_problem="may not logs:GetLogEvents")
    assert found.evidence[-1].text == "unknown: may not logs:GetLogEvents"


def test_names_from_outside_are_quoted_in_commands():
    """A command that is shown to be pasted runs nothing else."""
    stopped = task(
        "a", "CannotPullContainerError: x: not found", box(image="r.example/team/$(rm -rf ~):v1")
    )
    assert (
        "aws ecr describe-images --repository-name 'team/$(rm -rf ~)' --image-ids imageTag=v1"
        in stop_finding(stopped, find_cause(stopped)).fix
    )


def test_an_unknown_reason_is_shown_verbatim():
    """What is in no list is still the best that there is to read."""
    stopped = task("a", "The moon was in the wrong house")
    found = stop_finding(stopped, find_cause(stopped))
    assert "The moon was in the wrong house" in found.summary
    assert found.confidence == "possible"


ELB = "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:us-east-1:1:x)"
EXITED = "Essential container in task exited"


@pytest.mark.parametrize(
    ("reason", "code", "containers", "ended"),
    [
        # ECS stopped the task: exit codes are consequences, and the service's container is shown
        (
            ELB,
            "ServiceSchedulerInitiated",
            [("migrate", 0, False), ("backend", 143, True)],
            "backend",
        ),
        (ELB, "ServiceSchedulerInitiated", [("backend", 143, True), ("nginx", 0, True)], "backend"),
        (
            ELB,
            "ServiceSchedulerInitiated",
            [("backend", 143, None), ("datadog", 1, None)],
            "backend",
        ),
        (ELB, "", [("backend", 0, None), ("xray", 143, None)], "backend"),
        (
            "Task stopped by user",
            "UserInitiated",
            [("backend", 143, None), ("x", 1, None)],
            "backend",
        ),
        (
            "Your Spot Task was interrupted.",
            "SpotInterruption",
            [("backend", 143, None), ("x", 1, None)],
            "backend",
        ),
        # a container ended the task: only an essential one can
        (
            EXITED,
            "EssentialContainerExited",
            [("backend", 1, True), ("nginx", 0, False)],
            "backend",
        ),
        (
            EXITED,
            "EssentialContainerExited",
            [("migrate", 0, False), ("backend", 143, True)],
            "backend",
        ),
        (
            EXITED,
            "EssentialContainerExited",
            [("migrate", 0, False), ("backend", 137, True)],
            "backend",
        ),
        (EXITED, "EssentialContainerExited", [("backend", 143, True), ("proxy", 1, True)], "proxy"),
        (EXITED, "EssentialContainerExited", [("backend", 0, True), ("init", 1, False)], "backend"),
    ],
)
def test_the_container_that_stopped_the_task(
    reason: str, code: str, containers: list[tuple[str, int, bool | None]], ended: str
) -> None:
    states = tuple(
        ContainerState(name, "image", None, "STOPPED", exit_code, "", essential=essential)
        for name, exit_code, essential in containers
    )
    task = TaskState(
        "arn:aws:ecs:us-east-1:1:task/dev/1", "STOPPED", "STOPPED", "", "", "", code, reason, states
    )
    found = responsible_container(task, "backend")
    assert found is not None and found.name == ended
    assert find_cause(task, "backend").container == ended


def test_log_lines_that_repeat_are_counted() -> None:
    """Twenty attempts to connect would bury the line that matters."""
    stopped = crashed()
    attempts = [f"12:00:{second:02} retry {second}: refused" for second in range(9)]
    log = ("starting", *attempts, "giving up", "bye 1", "bye 2", "bye 3")
    found = stop_finding(stopped, find_cause(stopped), log)
    assert [each.text for each in found.evidence if each.source.startswith("log of")] == [
        "starting",
        attempts[0],
        "(7 more lines like it)",
        attempts[-1],
        *log[-4:],
    ]
