"""What the observer adds to a stopped task, and where it reads the log: the task's own revision."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.ecs.observer import EcsObserver

TASK = "arn:aws:ecs:us-east-1:1:task/main/0123456789abcdef"
REVISION = "arn:aws:ecs:us-east-1:1:task-definition/web:7"


def _container(name: str, essential: bool) -> dict[str, Any]:
    options = {
        "awslogs-group": "/central/web",
        "awslogs-region": "us-west-2",
        "awslogs-stream-prefix": "ecs",
    }
    log = {"logDriver": "awslogs", "options": options}
    return {"name": name, "image": "r:1", "essential": essential, "logConfiguration": log}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("EssentialContainerExited", "Essential container in task exited"),
        ("ServiceSchedulerInitiated", "Task failed ELB health checks in (target-group arn:x)"),
    ],
)
def test_the_log_of_the_container_that_matters_is_read_in_its_region(
    httpserver: HTTPServer, cloud_at: Any, code: str, reason: str
) -> None:
    """An init container that has finished is neither blamed nor shown."""
    stopped = {
        "taskArn": TASK,
        "taskDefinitionArn": REVISION,
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": code,
        "stoppedReason": reason,
        "containers": [
            {"name": "migrate", "lastStatus": "STOPPED", "exitCode": 0},
            {"name": "web", "lastStatus": "STOPPED", "exitCode": 143},
        ],
    }
    definition = {
        "taskDefinitionArn": REVISION,
        "status": "ACTIVE",
        "containerDefinitions": [_container("migrate", False), _container("web", True)],
    }
    answers: dict[str, Any] = {
        "ListTasks": {"taskArns": [TASK]},
        "DescribeTasks": {"tasks": [stopped], "failures": []},
        "DescribeTaskDefinition": {"taskDefinition": definition},
        "GetLogEvents": {"events": [{"message": "the queue is gone", "timestamp": 1}]},
    }
    asked: list[tuple[str, Any]] = []

    def respond(request: Request) -> Response:
        call = request.headers["x-amz-target"].rpartition(".")[2]
        if call == "GetLogEvents":
            region = request.headers["authorization"].split("/")[2]
            asked.append((region, request.get_json(force=True)["logStreamName"]))
        return Response(json.dumps(answers[call]), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(respond)
    observer = EcsObserver(cloud_at(httpserver.url_for("/")), "main", "web", "web")
    (task,) = observer.stopped()
    essential = {each.name: each.essential for each in task.containers}
    assert essential == {"migrate": False, "web": True}
    assert observer.log(task) == ("the queue is gone",)
    assert asked == [("us-west-2", "ecs/web/0123456789abcdef")]
