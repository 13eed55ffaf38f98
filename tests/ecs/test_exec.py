"""ECS Exec on the sandbox's own AWS, with a stand-in of the plugin: what is missing is named, and
the terminal is handed over.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.aws import session
from ops.aws.ssm import exec_target
from ops.core.errors import ConfigError, OpsError, Refused
from ops.ecs import execute
from ops.platform import Platform
from ops.sandbox.contracts import REGION
from ops.tools import session_plugin
from tests.aws_fixtures import make_settings
from tests.sandbox.aws_platform import SLEEP, agent_at_work
from tests.waiting import until

SERVICES = {"web": {"ecs_service": "web", "container": "web", "repository": "web"}}
PLUGIN = """
import json, os, sys
if sys.argv[1:] == ["--version"]:
    print("1.2.707.0")
    sys.exit()
response = json.loads(os.environ["AWS_SSM_START_SESSION_RESPONSE"])
print(json.dumps({"argv": sys.argv[1:], "response": response}))
sys.exit(5)
"""


@pytest.fixture
def world() -> Iterator[Any]:
    with agent_at_work() as made:
        yield made


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in on PATH that prints how it was started, and ends with 5."""
    return stand_in(tmp_path, monkeypatch)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = folder / "session-manager-plugin"
    program.write_text(f"#!{sys.executable} -S\n{PLUGIN}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program


def at(world: Any, **environment: Any) -> Platform:
    key = world.aws.keys.operator
    cloud = session.of_overlay(world.aws.url, key.access_key, key.secret_key, REGION)
    values = {"cluster": "demo", "services": SERVICES, **environment}
    return Platform(make_settings(**values), cloud)


def running(world: Any, enabled: bool = True, containers: Any = ()) -> Any:
    """A service of one running task; its task."""
    image = world.image("v1", SLEEP)
    world.create(world.revision(image, containers), 1, balanced=False, enableExecuteCommand=enabled)
    world.completed()
    return world.tasks()[0]


def target(world: Any, task: str | None = None, container: str | None = None) -> Any:
    return execute.find_target(at(world), "web", "ls -l", task, container)


def test_the_session_is_handed_to_the_plugin(world: Any, plugin: Path, capfd: Any) -> None:
    """The container as Systems Manager names it; the token in the environment only; the plugin's
    end is the result's.
    """
    task = running(world)
    found = target(world)
    result = execute.execute(at(world), found)
    started = json.loads(capfd.readouterr().out)
    identifier = task["taskArn"].rsplit("/", 1)[-1]
    runtime = task["containers"][0]["runtimeId"]
    assert started["argv"] == [
        "AWS_SSM_START_SESSION_RESPONSE",
        REGION,
        "StartSession",
        "",
        json.dumps({"Target": f"ecs:demo_{identifier}_{runtime}"}),
        world.aws.url,
    ]
    assert set(started["response"]) == {"SessionId", "TokenValue", "StreamUrl"}
    assert started["response"]["TokenValue"] not in "".join(started["argv"])
    assert result.document == {
        "service": "web",
        "task": identifier,
        "container": "web",
        "exit_code": 5,
    }


def test_exec_that_is_not_enabled_says_what_enables_it(world: Any, plugin: Path) -> None:
    """The service's flag first; once it has it, the tasks that were started before."""
    running(world, enabled=False)
    with pytest.raises(Refused, match="does not have enableExecuteCommand") as error:
        target(world)
    assert error.value.next.endswith(
        "ecs update-service --cluster demo --service web --force-new-deployment "
        "--enable-execute-command"
    )
    place = at(world, rollout="terraform")
    with pytest.raises(Refused) as error:
        execute.find_target(place, "web", "ls", None, None)
    assert "set enable_execute_command = true" in error.value.next
    assert "inv tf.apply" in error.value.next
    world.update(enableExecuteCommand=True)
    with pytest.raises(Refused, match="this task was started before it had"):
        target(world)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("print('boom'); sys.exit(3)", r"--version failed \(exit code 3\): boom"),
        ("sys.exit(3)", r"--version failed \(exit code 3\): it printed nothing"),
    ],
)
def test_a_plugin_that_fails_is_a_missing_part(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, body: str, why: str
) -> None:
    """Exit code 3: its exit code and last line, and where to get another."""
    plugin.write_text(f"#!{sys.executable} -S\nimport sys\n{body}\n")
    with pytest.raises(Refused, match=why) as error:
        session_plugin.find()
    assert error.value.code == 3
    assert error.value.next.startswith("install it again: https://docs.aws.amazon.com/")


def test_tasks_and_containers_are_chosen_by_name(world: Any, plugin: Path) -> None:
    """By the beginning of an id; a wrong name lists those that there are."""
    side = {"name": "side", "image": world.image("side", SLEEP), "essential": False}
    task = running(world, containers=[side])
    identifier = task["taskArn"].rsplit("/", 1)[-1]
    assert target(world).container.name == "web"
    assert target(world, identifier[:8], "side").container.name == "side"
    assert target(world, task["taskArn"]).task.id == identifier
    with pytest.raises(ConfigError, match=f"running: {identifier}"):
        target(world, "nosuchtask")
    with pytest.raises(ConfigError, match="its containers are: web, side"):
        target(world, None, "worker")
    with pytest.raises(ConfigError, match="the command is empty"):
        execute.find_target(at(world), "web", "", None, None)


def test_without_a_running_task_it_is_refused(world: Any, plugin: Path) -> None:
    """Nothing to run it in."""
    world.create(world.revision(world.image("v1", SLEEP)), 0, balanced=False)
    with pytest.raises(Refused, match="no task is running") as error:
        target(world)
    assert error.value.code == 3 and error.value.next == "inv web.status"


def test_an_agent_that_does_not_run_is_named_with_what_is_known_of_the_role(
    world: Any, plugin: Path
) -> None:
    """The task definition has no task role; permissions that cannot be read are unknown."""
    running(world)
    until(lambda: target(world))
    found = target(world)
    silent = type(found.container)(
        **{**vars(found.container), "exec_agent": "STOPPED", "exec_agent_reason": "no channel"}
    )
    service = exec_target.ExecService("web.exec", "web", "demo", "web", "ecs")
    error = service.agent_not_running(at(world).cloud, found.task, silent)
    assert isinstance(error, OpsError) and error.exit_code == 3
    assert "the agent is STOPPED (no channel)" in error.why
    assert "has no task role, which needs ssmmessages:CreateControlChannel" in error.why


def test_permissions_that_cannot_be_read_are_unknown(world: Any, plugin: Path) -> None:
    """iam:SimulatePrincipalPolicy is rarely allowed: what it would say is never taken for fine."""
    running(world)
    key, action = world.aws.keys.operator.access_key, "iam:SimulatePrincipalPolicy"
    found = target(world)
    definition = world.ecs.describe_task_definition(taskDefinition="demo-web")["taskDefinition"]
    role = "arn:aws:iam::123456789012:role/web-task"
    made = world.ecs.register_task_definition(
        family="other",
        cpu="256",
        memory="512",
        taskRoleArn=role,
        containerDefinitions=definition["containerDefinitions"],
    )["taskDefinition"]["taskDefinitionArn"]
    task = type(found.task)(**{**vars(found.task), "task_definition": made})
    world.aws.gate.deny(key, action)
    try:
        assert "ssmmessages:* is unknown (" in exec_target.role_problem(at(world).cloud, task)
    finally:
        world.aws.gate.allow(key, action)
