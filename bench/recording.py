"""AWS as a timeline tells it, at a virtual clock's time: boto3's own clients, whose calls are
answered from the recording and counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from ops.aws import session
from ops.aws.facts import Event, ServiceState, Target, TaskState
from ops.core.findings import Finding
from ops.ecs.model import NO_OPTIONS, NO_TRAFFIC, TrafficState, WatchOptions

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ARN = "arn:aws:ecs:us-east-1:123456789012"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/dev-backend-tg/1"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/davidshaevel/backend:abc1234"
ENOUGH = SimpleNamespace(status_code=200, content=b"")


class Clock:
    """Seconds since the start; sleeping is what makes them pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Recording:
    """One timeline as AWS would answer at the clock's time. `answer` may be wrapped by a test that
    wants a call to fail.
    """

    timeline: dict[str, Any]
    clock: Clock
    calls: list[tuple[float, str]] = field(default_factory=list)
    before: Callable[[str], tuple[Any, dict[str, Any]] | None] = lambda operation: None

    def cloud(self) -> session.AwsSession:
        """A cloud whose clients are boto3's own, and whose answers are this recording's."""
        cloud = session.of_overlay("http://127.0.0.1:9", "recorded", "recorded", "us-east-1")
        for name in ("ecs", "elbv2", "logs"):
            cloud.client(name).meta.events.register("before-call", self.called)
        return cloud

    def called(self, model: Any, params: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        self.calls.append((self.clock.now, model.name))
        failed = self.before(model.name)
        if failed:
            return failed
        body = params.get("body")
        asked = json.loads(body) if isinstance(body, str | bytes) and body else body or {}
        answer: dict[str, Any] = self.operations()[model.name](asked)
        return ENOUGH, answer

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {
            "DescribeServices": self.describe_services,
            "ListTasks": self.list_tasks,
            "DescribeTasks": self.describe_tasks,
            "DescribeTargetHealth": self.describe_target_health,
            "DescribeTaskDefinition": self.describe_task_definition,
            "GetLogEvents": self.get_log_events,
        }

    def frame(self) -> dict[str, Any]:
        return [frame for frame in self.timeline["frames"] if frame["at"] <= self.clock.now][-1]

    def describe_services(self, asked: dict[str, Any]) -> dict[str, Any]:
        deployments = [deployment(each) for each in self.frame()["deployments"]]
        service = {
            "serviceName": "backend",
            "serviceArn": f"{ARN}:service/cluster/backend",
            "status": "ACTIVE",
            "taskDefinition": deployments[0]["taskDefinition"],
            "desiredCount": 2,
            "runningCount": sum(each["runningCount"] for each in deployments),
            "pendingCount": sum(each["pendingCount"] for each in deployments),
            "deployments": deployments,
            "events": self.events(),
            "loadBalancers": [
                {"targetGroupArn": GROUP, "containerName": "backend", "containerPort": 3001}
            ],
            "deploymentConfiguration": {"deploymentCircuitBreaker": self.timeline["breaker"]},
            **self.timeline.get("service", {}),
        }
        return {"services": [service], "failures": []}

    def events(self) -> list[dict[str, Any]]:
        found = [
            {"id": f"{frame['at']}-{number}", "createdAt": moment(frame["at"]), "message": message}
            for frame in self.timeline["frames"]
            if frame["at"] <= self.clock.now
            for number, message in enumerate(frame.get("events", ()))
        ]
        return found[::-1]

    def list_tasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = asked["desiredStatus"] == "STOPPED"
        arns = [
            arn(task)
            for task in self.tasks()
            if (self.clock.now >= task.get("stopped", float("inf"))) is wanted
        ]
        return {"taskArns": arns}

    def describe_tasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {
            "tasks": [self.task(task) for task in self.tasks() if arn(task) in asked["tasks"]],
            "failures": [],
        }

    def tasks(self) -> list[dict[str, Any]]:
        return [task for task in self.timeline["tasks"] if task["created"] <= self.clock.now]

    def task(self, task: dict[str, Any]) -> dict[str, Any]:
        stopped = self.clock.now >= task.get("stopped", float("inf"))
        running = self.clock.now >= task.get("running", float("inf"))
        container = {
            "name": "backend",
            "image": IMAGE,
            "lastStatus": "STOPPED" if stopped else "RUNNING",
        }
        found = {
            "taskArn": arn(task),
            "taskDefinitionArn": f"{ARN}:task-definition/backend:"
            f"{1 if task['deployment'] == 'old' else 2}",
            "lastStatus": "STOPPED" if stopped else "RUNNING" if running else "PENDING",
            "desiredStatus": "STOPPED" if stopped else "RUNNING",
            "startedBy": f"ecs-svc/{task['deployment']}",
            "createdAt": moment(task["created"]),
            "containers": [container],
        }
        if stopped:
            found |= {
                "stopCode": task["code"],
                "stoppedReason": task["reason"],
                "stoppedAt": moment(task["stopped"]),
            }
            container |= {"exitCode": task["exit"]} if "exit" in task else {}
        return found

    def describe_target_health(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"TargetHealthDescriptions": []}

    def describe_task_definition(self, asked: dict[str, Any]) -> dict[str, Any]:
        options = {
            "awslogs-group": "/ecs/backend",
            "awslogs-stream-prefix": "ecs",
            "awslogs-region": "us-east-1",
        }
        container = {
            "name": "backend",
            "image": IMAGE,
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        }
        return {
            "taskDefinition": {
                "taskDefinitionArn": asked["taskDefinition"],
                "status": "ACTIVE",
                "containerDefinitions": [container],
            }
        }

    def get_log_events(self, asked: dict[str, Any]) -> dict[str, Any]:
        task = next(
            task for task in self.timeline["tasks"] if asked["logStreamName"].endswith(task["id"])
        )
        return {
            "events": [{"message": line} for line in task.get("log", ())],
            "nextBackwardToken": None,
            "nextForwardToken": "end",
        }


def moment(at: float) -> datetime:
    return START + timedelta(seconds=at)


def arn(task: dict[str, Any]) -> str:
    return f"{ARN}:task/cluster/{task['id']}"


def deployment(each: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"ecs-svc/{each['id']}",
        "status": each["status"],
        "taskDefinition": f"{ARN}:task-definition/backend:{each['revision']}",
        "desiredCount": each["desired"],
        "runningCount": each["running"],
        "pendingCount": each["pending"],
        "failedTasks": each["failed"],
        "rolloutState": each["state"],
        "rolloutStateReason": each.get("reason", ""),
        "createdAt": moment(each["made"]),
    }


@dataclass
class Notes:
    """A screen that notes what was shown, and when."""

    clock: Callable[[], float]
    shown: list[tuple[float, str, Any]] = field(default_factory=list)

    def note(self, kind: str, what: Any) -> None:
        self.shown.append((self.clock(), kind, what))

    def following(
        self, deployment_id: str, timeout_s: float, options: WatchOptions = NO_OPTIONS
    ) -> None:
        self.note("following", deployment_id)

    def update(
        self,
        service: ServiceState,
        tasks: tuple[TaskState, ...],
        targets: tuple[Target, ...],
        traffic: TrafficState = NO_TRAFFIC,
    ) -> None:
        self.note("update", service)

    def event(self, event: Event) -> None:
        self.note("event", event)

    def finding(self, finding: Finding) -> None:
        self.note("finding", finding)

    def phase(self, phase: str) -> None:
        self.note("phase", phase)

    def line(self, line: str) -> None:
        self.note("line", line)

    def log_lines(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            self.line(line)

    @property
    def is_live(self) -> bool:
        return False

    @property
    def shows_logs(self) -> bool | None:
        return None

    def wait(self, seconds: float, sleep: Callable[[float], None]) -> None:
        sleep(seconds)

    def close(self) -> None:
        self.note("close", None)

    def first(self, kind: str, what: str | None = None) -> float | None:
        """When this was first shown."""
        return next(
            (
                at
                for at, each, shown in self.shown
                if each == kind and (what is None or shown == what)
            ),
            None,
        )
