"""A tunnel to the database by Session Manager, on the sandbox's own AWS (which emulates
StartSession) and through a stand-in of the plugin that really forwards TCP.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.aws import session
from ops.core.config.database import DatabaseTunnel
from ops.core.errors import Denied, Refused, Unreachable
from ops.environment import read_aws
from ops.platform import Platform
from ops.postgres import tunnel
from ops.postgres.routes import session_tunnel
from ops.sandbox.contracts import REGION
from ops.ssh.errors import BeyondBastion
from ops.ssh.sharing import shared_connections
from tests import plugin_stand_in
from tests.aws_fixtures import make_settings
from tests.sandbox.aws_platform import SLEEP, agent_at_work
from tests.tools.test_plugin_forwarding import echo, exchange, exchange_fails
from tests.waiting import until

HOST = "db.aaaa.us-east-1.rds.amazonaws.com"
PARAMETERS = {"host": HOST, "port": 5432, "dbname": "app", "sslmode": "verify-full"}
SERVICES = {"api": {"ecs_service": "web", "container": "web", "repository": "web"}}


@pytest.fixture(scope="module")
def world() -> Iterator[Any]:
    """A service of one running task with ECS Exec."""
    with agent_at_work() as made:
        image = made.image("v1", SLEEP)
        made.create(made.revision(image, ()), 1, balanced=False, enableExecuteCommand=True)
        made.completed()
        yield made


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    plugin_stand_in.install(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("STAND_IN_RECORD", str(tmp_path / "record"))
    with echo() as port:
        monkeypatch.setenv("STAND_IN_DATABASE", f"127.0.0.1:{port}")
        yield tmp_path / "record"


def opened(world: Any, through: dict[str, str] | None = None, **database: Any) -> Any:
    key = world.aws.keys.operator
    cloud = session.of_overlay(world.aws.url, key.access_key, key.secret_key, REGION)
    database = {"tunnel": through or {"service": "api"}, **database}
    settings = make_settings(cluster="demo", services=SERVICES, database=database)
    return tunnel.open_route(settings, lambda: cloud, PARAMETERS)


def sessions(world: Any) -> dict[str, str]:
    return dict(world.aws.cloud.sessions.opened)


def test_the_name_stays_and_the_address_is_the_plugin_s(world: Any, plugin: Path) -> None:
    """`host` is what verify-full checks; the session is of the task's container, for the database's
    own port, and ends with the route.
    """
    with opened(world) as route:
        assert exchange(route.parameters["port"]) == b"ping"
        assert {**route.parameters, "port": 0} == {
            **PARAMETERS,
            "hostaddr": "127.0.0.1",
            "port": 0,
        }
        record = json.loads(plugin.read_text())
        assert list(sessions(world)) == [record["session"]["SessionId"]]
        task = world.tasks()[0]
        identifier = task["taskArn"].rsplit("/", 1)[-1]
        target = f"ecs:demo_{identifier}_{task['containers'][0]['runtimeId']}"
        assert record["request"] == {
            "Target": target,
            "DocumentName": "AWS-StartPortForwardingSessionToRemoteHost",
            "Parameters": {"host": [HOST], "portNumber": ["5432"]},
        }
        assert route.way == f"through task {identifier[:8]} of api, by Session Manager"
        assert route.bastion is None and route.problem() is None and route.end() is None
    assert sessions(world) == {}


def test_one_task_of_ours_opens_one_tunnel(world: Any, plugin: Path) -> None:
    """Sweeps, preflight and a run share it; a lost one is opened again; all end with the task."""
    with shared_connections():
        for _ in range(2):
            with opened(world) as route:
                assert exchange(route.parameters["port"]) == b"ping"
        assert len(plugin.read_text().splitlines()) == len(sessions(world)) == 1
        os.kill(json.loads(plugin.read_text())["pid"], signal.SIGKILL)
        until(route.end)
        with opened(world) as route:
            assert exchange(route.parameters["port"]) == b"ping"
        assert len(plugin.read_text().splitlines()) == 2 and len(sessions(world)) == 1
    assert sessions(world) == {}


def test_reads_beside_a_run_in_a_task_go_through_the_tunnel(world: Any) -> None:
    """`run: task` with a tunnel: health and preflight reach the database by it."""
    with opened(world, run="task") as route:
        assert exchange(route.parameters["port"]) == b"ping"
    assert sessions(world) == {}


def test_the_session_ends_on_an_interrupt_and_where_the_plugin_fails(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt), opened(world):
        assert len(sessions(world)) == 1
        raise KeyboardInterrupt
    assert sessions(world) == {}
    monkeypatch.setenv("STAND_IN_FAULT", "refused")
    with pytest.raises(Unreachable, match="of api") as error, opened(world):
        pytest.fail("there is no tunnel")
    assert "bad handshake" in error.value.why and sessions(world) == {}


def test_a_database_that_the_task_does_not_reach_is_named(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of libpq's words, which blame the local end."""
    monkeypatch.setenv("STAND_IN_FAULT", "destination")
    with pytest.raises(BeyondBastion, match=f"of api to {HOST}"), opened(world) as route:
        exchange_fails(route.parameters["port"])
        raise Unreachable("database app", "server closed the connection unexpectedly", "check it")


def test_an_end_midway_is_in_the_error(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed stays; the reason is the plugin's, then the database's."""
    monkeypatch.setenv("STAND_IN_FAULT", "dies")
    with pytest.raises(session_tunnel.TunnelEnded) as error, opened(world) as route:
        assert exchange(route.parameters["port"]) == b"ping"
        exchange_fails(route.parameters["port"])
        until(route.end)
        raise Unreachable("upgrade 0004", "server closed the connection", "check it")
    assert error.value.what == "upgrade 0004"
    assert "session-manager-plugin ended (exit code 0)" in error.value.why
    assert "server closed the connection" in error.value.why


def test_an_error_of_the_database_itself_stays(world: Any) -> None:
    with pytest.raises(Unreachable) as error, opened(world):
        raise Unreachable("database app", "password authentication failed", "update it")
    assert error.value.why == "password authentication failed"


def test_a_missing_plugin_is_named_before_a_session_is_made(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Refused, match="tunnel to the database needs the Session Manager plugin"):
        opened(world).__enter__()
    assert sessions(world) == {}


def test_env_check_compares_it_without_a_session(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin and the task are there; then the plugin is not."""
    key = world.aws.keys.operator
    cloud = session.of_overlay(world.aws.url, key.access_key, key.secret_key, REGION)
    place = Platform(make_settings(cluster="demo", services=SERVICES), cloud)
    through = DatabaseTunnel(service="api")
    (found,) = read_aws._tunnel(place, "database.tunnel.service", through)
    assert found.status == "same" and sessions(world) == {}
    monkeypatch.setenv("PATH", os.devnull)
    (missing,) = read_aws._tunnel(place, "database.tunnel.service", through)
    assert missing.status == "different" and "was not found on PATH" in missing.source


@pytest.mark.parametrize(
    ("through", "kind", "text"),
    [
        ({"service": "api", "container": "side"}, Refused, "has no container side"),
        ({"instance": "i-0123456789abcdef0"}, Refused, "no connection to Systems Manager"),
    ],
)
def test_a_target_that_is_not_there(
    world: Any, through: dict[str, str], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as error:
        opened(world, through).__enter__()
    assert text in str(error.value)


def test_a_denied_call_names_the_permission(world: Any) -> None:
    key = world.aws.keys.operator.access_key
    world.aws.gate.deny(key, "ssm:StartSession")
    try:
        with pytest.raises(Denied) as error:
            opened(world).__enter__()
    finally:
        world.aws.gate.allow(key, "ssm:StartSession")
    assert error.value.denied_action == "ssm:StartSession"


def test_a_session_that_may_not_be_ended_is_reported(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tunnel has done its work; the session ends when it is idle."""
    key = world.aws.keys.operator.access_key
    world.aws.gate.deny(key, "ssm:TerminateSession")
    try:
        with opened(world):
            pass
    finally:
        world.aws.gate.allow(key, "ssm:TerminateSession")
        world.aws.cloud.sessions.opened.clear()
    assert "was not ended, and ends when it is idle" in capsys.readouterr().err


def test_an_agent_that_is_not_connected_is_named_with_the_role(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TargetNotConnected: what is known of the task role's ssmmessages permissions."""
    monkeypatch.setattr(world.aws.cloud.sessions, "_is_connected", lambda target: False)
    with pytest.raises(Refused, match="ssm:StartSession") as error:
        opened(world).__enter__()
    assert "no connection to Systems Manager" in error.value.why
    assert "has no task role, which needs ssmmessages:CreateControlChannel" in error.value.why


def test_a_service_without_exec_says_what_enables_it(world: Any) -> None:
    """Last: it changes the service."""
    world.update(enableExecuteCommand=False, forceNewDeployment=True)
    world.completed()
    with pytest.raises(Refused, match="tunnel to the database: ECS Exec is not enabled") as error:
        opened(world).__enter__()
    assert error.value.next.endswith("--force-new-deployment --enable-execute-command")


@pytest.mark.parametrize(
    ("database", "bastion", "run"),
    [
        ({}, None, "local"),
        ({"tunnel": {"service": "api"}}, None, "tunnel"),
        ({"tunnel": {"service": "api"}}, {"host": "jump"}, "remote"),
        ({"tunnel": {"service": "api"}, "run": "tunnel"}, {"host": "jump"}, "tunnel"),
        ({"tunnel": {"service": "api"}, "run": "local"}, None, "local"),
        ({}, {"host": "jump"}, "remote"),
    ],
)
def test_the_default_of_run(database: Any, bastion: Any, run: str) -> None:
    made = make_settings(services=SERVICES, database=database, bastion=bastion)
    assert made.environment.database_run == run


@pytest.mark.parametrize(
    "given", [{}, {"service": "a", "instance": "i-1"}, {"instance": "i-1", "container": "c"}]
)
def test_a_tunnel_has_one_target(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        DatabaseTunnel.model_validate(given)
