"""The agent: the loop that runs the scheduler and starts a thread for every new task.

Stopping it stops all tasks. Emulates the ECS service scheduler and Fargate together (see
`scheduler`, `task_life`, `health`, `resources`, `reconcile`, `breaker`).
"""

from __future__ import annotations

import threading
import time
import traceback

from ops.sandbox.agent.addresses import Addresses
from ops.sandbox.agent.health import HealthChecker
from ops.sandbox.agent.scheduler import Scheduler
from ops.sandbox.agent.task_life import TaskLife, TaskResources
from ops.sandbox.aws import security_groups
from ops.sandbox.aws.server import Cloud
from ops.sandbox.contracts import Component, Runtime, Timing
from ops.sandbox.database.network_path import NetworkPath


class Agent:
    """The ECS scheduler and Fargate of `cloud`.

    Tasks get addresses `<network>.1` to `.254`; `network` is the first three octets, in 127/8.
    """

    def __init__(
        self, cloud: Cloud, runtime: Runtime, timing: Timing, network: str, database: int = 0
    ) -> None:
        """`database`: PostgreSQL's port, to which each task gets a path of its own."""
        self.cloud = cloud
        self.timing = timing
        self._ended = threading.Event()
        self._path = (
            NetworkPath(
                database,
                lambda address: security_groups.database_reachable(cloud.ecs, address, database),
            )
            if database
            else None
        )
        self._resources = TaskResources(
            cloud, runtime, timing, Addresses(network), self._ended, self._path
        )
        self._scheduler = Scheduler(cloud, timing)
        self._health = HealthChecker(
            cloud.targets,
            timing,
            lambda address, port: security_groups.reachable(cloud.ecs, address, port),
            lambda path: cloud.delay(path),
        )
        self._lives: dict[str, TaskLife] = {}
        self._thread = threading.Thread(target=self._loop, name="agent", daemon=True)

    def start(self) -> None:
        """Start managing the services; return at once."""
        self._health.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop the loop and every task process, and wait for them.

        Tasks get SIGTERM, and SIGKILL after `Timing.stop_timeout` seconds.
        """
        self._ended.set()
        self._thread.join(timeout=10)
        self._health.stop()
        with self.cloud.ecs.lock:
            for task in self.cloud.ecs.tasks.values():
                task.stop_asked.set()
        for life in self._lives.values():
            life.join(timeout=self.timing.stop_timeout + 5)
        if self._path:
            self._path.stop()

    def alive(self) -> bool:
        return self._thread.is_alive() and self._health.alive()

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the running containers."""
        return tuple(pid for life in list(self._lives.values()) for pid in life.pids())

    def part(self) -> Component:
        """Return the agent as a component, with the current `pids`."""
        return Component("agent", self.stop, self.alive, self.pids())

    def _loop(self) -> None:
        while not self._ended.wait(self.timing.tick):
            try:
                self._scheduler.tick(time.monotonic())
                self._give_lives()
            except Exception:  # the loop is all that moves; the next tick tries again
                traceback.print_exc()

    def _give_lives(self) -> None:
        with self.cloud.ecs.lock:
            self._lives = {
                identifier: life for identifier, life in self._lives.items() if life.alive()
            }
            new = [
                task
                for task in self.cloud.ecs.tasks.values()
                if task.stopped_at is None and task.id not in self._lives
            ]
            for task in new:
                self._lives[task.id] = TaskLife(task, self._resources)
                self._lives[task.id].start()
