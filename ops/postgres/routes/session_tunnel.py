"""A tunnel to the database by Session Manager: through a running task, or an EC2 instance.

The Session Manager plugin forwards a port of 127.0.0.1 through the task's ECS Exec agent (or the
instance's SSM agent) to the database. No bastion and no open port are needed, only ECS Exec on the
service, ssmmessages permissions of its task role, and ssm:StartSession of the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.aws.ssm import exec_target, sessions
from ops.aws.ssm.exec_target import ExecService
from ops.core import ui
from ops.core.errors import OpsError, Refused, Unreachable
from ops.ssh import sharing
from ops.ssh.errors import BeyondBastion
from ops.tools import plugin_forwarding, session_plugin
from ops.tools.plugin_forwarding import ForwardedPort
from ops.tools.session_plugin import PluginSession

if TYPE_CHECKING:
    from ops.aws.facts import TaskState
    from ops.aws.session import AwsSession
    from ops.core.config.database import DatabaseTunnel
    from ops.core.config.settings import Settings

_PURPOSE = "the tunnel to the database"


class TunnelEnded(Unreachable):
    """The Session Manager plugin of a tunnel has ended by itself."""


@dataclass(frozen=True)
class SessionTarget:
    """Where the session leads, as Systems Manager names it and in words; `task`: if it is one."""

    name: str
    label: str
    task: TaskState | None = None


@dataclass(frozen=True)
class SessionTunnel:
    """An open tunnel to `host`, and its state."""

    cloud: AwsSession
    session: str
    host: str
    label: str
    port: ForwardedPort

    def from_here(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """libpq's parameters through the tunnel; `host` stays, for verify-full."""
        return {**parameters, "hostaddr": "127.0.0.1", "port": self.port.port}

    def is_alive(self) -> bool:
        return self.port.is_open()

    def close(self) -> None:
        """End the plugin, and the session."""
        try:
            self.port.close()
        finally:
            _terminate(self.cloud, self.session)

    def problem(self) -> Unreachable | None:
        """Why a connection through it has failed, if the plugin knows."""
        fault = self.port.fault()
        if fault == "destination":
            return BeyondBastion(
                f"{self.label} to {self.host}",
                "the Session Manager agent there could not connect to the database",
                "admit its security group at the database, or correct database.host",
            )
        return self.end() if fault == "ended" else None

    def end(self) -> Unreachable | None:
        """The error of a tunnel whose plugin has ended by itself."""
        if self.is_alive():
            return None
        return TunnelEnded(f"tunnel through {self.label}", self.port.end_text(), "run it again")


@contextmanager
def open_tunnel(
    settings: Settings, cloud: AwsSession, through: DatabaseTunnel, parameters: Mapping[str, Any]
) -> Iterator[SessionTunnel]:
    """The tunnel, while the context is open; shared by all that need it during one task.

    An error of the database meanwhile is replaced where the plugin knows the reason.

    Raises Refused for a missing part (plugin, ECS Exec, agent), Denied, Unreachable and TimedOut.
    """
    host, port = str(parameters["host"]), int(parameters.get("port") or 5432)
    key = ("session tunnel", settings.name, repr(through), host, port)
    shared = sharing.shared(key, lambda: _open(settings, cloud, through, host, port))
    tunnel = shared or _open(settings, cloud, through, host, port)
    try:
        with _explained(tunnel):
            yield tunnel
    finally:
        if shared is None:
            tunnel.close()


def _open(
    settings: Settings, cloud: AwsSession, through: DatabaseTunnel, host: str, port: int
) -> SessionTunnel:
    program = session_plugin.find(_PURPOSE)
    target = _find_target(settings, cloud, through)
    request = sessions.forwarding_request(target.name, host, port)
    try:
        session = sessions.start(cloud, request)
    except sessions.TargetOffline as error:
        if target.task is None:
            raise
        role = exec_target.role_problem(cloud, target.task)
        raise Refused(error.what, f"{error.why}; {role}", error.next) from None
    more = {key: value for key, value in request.items() if key != "Target"}
    attached = PluginSession(
        session.response, target.name, cloud.region, cloud.profile or "", session.endpoint, more
    )
    identifier = session.response["SessionId"]
    try:
        opened = plugin_forwarding.start(program, attached, f"tunnel through {target.label}")
    except BaseException:
        _terminate(cloud, identifier)
        raise
    return SessionTunnel(cloud, identifier, host, target.label, opened)


def check(settings: Settings, cloud: AwsSession, through: DatabaseTunnel) -> SessionTarget:
    """What the tunnel would lead through, without a session. Raises as `open_tunnel`."""
    session_plugin.find(_PURPOSE)
    return _find_target(settings, cloud, through)


@contextmanager
def _explained(tunnel: SessionTunnel) -> Iterator[None]:
    """Replace an unreachable database's error by the plugin's reason, or print that it ended."""
    try:
        yield
    except TunnelEnded:
        raise
    except Unreachable as error:
        problem = tunnel.problem()
        if isinstance(problem, TunnelEnded):
            why = f"the {problem.what} has ended: {problem.why} ({error.why})"
            raise TunnelEnded(error.what, why, problem.next) from None
        raise (problem or error) from None
    except BaseException:
        _print_end(tunnel)
        raise
    else:
        _print_end(tunnel)


def _print_end(tunnel: SessionTunnel) -> None:
    ended = tunnel.end()
    if ended:
        ui.progress(f"the {ended.what} has ended: {ended.why}")


def _find_target(settings: Settings, cloud: AwsSession, through: DatabaseTunnel) -> SessionTarget:
    if through.instance:
        return SessionTarget(through.instance, f"instance {through.instance}")
    name = str(through.service)
    service, environment = settings.service(name), settings.environment
    entered = ExecService(
        _PURPOSE, name, environment.cluster, service.ecs_service, environment.rollout
    )
    enabled = entered.exec_enabled(cloud)
    task = exec_target.newest_enabled(entered.running_tasks(cloud))
    container = task.container(through.container or service.container)
    if container is None:
        names = ", ".join(each.name for each in task.containers)
        raise Refused(
            f"{_PURPOSE}: task {task.id} has no container {through.container or service.container}",
            f"its containers are: {names}",
            f"set environments.{settings.name}.database.tunnel.container to one of them",
        )
    entered.require_agent(cloud, task, container, enabled=enabled)
    label = f"task {task.id[:8]} of {name}"
    return SessionTarget(exec_target.target_name(task, container), label, task)


def _terminate(cloud: AwsSession, session: str) -> None:
    """End the session; one that cannot be ended is reported, and ends when it is idle."""
    try:
        sessions.terminate(cloud, session)
    except OpsError as error:
        ui.progress(f"session {session} was not ended, and ends when it is idle: {error.why}")
