"""The life of one task from PROVISIONING to STOPPED, in a thread of its own.

Emulates the states PROVISIONING → PENDING → ACTIVATING → RUNNING → DEACTIVATING → STOPPING →
DEPROVISIONING → STOPPED, pulls and starts through the runtime, registration and draining with the
load balancer, SIGTERM then SIGKILL, stop codes, reasons and exit codes. Differs from Fargate:
containers start in the order of the task definition (`dependsOn` is ignored), ulimits and CPU
limits are not enforced, memory limits only as `memory_limit` describes, and a container's own
`stopTimeout` is ignored. Health checks of containers: `container_health`; network and permissions:
`access`.
"""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any

from ops.sandbox.agent import ecs_messages, memory_limit, resources
from ops.sandbox.agent.access import ResourceError, TaskAccess
from ops.sandbox.agent.addresses import Addresses, NoAddress
from ops.sandbox.agent.container_health import HealthCommand, health_commands
from ops.sandbox.aws import lookups
from ops.sandbox.aws.access import routes
from ops.sandbox.aws.ecs.model import Container as ContainerRecord
from ops.sandbox.aws.ecs.model import Task, utc_now
from ops.sandbox.aws.server import Cloud
from ops.sandbox.contracts import Container, ContainerSpec, PullError, Runtime, StartError, Timing
from ops.sandbox.database.network_path import NetworkPath

_POLL = 0.1  # seconds between polls of the processes
_CRASHED = ("EssentialContainerExited", "TaskFailedToStart")


@dataclass(frozen=True)
class TaskResources:
    """The components that every task uses.

    `closing` is set when the sandbox stops; waits then end at once.
    """

    cloud: Cloud
    runtime: Runtime
    timing: Timing
    addresses: Addresses
    closing: threading.Event
    database: NetworkPath | None = None


class _AskedToStop(Exception):
    """The task must stop before it has run."""


class _LaunchFailed(Exception):
    """The task failed to start; `str()` is its stoppedReason."""


class TaskLife:
    """Runs one task. `start()` returns at once."""

    def __init__(self, task: Task, resources: TaskResources) -> None:
        self.task = task
        self.resources = resources
        self._running: list[tuple[ContainerRecord, Container]] = []
        self._checks: dict[str, HealthCommand] = {}
        self._thread = threading.Thread(target=self._live, name=f"task-{task.id[:8]}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def alive(self) -> bool:
        return self._thread.is_alive()

    def pids(self) -> tuple[int, ...]:
        return tuple(
            container.pid
            for _, container in self._running
            if container.pid is not None and container.poll() is None
        )

    def _live(self) -> None:
        try:
            self._provision()
            self._pull()
            self._start_containers()
            self._run()
        except _AskedToStop:
            pass
        except (_LaunchFailed, ResourceError) as failure:
            self._fail(str(failure))
        except Exception as bug:
            traceback.print_exc()
            self._fail(f"InternalError: {bug!r}")
        self._wind_down()

    def _provision(self) -> None:
        self._wait(self.resources.timing.provision)
        subnet, free = routes.free_addresses(self._place)
        if free < 1:
            raise _LaunchFailed(ecs_messages.no_free_address(subnet))
        try:
            self._set(address=self.resources.addresses.take(), last_status="PENDING")
        except NoAddress as none_left:
            raise _LaunchFailed(
                "Unexpected EC2 error while attempting to Create Network Interface: "
                "InsufficientFreeAddressesInSubnet"
            ) from none_left

    def _pull(self) -> None:
        """Resolve secrets and log streams, then pull images, as Fargate does.

        Takes at least `Timing.pull` seconds.
        """
        spec = lookups.launch_spec(self.task.task_definition)
        path, address = self.resources.database, self.task.address
        self._database = path.open(address) if path and address else "127.0.0.1"
        began = time.monotonic()
        self._access = TaskAccess(self.task.id, spec.role, self._place)
        self._access.check_registry(container.image for container in self.task.containers)
        self._specs = [self._spec(container) for container in self.task.containers]
        self._set(pull_started_at=utc_now())
        for container in self.task.containers:
            self._leave_if_asked()
            try:
                self._access.check_pull(container.image)
                container.digest = self.resources.runtime.pull(container.image, spec.platform)
            except PullError as failure:
                container.reason = str(failure)
                raise _LaunchFailed(str(failure)) from failure
        self._wait(self.resources.timing.pull - (time.monotonic() - began))
        self._set(pull_stopped_at=utc_now(), last_status="ACTIVATING")

    def _spec(self, container: ContainerRecord) -> ContainerSpec:
        definition = container.definition
        overrides = self.task.overrides.get("containerOverrides") or []
        override: dict[str, Any] = next(
            (each for each in overrides if each.get("name") == container.name), {}
        )
        environment = resources.environment(definition, override, self._access, self._database)
        return ContainerSpec(
            task_id=self.task.id,
            name=container.name,
            image=container.image,
            address=self.task.address or "",
            environment=environment,
            log=resources.log_writer(definition, self._access),
            command=_words(override.get("command") or definition.get("command")),
            entry_point=_words(definition.get("entryPoint")),
            ports=tuple(each["containerPort"] for each in definition.get("portMappings") or []),
            working_directory=definition.get("workingDirectory"),
        )

    def _start_containers(self) -> None:
        for container, spec in zip(self.task.containers, self._specs, strict=True):
            self._leave_if_asked()
            try:
                started = self.resources.runtime.start(spec)
            except PullError as failure:
                container.reason = str(failure)
                raise _LaunchFailed(str(failure)) from failure
            except StartError as failure:
                container.reason = str(failure)
                raise _LaunchFailed("Task failed to start") from failure
            self._running.append((container, started))
            with self.resources.cloud.ecs.lock:
                container.status, container.digest = "RUNNING", started.digest

    def _run(self) -> None:
        """Run until an essential container exits or a stop is requested."""
        self._set(last_status="RUNNING", started_at=utc_now())
        self._register()
        self._checks = health_commands(
            self.task.containers,
            self._specs,
            self.resources.runtime,
            self.resources.timing,
        )
        while not self.task.stop_asked.wait(_POLL):
            with self.resources.cloud.ecs.lock:
                ended = [
                    record
                    for record, container in self._running
                    if record.exit_code is None and _note_exit(record, container)
                ]
                if any(record.essential for record in ended) or all(
                    record.exit_code is not None for record, _ in self._running
                ):
                    self.task.ask_to_stop("EssentialContainerExited", ecs_messages.ESSENTIAL_EXITED)
            self._check_containers()

    def _check_containers(self) -> None:
        """Run due health checks of containers, without holding the lock."""
        for record, _ in self._running:
            if record.name in self._checks and record.exit_code is None:
                status = self._checks[record.name].step(time.monotonic())
                with self.resources.cloud.ecs.lock:
                    record.health = status

    def _wind_down(self) -> None:
        for check in self._checks.values():
            check.stop()
        crashed = self.task.stop_code in _CRASHED
        was_running = self.task.last_status == "RUNNING"
        if was_running:
            self._set(last_status="DEACTIVATING")
            if self._deregister() and not crashed:
                self.resources.closing.wait(self.resources.timing.deregistration_delay)
        self._set(last_status="STOPPING")
        if was_running and not crashed:
            self._say(ecs_messages.stopped([self.task.id]))
        for record, container in self._running:
            code = container.stop(self.resources.timing.stop_timeout)
            with self.resources.cloud.ecs.lock:
                record.status, record.exit_code = (
                    "STOPPED",
                    code if record.exit_code is None else record.exit_code,
                )
        self._set(last_status="DEPROVISIONING", execution_stopped_at=utc_now())
        self.resources.closing.wait(self.resources.timing.tick)
        if self.task.address:
            if self.resources.database:
                self.resources.database.close(self.task.address)
            self.resources.addresses.give_back(self.task.address)
        with self.resources.cloud.ecs.lock:
            for record in self.task.containers:
                record.status = "STOPPED"
        self._set(last_status="STOPPED", stopped_at=utc_now())

    @property
    def _place(self) -> dict[str, Any]:
        return self.task.network_configuration.get("awsvpcConfiguration") or {}

    def _register(self) -> None:
        for group, address, port in self._targets():
            self.resources.cloud.targets.register(group, address, port)
            self._say(ecs_messages.registered(1, group))

    def _deregister(self) -> bool:
        gone = [
            each
            for each in self._targets()
            if self.resources.cloud.targets.deregister(
                *each, self.resources.timing.deregistration_delay
            )
        ]
        for group, _, _ in gone:
            self._say(ecs_messages.deregistered(1, group))
        if gone:
            self._say(ecs_messages.draining(1))
        return bool(gone)

    def _targets(self) -> list[tuple[str, str, int]]:
        balanced = [each for each in self.task.load_balancers if each.get("targetGroupArn")]
        return [
            (each["targetGroupArn"], self.task.address or "", int(each["containerPort"]))
            for each in balanced
        ]

    def _say(self, message: str) -> None:
        with self.resources.cloud.ecs.lock:
            service = self.resources.cloud.ecs.services.get(self.task.service or "")
            if service is not None:
                service.say(message)

    def _fail(self, reason: str) -> None:
        with self.resources.cloud.ecs.lock:
            self.task.ask_to_stop("TaskFailedToStart", reason)

    def _set(self, **fields: Any) -> None:
        with self.resources.cloud.ecs.lock:
            for name, value in fields.items():
                setattr(self.task, name, value)

    def _wait(self, seconds: float) -> None:
        if self.task.stop_asked.wait(max(seconds, 0.0)):
            raise _AskedToStop

    def _leave_if_asked(self) -> None:
        self._wait(0.0)


def _note_exit(record: ContainerRecord, container: Container) -> bool:
    code = container.poll()
    if code is None and memory_limit.exceeded(record.definition, container.pid):
        container.stop(0.0)
        code, record.reason = memory_limit.KILLED, ecs_messages.OUT_OF_MEMORY
    if code is None:
        return False
    record.status, record.exit_code = "STOPPED", code
    return True


def _words(command: list[str] | None) -> tuple[str, ...] | None:
    return tuple(command) if command else None
