"""Which task definitions can run migrations, and what RunTask is called with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ops.aws.facts import ContainerState, TaskDefinition, TaskState
from ops.core.config.database import TaskVariables
from ops.core.errors import ConfigError, OpsError, Refused
from ops.database_task import run_log
from ops.database_task.rules import advice, requirements
from ops.database_task.rules.requirements import ObjectPlace

LOG = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/ecs/api", "awslogs-stream-prefix": "ecs"},
}
SECRET = {"name": "DB_PASSWORD", "valueFrom": "arn:aws:secretsmanager:us-east-1:1:secret:db"}
VARIABLES = {"password": "DB_PASSWORD"}


def definition(**changes: Any) -> TaskDefinition:
    container = {"name": "api", "secrets": [SECRET], "logConfiguration": LOG, **changes}
    document = {"containerDefinitions": [container], **changes.pop("task", {})}
    arn = "arn:aws:ecs:us-east-1:123456789012:task-definition/api:7"
    return TaskDefinition(arn, "ACTIVE", "X86_64", document)


def check(found: TaskDefinition, name: str = "api") -> requirements.LogPlace:
    container = requirements.check_container(found, name)
    requirements.check_platform(found)
    log = requirements.check_log(found, container)
    requirements.check_variables(found, container, VARIABLES)
    return log


@pytest.mark.parametrize(
    ("found", "kind", "says"),
    [
        (definition(logConfiguration=None), Refused, "container api has no logConfiguration"),
        (
            definition(logConfiguration={"logDriver": "awsfirelens"}),
            Refused,
            "has the log driver awsfirelens",
        ),
        (
            definition(logConfiguration={**LOG, "options": {"awslogs-group": "/ecs/api"}}),
            Refused,
            "has no awslogs-stream-prefix",
        ),
        (
            definition(secrets=[], environment=[{"name": "DB_HOST", "value": "db"}]),
            ConfigError,
            "its variables are: DB_HOST",
        ),
        (definition(secrets=[]), ConfigError, "its variables are: none"),
        (
            definition(task={"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER"}}),
            Refused,
            "its operating system is WINDOWS_SERVER",
        ),
    ],
)
def test_what_can_not_work_is_refused_before_the_start(
    found: TaskDefinition, kind: type[OpsError], says: str
) -> None:
    """The error names the key of the task definition, or of invoke.yaml, that is wrong."""
    with pytest.raises(kind) as refused:
        check(found)
    assert says in str(refused.value) and refused.value.next


def test_a_container_that_does_not_exist_is_named_with_those_that_do() -> None:
    """A typing error in database.task.container: exit code 2."""
    with pytest.raises(ConfigError, match="its containers are: api"):
        check(definition(), "web")


def test_a_complete_definition_is_accepted() -> None:
    """Its log stream is that of the awslogs driver."""
    assert check(definition()).stream("api", "abc") == "ecs/api/abc"


def test_variables_of_an_environment_file_are_the_tasks_to_find() -> None:
    """A file in S3 is not read here, so its variables are not called missing."""
    check(definition(secrets=[], environmentFiles=[{"value": "arn:aws:s3:::b/k", "type": "s3"}]))


@pytest.mark.parametrize(
    ("configured", "bucket", "expected"),
    [
        (None, "state", ObjectPlace("state", "ops/tasks")),
        ("s3://own", "state", ObjectPlace("own", "")),
        ("s3://own/a/b/", None, ObjectPlace("own", "a/b")),
    ],
)
def test_the_place_of_the_messages(
    configured: str | None, bucket: str | None, expected: ObjectPlace
) -> None:
    """`bundle` wins; without it the state's bucket is used."""
    found = requirements.object_place(configured, bucket, "ops")
    assert found == expected
    assert found.setting == ("database.task.bundle" if configured else "state.bucket")
    assert expected.key("runs", "1") == f"{expected.prefix}/runs/1".lstrip("/")


@pytest.mark.parametrize(
    "configured", [None, "own/prefix", "s3://", "https://own.s3.amazonaws.com"]
)
def test_a_place_that_is_none_is_refused(configured: str | None) -> None:
    """Exit code 2, and the key to set."""
    with pytest.raises(ConfigError, match=r"database\.task\.bundle"):
        requirements.object_place(configured, None, "ops")


def test_without_a_variable_for_the_password_nothing_starts() -> None:
    """The password is never sent, so the container must have it."""
    with pytest.raises(ConfigError, match="no variable with the password"):
        requirements.variable_names(TaskVariables(user="DB_USER"))
    assert requirements.variable_names(TaskVariables(url="DATABASE_URL")) == {"url": "DATABASE_URL"}


@pytest.mark.parametrize(
    ("secrets", "environment", "variables", "warned"),
    [
        ([SECRET], [], VARIABLES, []),
        ([], [{"name": "DB_PASSWORD", "value": "x"}], VARIABLES, ["DB_PASSWORD"]),
        ([], [{"name": "URL", "value": "x"}], {"url": "URL"}, ["URL"]),
        (
            [SECRET],
            [{"name": "DB_USER", "value": "x"}],
            {**VARIABLES, "user": "DB_USER"},
            [],
        ),
    ],
)
def test_a_password_in_plain_text_is_warned_of(
    secrets: list[Any],
    environment: list[Any],
    variables: dict[str, str],
    warned: list[str],
) -> None:
    """The task definition shows it to all who can describe it; a user's name is no secret."""
    found = definition(secrets=secrets, environment=environment)
    lines = [*requirements.plain_passwords(found, "api", variables)]
    assert [line.split()[1] for line in lines] == warned
    assert all("move it to the container's secrets" in line for line in lines)


PLACE = ObjectPlace("messages", "ops/tasks")


@pytest.mark.parametrize(
    "error",
    [
        "the loader could not be fetched from S3: HTTP Error 403: Forbidden",
        "the reply could not be written to S3 by its presigned URL: HTTP Error 403: Forbidden",
        "HTTPError: HTTP Error 403: Forbidden",
    ],
)
def test_a_refusal_of_s3_is_a_question_of_permissions(error: str) -> None:
    """The image is not to blame."""
    for how in (
        advice.after_loader_error(error, PLACE),
        advice.after_install_error(error, PLACE, "bundle"),
    ):
        assert "bucket's policy" in how and "S3 endpoint" in how and "credentials" in how
        assert "s3://messages/ops/tasks" in how and "image" not in how


@pytest.mark.parametrize(
    ("why", "variables", "says"),
    [
        ('FATAL: password authentication failed for user "a"', VARIABLES, "variables.password"),
        ("fe_sendauth: no password supplied", {"url": "URL"}, "variables.url"),
        ('FATAL: password authentication failed for user "a"', {"secret": "S"}, "value of S in"),
        ("connection refused", VARIABLES, "as before"),
    ],
)
def test_a_wrong_password_is_that_of_the_variable(
    why: str, variables: dict[str, str], says: str
) -> None:
    """`database.secret` is not read by a task."""
    assert says in advice.after_connection_error(why, "as before", variables)


def test_the_overrides_fit_with_the_longest_usual_url() -> None:
    """RunTask takes 8192 characters; a session token of 3,000 is long. The command and the
    variables are all that they have.
    """
    found = requirements.overrides(
        "api", "python3", "https://s3/?" + "x" * 4500, "a" * 64, "k" * 32
    )
    (container,) = found["containerOverrides"]
    assert container["command"][:4] == ["python3", "-I", "-u", "-c"]
    names = [each["name"] for each in container["environment"]]
    assert names == ["OPS_TASK_URL", "OPS_TASK_SHA256", "OPS_TASK_KEY"]
    assert len(json.dumps(found)) < 8192


def test_a_url_that_is_too_long_is_named() -> None:
    """Before RunTask, whose own message does not say what is long."""
    with pytest.raises(OpsError, match="session token in the presigned URL is unusually long"):
        requirements.overrides("api", "python3", "x" * 8000, "a" * 64, "k" * 32)


def test_marked_lines_are_taken_out_of_the_log() -> None:
    """The run and its result; everything else is printed, also what only looks like ours."""
    log = run_log.RunLog()
    end = {"state": "succeeded"}
    lines = [
        'ops-task {"run": "1f3c", "began_at": "now"}',
        "upgrade 0003",
        "ops-task is not JSON",
        f"ops-task {json.dumps({'run': '1f3c', 'end': end})}",
    ]
    assert log.take(lines[:2]) == ("upgrade 0003",) and not log.ended
    assert log.take(lines[2:]) == ("ops-task is not JSON",)
    assert (log.run, log.end) == ("1f3c", end)


@pytest.mark.parametrize("code", [0, 1, 137])
def test_a_run_without_a_result_is_unknown(code: int) -> None:
    """Exit code 0 is no success: an ENTRYPOINT may have run something else."""
    container = ContainerState("api", "image", None, "STOPPED", code, "")
    error = run_log.unknown_result("1f3c", stopped_task(container), "api", "AccessDenied")
    assert error.exit_code == 1 and "the result of run 1f3c is unknown" in str(error)
    assert f"exit code {code}" in error.why and "AccessDenied" in error.why
    assert "inv db.history" in error.next


def stopped_task(*containers: ContainerState) -> TaskState:
    arn, reason = "arn:aws:ecs:us-east-1:1:task/c/abc", "Essential container in task exited"
    return TaskState(arn, "STOPPED", "STOPPED", "", "", "", "", reason, containers)
