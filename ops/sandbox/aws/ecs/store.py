"""The store of ECS services and tasks, shared by the API and the agent under one lock.

Differs from ECS in timing only: a stopped task is dropped after `Timing.stopped_visible` seconds
(ECS: about an hour).
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

from ops.sandbox.aws.ecs.model import Container, Deployment, Service, Task, utc_now
from ops.sandbox.contracts import ACCOUNT, REGION


@dataclass
class EcsStore:
    """All services (by ARN) and tasks (by id). Hold `lock` for every read and write."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    services: dict[str, Service] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    def service(self, cluster: str, name_or_arn: str) -> Service | None:
        return self.services.get(service_arn(cluster, name_or_arn.split("/")[-1]))

    def of_service(self, service: Service) -> list[Task]:
        return [task for task in self.tasks.values() if task.service == service.arn]

    def of_deployment(self, service: Service, deployment: Deployment) -> list[Task]:
        return [task for task in self.of_service(service) if task.started_by == deployment.id]

    def new_task(self, cluster: Any, definition: Any, **fields: Any) -> Task:
        """Record a task in PROVISIONING for the agent to run.

        `cluster` and `definition` are moto's.
        """
        identifier = secrets.token_hex(16)
        containers = [
            Container(
                name=each["name"],
                image=each["image"],
                essential=each.get("essential", True),
                definition=each,
            )
            for each in definition.container_definitions
        ]
        task = Task(
            id=identifier,
            arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster.name}/{identifier}",
            cluster=cluster.name,
            cluster_arn=cluster.arn,
            task_definition=definition.arn,
            family=definition.family,
            containers=containers,
            cpu=definition.cpu,
            memory=definition.memory,
            **fields,
        )
        self.tasks[identifier] = task
        return task

    def counts(self, tasks: list[Task]) -> tuple[int, int]:
        """Return (running, pending) as DescribeServices counts, without tasks that are stopping."""
        wanted = [task for task in tasks if task.desired_status == "RUNNING"]
        running = sum(task.last_status == "RUNNING" for task in wanted)
        return running, len(wanted) - running

    def forget_stopped(self, seconds: float) -> None:
        now = utc_now()
        for task in list(self.tasks.values()):
            if task.stopped_at and (now - task.stopped_at).total_seconds() > seconds:
                del self.tasks[task.id]


def service_arn(cluster: str, name: str) -> str:
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{cluster}/{name}"
