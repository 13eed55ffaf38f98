"""A one-off task on the sandbox's own AWS and agent: how it is placed, followed, stopped and
reported.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.aws import ecs_tasks, session
from ops.aws.facts import TaskState
from ops.core.errors import Cancelled, ConfigError, Interrupted, Refused, TimedOut, Unreachable
from ops.ecs import one_off, one_off_plan
from ops.ecs.rules.run_failures import explain
from ops.platform import Platform
from ops.sandbox.contracts import REGION
from tests.aws_fixtures import make_settings
from tests.sandbox.aws_platform import SLEEP, agent_at_work

EXITS = "import sys; print('at work', flush=True); sys.exit(7)"
SERVICES = {"web": {"ecs_service": "web", "container": "web", "repository": "web"}}


@pytest.fixture
def world() -> Iterator[Any]:
    with agent_at_work() as made:
        yield made


def place(cloud: session.AwsSession, **environment: Any) -> Platform:
    values = {"cluster": "demo", "services": SERVICES, **environment}
    return Platform(make_settings(**values), cloud)


def at(world: Any) -> Platform:
    key = world.aws.keys.operator
    return place(session.of_overlay(world.aws.url, key.access_key, key.secret_key, REGION))


def serving(world: Any, image: str, **settings: Any) -> one_off_plan.OneOffPlan:
    """The plan of a one-off task of a service that names `image` and wants no task of its own."""
    containers = settings.pop("containers", ())
    changes = settings.pop("changes", {})
    world.create(world.revision(image, containers, **changes), 0, balanced=False, **settings)
    world.completed()
    return one_off_plan.plan_run(at(world), "web", ("ignored", "here"))


def one_offs(world: Any, status: str = "RUNNING") -> list[dict[str, Any]]:
    return [task for task in world.tasks(status) if task["startedBy"].startswith("inv-run-")]


def test_the_exit_code_is_the_container_s_own(world: Any, capsys: Any) -> None:
    """Text and document say so; the log is on stdout, everything else on stderr."""
    result = one_off.run(at(world), serving(world, world.image("v1", EXITS)), sleep=quick)
    printed = capsys.readouterr()
    assert printed.out == "at work\n"
    assert re.search(r"task [0-9a-f]{32} of demo-web:1 started", printed.err)
    assert result.exit_code == 7
    assert "the task's own exit code: 7" in result.summary
    assert result.document["exit_code"] == 7 and result.document["task"] == result.task
    assert result.document["stopped_reason"] == "Essential container in task exited"


def quick(seconds: float) -> None:
    time.sleep(min(seconds, 0.1))


def test_it_is_placed_as_the_service_s_own_tasks_are(world: Any) -> None:
    """Network, launch type and revision are the service's; startedBy names us, within ECS's old
    limit of 36 characters.
    """
    planned = serving(world, world.image("v1", EXITS))
    one_off.run(at(world), planned, sleep=quick)
    (task,) = one_offs(world, "STOPPED")
    assert task["taskDefinitionArn"] == world.service()["taskDefinition"]
    assert task["attachments"][0]["details"][0]["value"] == world.subnets[0]
    assert re.fullmatch(r"inv-run-[\w-]+-[0-9a-f]{8}", task["startedBy"])
    assert len(task["startedBy"]) <= 36
    assert task["overrides"]["containerOverrides"] == [
        {"name": "web", "command": ["ignored", "here"]}
    ]
    parameters = planned.launch.parameters
    assert parameters["launchType"] == "FARGATE" and parameters["platformVersion"] == "LATEST"
    assert parameters["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"]


def test_while_a_rollout_is_in_progress_the_revision_that_serves_is_run(world: Any) -> None:
    """The new one may be broken: `run` is how it is found out why."""
    old = world.revision(world.image("v1", SLEEP))
    world.create(old, 1, balanced=False)
    world.completed()
    world.update(taskDefinition=world.revision("web:missing"))
    planned = one_off_plan.plan_run(at(world), "web", ("ls",))
    assert planned.launch.task_definition == old
    assert planned.launch.newer == world.service()["taskDefinition"]


def test_an_image_that_does_not_exist_is_125_with_its_diagnosis(world: Any) -> None:
    """What failed, ECS's own words, and the command that shows more."""
    planned = serving(world, "web:missing")
    with pytest.raises(one_off.NotStarted) as error:
        one_off.run(at(world), planned, sleep=quick)
    assert error.value.code == 125 and len(str(error.value).splitlines()) == 3
    assert "the image is not in the repository" in error.value.what
    assert "CannotPullContainerError" in error.value.why
    document = error.value.as_document()
    assert document["exit_code"] is None and document["task"]
    assert document["findings"][0]["cause"] == "image_missing"


def test_an_interrupt_stops_the_task_and_waits_for_its_end(world: Any) -> None:
    """130, and what became of the task."""
    planned = serving(world, world.image("v1", SLEEP))

    def interrupt(_: float) -> None:
        if world.tasks() and one_offs(world)[0]["lastStatus"] == "RUNNING":
            raise Interrupted("SIGTERM")
        time.sleep(0.1)

    with pytest.raises(Cancelled) as error:
        one_off.run(at(world), planned, sleep=until_interrupted(interrupt))
    assert error.value.code == 130 and "SIGTERM" in error.value.what
    (task,) = one_offs(world, "STOPPED")
    assert "was stopped; the task's own exit code: 143" in error.value.why
    assert task["stopCode"] == "UserInitiated" and "SIGTERM" in task["stoppedReason"]
    assert error.value.as_document()["task"] == task["taskArn"].rsplit("/", 1)[-1]


def until_interrupted(interrupt: Callable[[float], None]) -> Callable[[float], None]:
    """A sleep that raises once, as a signal does, and then sleeps."""
    raised = False

    def sleep(seconds: float) -> None:
        nonlocal raised
        if raised:
            return quick(seconds)
        try:
            interrupt(seconds)
        except KeyboardInterrupt:
            raised = True
            raise

    return sleep


def test_the_time_limit_stops_the_task(world: Any) -> None:
    """6, not a code of the task. Next is its log, then the command line with its options."""
    serving(world, world.image("v1", SLEEP))
    planned = one_off_plan.plan_run(at(world), "web", ("ignored", "a b"), "web")
    with pytest.raises(TimedOut, match="within 1s") as error:
        one_off.run(at(world), planned, timeout_s=1.0, sleep=quick)
    assert error.value.code == 6 and one_offs(world) == []
    assert error.value.next == (
        f"inv web.logs --task {error.value.about['task']} --since 2m; to run it again: "
        "inv web.run --command \"ignored 'a b'\" --container web --timeout 1s"
    )


def test_a_task_that_a_killed_run_left_behind_is_reported_before_another(
    world: Any, capsys: Any
) -> None:
    """With the command that stops it; the service's own tasks are left out."""
    planned = serving(world, world.image("v1", SLEEP))
    platform = at(world)
    parameters = planned.parameters("inv-run-ann-12345678", "t" * 32)
    left = ecs_tasks.run(platform.cloud, "demo", planned.launch.task_definition, parameters)
    assert isinstance(left, TaskState)
    one_off.OneOffChange(platform, planned).confirm(yes=True)
    printed = capsys.readouterr().err
    assert re.search(rf"still running: one-off task {left.id} \(\d+ s old, inv-run-ann-", printed)
    assert f"--endpoint-url {world.aws.url}" in printed
    assert f"--region {REGION} ecs stop-task --cluster demo --task {left.id}\n" in printed
    ecs_tasks.stop(platform.cloud, "demo", left.arn, "test")


def test_tasks_of_others_and_an_unreadable_list_do_not_stop_a_run(calls: Any, capsys: Any) -> None:
    """Only tasks of `run` are reported; a missing permission is."""
    platform, answers, _ = calls
    planned = one_off_plan.plan_run(platform, "web", ("ls",))
    service_task = {**TASK, "startedBy": "ecs-svc/1"}
    answers["ListTasks"] = {"taskArns": [TASK["taskArn"]]}
    answers["DescribeTasks"] = {"tasks": [service_task], "failures": []}
    one_off_plan.report_running(platform, planned)
    assert capsys.readouterr().err == ""
    body = '{"__type": "AccessDeniedException", "message": "not authorized"}'
    answers["ListTasks"] = Response(body, 400, content_type="application/x-amz-json-1.1")
    one_off_plan.report_running(platform, planned)
    assert "whether other one-off tasks run is unknown: " in capsys.readouterr().err


def test_an_error_before_the_start_has_the_fields_of_a_result() -> None:
    """For scripts: the same keys, null."""
    result = one_off.OneOffResult("web", "dev", "abc", "demo-web:1", 0, "", 1.0)
    document = one_off.document_of_error("web", "dev")
    assert {*document} == {*result.document}
    assert {name: value for name, value in document.items() if value is not None} == {
        "service": "web",
        "environment": "dev",
    }


def test_when_a_container_that_is_not_essential_ends_the_others_are_stopped(world: Any) -> None:
    """The command's end is the end: what ECS would let run on is stopped."""
    app, helper = world.image("v1", SLEEP), world.image("side", EXITS)
    side = {"name": "side", "image": helper, "essential": False}
    serving(world, app, containers=[side])
    planned = one_off_plan.plan_run(at(world), "web", ("ls",), "side")
    result = one_off.run(at(world), planned, sleep=quick)
    assert result.exit_code == 7
    assert "container side has ended" in result.stopped_reason
    assert "container side has ended" in result.summary


def test_a_container_that_another_one_took_down_says_so(world: Any) -> None:
    """143 alone would look like the command's own failure."""
    crash = {"name": "side", "image": world.image("side", EXITS), "essential": True}
    planned = serving(world, world.image("v1", SLEEP), containers=[crash])
    result = one_off.run(at(world), planned, sleep=quick)
    assert result.exit_code == 143
    assert "stopped because container side exited with 7" in result.summary


def test_a_log_that_is_not_in_cloudwatch_is_named_once(world: Any, capsys: Any) -> None:
    """The run goes on without it."""
    changes = {"logConfiguration": {"logDriver": "splunk"}}
    planned = serving(world, world.image("v1", EXITS), changes=changes)
    assert one_off.run(at(world), planned, sleep=quick).exit_code == 7
    printed = capsys.readouterr()
    assert (
        printed.out == "" and printed.err.count("is not followed: its output goes to splunk") == 1
    )


def test_unknown_containers_services_and_commands_are_refused_before_anything_runs(
    world: Any,
) -> None:
    """Three lines, and which there are."""
    serving(world, world.image("v1", EXITS))
    with pytest.raises(ConfigError, match="its containers are: web"):
        one_off_plan.plan_run(at(world), "web", ("ls",), "worker")
    other = {"web": {**SERVICES["web"], "ecs_service": "absent"}}
    elsewhere = place(at(world).cloud, services=other)
    with pytest.raises(Refused, match="ECS has no service absent"):
        one_off_plan.plan_run(elsewhere, "web", ("ls",))
    for text in ("", "  ", "''", "sh -c 'open", None):
        with pytest.raises(ConfigError, match="--command"):
            one_off_plan.parse_command(text)
    assert one_off_plan.parse_command("sh -c 'exit 7'") == ("sh", "-c", "exit 7")
    assert one_offs(world) == []


LEAKS = "password=hunter2secret AKIAIOSFODNN7EXAMPLE postgres://u:s3cr3tpw@db/x"
SECRETS = ("hunter2secret", "AKIAIOSFODNN7EXAMPLE", "s3cr3tpw")


def test_the_log_of_a_run_is_redacted(world: Any, capsys: Any) -> None:
    """By the same rule as `logs`."""
    leaking = world.image("v1", f"print({LEAKS!r}, flush=True)")
    one_off.run(at(world), serving(world, leaking), sleep=quick)
    assert capsys.readouterr().out == "password=*** *** postgres://u:***@db/x\n"


@pytest.mark.parametrize(
    ("command", "hidden"),
    [
        ("env PGPASSWORD=s3cr3tpw psql", "env 'PGPASSWORD=***' psql"),
        ("sh -c 'psql postgres://u:s3cr3tpw@db'", "sh -c 'psql postgres://u:***@db'"),
        ("tool --password hunter2secret -v", "tool --password '***' -v"),
        ("curl -u me:s3cr3tpw https://x", "curl -u 'me:***' https://x"),
        ("mysql -phunter2secret", "mysql '-p***'"),
        ("aws AKIAIOSFODNN7EXAMPLE", "aws '***'"),
        ("sh -c 'echo $HOME && ls'", "sh -c 'echo $HOME && ls'"),
        ("python3 -c 'print(1)'", "python3 -c 'print(1)'"),
    ],
)
def test_secrets_in_the_command_are_sent_and_not_printed(
    calls: Any, command: str, hidden: str
) -> None:
    """Plan, question and advice are redacted; RunTask gets the words as typed."""
    platform, _, _ = calls
    words = one_off_plan.parse_command(command)
    planned = one_off_plan.plan_run(platform, "web", words)
    assert f": {hidden} (as arguments" in planned.steps.text
    sent = planned.parameters("mark", "token")["overrides"]["containerOverrides"]
    assert sent[0]["command"] == list(words)
    printed = planned.steps.text + str(planned.steps.document) + planned.typed
    assert not [secret for secret in SECRETS if secret in printed]


@pytest.mark.parametrize("text", ["password=hunter2secret 'open", "'postgres://u:s3cr3tpw@db"])
def test_a_command_that_cannot_be_split_is_printed_redacted(text: str) -> None:
    """An open quotation is an error of the command line, and shows it."""
    with pytest.raises(ConfigError, match="No closing quotation") as error:
        one_off_plan.parse_command(text)
    assert not [secret for secret in SECRETS if secret in str(error.value)]


def test_a_command_that_begins_with_a_dash_is_repeated_as_it_can_be_typed(calls: Any) -> None:
    """With a space in front, which the command line's parser needs."""
    planned = one_off_plan.plan_run(calls[0], "web", ("--version",))
    assert planned.typed == '" --version"'
    assert one_off_plan.parse_command(" --version") == ("--version",)


SERVICE: dict[str, Any] = {
    "serviceName": "web",
    "status": "ACTIVE",
    "taskDefinition": "arn:aws:ecs:us-east-1:1:task-definition/web:3",
    "launchType": "EC2",
    "placementConstraints": [{"type": "distinctInstance"}],
    "enableECSManagedTags": True,
    "propagateTags": "SERVICE",
    "tags": [{"key": "team", "value": "x"}],
    "deployments": [
        {
            "status": "PRIMARY",
            "rolloutState": "COMPLETED",
            "taskDefinition": "arn:aws:ecs:us-east-1:1:task-definition/web:3",
        }
    ],
}
DEFINITION = {
    "taskDefinition": {
        "taskDefinitionArn": SERVICE["taskDefinition"],
        "status": "ACTIVE",
        "containerDefinitions": [{"name": "web", "image": "web:3", "entryPoint": ["/run", "-v"]}],
    }
}
TASK = {
    "taskArn": "arn:aws:ecs:us-east-1:1:task/demo/abc",
    "taskDefinitionArn": SERVICE["taskDefinition"],
    "lastStatus": "PROVISIONING",
    "desiredStatus": "RUNNING",
    "containers": [{"name": "web", "lastStatus": "PENDING"}],
}


@pytest.fixture
def calls(httpserver: HTTPServer, cloud_at: Any) -> Iterator[tuple[Platform, dict[str, Any], Any]]:
    """An ECS of prepared answers by operation, and the requests that it got."""
    answers: dict[str, Any] = {
        "DescribeServices": {"services": [SERVICE], "failures": []},
        "DescribeTaskDefinition": DEFINITION,
    }
    asked: list[tuple[str, Any]] = []

    def handle(request: Request) -> Response:
        import json

        name = request.headers["x-amz-target"].rpartition(".")[2]
        asked.append((name, request.get_json(force=True)))
        found = answers[name]
        if isinstance(found, Response):
            return found
        return Response(json.dumps(found), content_type="application/x-amz-json-1.1")

    httpserver.expect_request(re.compile(".*")).respond_with_handler(handle)
    yield place(cloud_at(httpserver.url_for(""))), answers, asked


def test_a_service_on_ec2_without_awsvpc_keeps_its_placement_and_tags(calls: Any) -> None:
    """No network configuration and no platform version are sent, which ECS would reject."""
    platform, answers, asked = calls
    stopped = {**TASK, "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": "x"}
    stopped["containers"] = [{"name": "web", "lastStatus": "STOPPED", "exitCode": 0}]
    answers |= {"RunTask": {"tasks": [TASK], "failures": []}}
    answers |= {"DescribeTasks": {"tasks": [stopped], "failures": []}}
    planned = one_off_plan.plan_run(platform, "web", ("ls", "-l"))
    assert "arguments of its entryPoint /run -v" in planned.steps.text
    assert one_off.run(platform, planned, sleep=quick).exit_code == 0
    (sent,) = [body for name, body in asked if name == "RunTask"]
    assert sent["launchType"] == "EC2" and sent["tags"] == SERVICE["tags"]
    assert sent["placementConstraints"] == [{"type": "distinctInstance"}]
    assert sent["enableECSManagedTags"] is True and len(sent["clientToken"]) == 32
    assert not {"networkConfiguration", "platformVersion", "propagateTags"} & set(sent)


@pytest.mark.parametrize("reason", ["RESOURCE:ENI", "RESOURCE:MEMORY", "AGENT", "Capacity"])
def test_failures_of_runtask_are_explained(calls: Any, reason: str) -> None:
    """ECS answers 200 and placed nothing: 125, with its reason and what that means."""
    platform, answers, _ = calls
    answers["RunTask"] = {"tasks": [], "failures": [{"arn": "a", "reason": reason, "detail": "d"}]}
    planned = one_off_plan.plan_run(platform, "web", ("ls",))
    with pytest.raises(one_off.NotStarted, match="ECS placed no task") as error:
        one_off.run(platform, planned, sleep=quick)
    assert error.value.code == 125 and error.value.why == explain(reason, "d")
    assert error.value.why.startswith(f"{reason}: ") and error.value.why.endswith("; d")


def test_a_rejected_runtask_is_125(calls: Any) -> None:
    """A permission that is missing, too: 1 would look like the task's own."""
    platform, answers, asked = calls
    body = '{"__type": "ClientException", "message": "TaskDefinition is inactive"}'
    answers["RunTask"] = Response(body, 400, content_type="application/x-amz-json-1.1")
    planned = one_off_plan.plan_run(platform, "web", ("ls",))
    with pytest.raises(one_off.NotStarted, match="TaskDefinition is inactive") as error:
        one_off.run(platform, planned, sleep=quick)
    assert error.value.code == 125 and "ListTasks" not in {name for name, _ in asked}


def test_if_the_answer_of_runtask_is_lost_the_task_is_found_by_its_mark(calls: Any) -> None:
    """Otherwise it would run on, unknown to anyone."""
    platform, answers, asked = calls
    stopped = {**TASK, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"}
    stopped["containers"] = [{"name": "web", "lastStatus": "STOPPED", "exitCode": 4}]
    answers["RunTask"] = Response("<html>proxy</html>", content_type="text/html")
    answers["ListTasks"] = {"taskArns": [TASK["taskArn"]]}
    answers["DescribeTasks"] = {"tasks": [stopped], "failures": []}
    planned = one_off_plan.plan_run(platform, "web", ("ls",))
    assert one_off.run(platform, planned, sleep=quick).exit_code == 4
    sent = dict(asked)
    assert sent["ListTasks"]["startedBy"] == sent["RunTask"]["startedBy"]
    answers["ListTasks"] = {"taskArns": []}
    with pytest.raises(one_off.NotStarted, match="no task of it was found") as error:
        one_off.run(platform, planned, sleep=quick)
    assert "list-tasks --cluster demo --started-by inv-run-" in error.value.next


def test_a_task_whose_state_cannot_be_read_is_never_taken_for_ended(calls: Any) -> None:
    """The error names the task and the command that stops it."""
    platform, answers, _ = calls
    body = '{"__type": "AccessDeniedException", "message": "not authorized"}'
    answers["RunTask"] = {"tasks": [TASK], "failures": []}
    answers["DescribeTasks"] = Response(body, 400, content_type="application/x-amz-json-1.1")
    planned = one_off_plan.plan_run(platform, "web", ("ls",))
    with pytest.raises(Unreachable, match=r"task abc was started.*may still run") as error:
        one_off.run(platform, planned, sleep=quick)
    assert "ecs stop-task --cluster demo --task abc" in error.value.next
    assert error.value.as_document()["exit_code"] is None
