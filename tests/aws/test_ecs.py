"""ECS against moto over HTTP, and where moto stands still, against answers as ECS words them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.aws import ecs, session
from ops.core.errors import OpsError, Refused, Unreachable

DOCUMENT: dict[str, Any] = {
    "family": "web",
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "requiresCompatibilities": ["FARGATE"],
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "containerDefinitions": [
        {
            "name": "web",
            "image": "r/web:1",
            "essential": True,
            "portMappings": [{"containerPort": 3000}],
        },
        {"name": "sidecar", "image": "r/side@sha256:" + "a" * 64, "essential": False},
    ],
    "tags": [{"key": "team", "value": "x"}],
}


@pytest.fixture
def running(cloud: session.AwsSession) -> session.AwsSession:
    """A cluster `main` with a service `web` of two tasks."""
    client = cloud.client("ecs")
    client.create_cluster(clusterName="main")
    ecs.register(cloud, DOCUMENT)
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    client.create_service(
        cluster="main",
        serviceName="web",
        taskDefinition="web:1",
        desiredCount=2,
        launchType="FARGATE",
        loadBalancers=[
            {"targetGroupArn": "arn:aws:elb:tg/1", "containerName": "web", "containerPort": 3000}
        ],
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}
        },
    )
    return cloud


def test_a_service_as_it_stands(running: session.AwsSession) -> None:
    """Counts, revision, the primary deployment and the load balancer are told."""
    found = ecs.service(running, "main", "web")
    assert found is not None
    assert (found.name, found.status, found.desired) == ("web", "ACTIVE", 2)
    assert found.task_definition.endswith(":task-definition/web:1")
    assert found.primary is not None and found.deployment(found.primary.id) is found.primary
    assert [(item.container, item.port) for item in found.load_balancers] == [("web", 3000)]
    assert (found.breaker, found.breaker_rollback, found.grace_s) == (False, False, 0)


def test_a_wrong_service_name_is_none_and_a_wrong_cluster_is_refused(
    running: session.AwsSession,
) -> None:
    """MISSING under `failures` is no service; a missing cluster is named (exit 3)."""
    assert ecs.service(running, "main", "absent") is None
    with pytest.raises(Refused, match="cluster elsewhere does not exist in us-east-1") as error:
        ecs.service(running, "elsewhere", "web")
    assert error.value.code == 3


def test_a_deleted_service_is_none(running: session.AwsSession) -> None:
    """INACTIVE services stay visible for a while, and are not there."""
    running.client("ecs").delete_service(cluster="main", service="web", force=True)
    assert ecs.service(running, "main", "web") is None


def test_other_failures_are_not_taken_for_missing(httpserver: HTTPServer, cloud_at: Any) -> None:
    """What ECS could not say is unreachable, not absent."""
    httpserver.expect_request("/").respond_with_json(
        {"services": [], "failures": [{"arn": "a", "reason": "ACCESS_DENIED"}]}
    )
    with pytest.raises(Unreachable, match="ACCESS_DENIED"):
        ecs.service(cloud_at(httpserver.url_for("/")), "main", "web")


def test_the_breaker_and_the_grace_period_are_read(httpserver: HTTPServer, cloud_at: Any) -> None:
    """The service's own settings decide whether ECS rolls back."""
    service = {
        "serviceName": "web",
        "status": "ACTIVE",
        "taskDefinition": "web:1",
        "desiredCount": 1,
        "runningCount": 0,
        "pendingCount": 1,
        "healthCheckGracePeriodSeconds": 60,
        "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
        "deployments": [
            {
                "id": "ecs-svc/1",
                "status": "PRIMARY",
                "taskDefinition": "web:1",
                "desiredCount": 1,
                "runningCount": 0,
                "pendingCount": 1,
                "failedTasks": 3,
                "rolloutState": "FAILED",
                "rolloutStateReason": "breaker",
            }
        ],
        "events": [
            {"id": "e1", "createdAt": 1760000000, "message": "(service web) has started 1 tasks"}
        ],
        "loadBalancers": [{"loadBalancerName": "classic", "containerPort": 1}],
    }
    httpserver.expect_request("/").respond_with_json({"services": [service], "failures": []})
    found = ecs.service(cloud_at(httpserver.url_for("/")), "main", "web")
    assert found is not None and (found.breaker, found.breaker_rollback, found.grace_s) == (
        True,
        True,
        60,
    )
    assert found.primary is not None and (
        found.primary.failed,
        found.primary.rollout_state,
        found.primary.rollout_reason,
    ) == (
        3,
        "FAILED",
        "breaker",
    )
    assert found.events[0].at is not None and found.events[0].message.endswith("1 tasks")
    assert found.load_balancers == ()


def test_tasks_are_listed_page_by_page_and_described_in_hundreds(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """230 tasks on three pages are three lists and three describes of at most a hundred; one that
    has gone meanwhile is left out.
    """
    arns = [f"arn:aws:ecs:us-east-1:1:task/main/{number:04}" for number in range(230)]
    asked: list[Any] = []

    def respond(request: Any) -> Any:
        from werkzeug import Response

        call, body = (
            request.headers["x-amz-target"].rpartition(".")[2],
            request.get_json(force=True),
        )
        asked.append((call, len(body.get("tasks", ())), body.get("desiredStatus")))
        if call == "ListTasks":
            start = int(body.get("nextToken", 0))
            document: dict[str, Any] = {"taskArns": arns[start : start + 100]}
            if start + 100 < len(arns):
                document["nextToken"] = str(start + 100)
        else:
            there = [arn for arn in body["tasks"] if arn != arns[7]]
            document = {
                "tasks": [task(arn) for arn in there],
                "failures": [{"arn": arns[7], "reason": "MISSING"}],
            }
        return Response(json.dumps(document), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(respond)
    found = ecs.tasks(cloud_at(httpserver.url_for("/")), "main", "web", desired_status="STOPPED")
    assert len(found) == 229
    assert [call for call in asked if call[0] == "ListTasks"] == [("ListTasks", 0, "STOPPED")] * 3
    assert [call[1] for call in asked if call[0] == "DescribeTasks"] == [100, 100, 30]
    first = found[0]
    assert (first.id, first.started_by, first.stop_code, first.stopped_reason) == (
        "0000",
        "ecs-svc/9",
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    web = first.container("web")
    assert web is not None and (web.exit_code, web.digest, web.reason) == (
        137,
        "sha256:b",
        "OutOfMemoryError: killed",
    )
    never = first.container("never")
    assert never is not None and (never.exit_code, never.digest) == (None, None)


def task(arn: str) -> dict[str, Any]:
    return {
        "taskArn": arn,
        "taskDefinitionArn": "web:1",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "startedBy": "ecs-svc/9",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "createdAt": 1760000000,
        "containers": [
            {
                "name": "web",
                "image": "r/web:1",
                "imageDigest": "sha256:b",
                "lastStatus": "STOPPED",
                "exitCode": 137,
                "reason": "OutOfMemoryError: killed",
            },
            {"name": "never", "image": "r/x:1", "lastStatus": "STOPPED"},
        ],
    }


def test_a_service_that_is_not_there_has_no_tasks(httpserver: HTTPServer, cloud_at: Any) -> None:
    """ServiceNotFoundException is an answer: none."""
    httpserver.expect_request("/").respond_with_json(
        {"__type": "ServiceNotFoundException", "message": "Service not found."}, status=400
    )
    assert ecs.tasks(cloud_at(httpserver.url_for("/")), "main", "web") == ()


def test_a_revision_keeps_everything_when_it_is_registered_again(
    running: session.AwsSession,
) -> None:
    """Sidecar, digest, platform and tags survive the round trip; what only AWS writes is not sent
    back.
    """
    first = ecs.task_definition(running, "web:1")
    assert first is not None and (first.architecture, first.status, first.label) == (
        "arm64",
        "ACTIVE",
        "web:1",
    )
    assert first.document["tags"] == DOCUMENT["tags"]
    containers = [
        {**item, "image": "r/web:2"} if item["name"] == "web" else item
        for item in first.document["containerDefinitions"]
    ]
    second = ecs.register(running, {**first.document, "containerDefinitions": containers})
    assert second.label == "web:2"
    again = ecs.task_definition(running, "web")
    assert again is not None and again.arn == second.arn
    assert [item["image"] for item in again.document["containerDefinitions"]] == [
        "r/web:2",
        "r/side@sha256:" + "a" * 64,
    ]
    assert again.document["tags"] == DOCUMENT["tags"]
    assert again.document["runtimePlatform"] == DOCUMENT["runtimePlatform"]


def test_fields_newer_than_the_sdk_are_noticed(httpserver: HTTPServer, cloud_at: Any) -> None:
    """The SDK drops what its model does not have; a new revision would lose that silently."""
    answer = {
        "taskDefinition": {
            "taskDefinitionArn": "arn:aws:ecs:us-east-1:1:task-definition/web:7",
            "status": "ACTIVE",
            "fieldOfTomorrow": {"on": True},
            "nothing": None,
            "containerDefinitions": [
                {"name": "web", "restartBudget": 3, "environment": [{"name": "A", "value": "b"}]}
            ],
        }
    }
    httpserver.expect_request("/").respond_with_json(answer)
    found = ecs.task_definition(cloud_at(httpserver.url_for("").rstrip("/")), "web:7")
    assert found is not None
    assert found.newer_fields == ("containerDefinitions[].restartBudget", "fieldOfTomorrow")


@pytest.mark.parametrize("times", [1, 5])
def test_a_concurrent_registration_is_tried_again(
    httpserver: HTTPServer, cloud_at: Any, times: int
) -> None:
    message = "Too many concurrent attempts to create a new revision of the specified family."
    refusal = {"__type": "ClientException", "message": message}
    for _ in range(times):
        httpserver.expect_ordered_request("/").respond_with_json(refusal, status=400)
    made = {
        "taskDefinitionArn": "arn:aws:ecs:us-east-1:1:task-definition/web:8",
        "status": "ACTIVE",
    }
    httpserver.expect_ordered_request("/").respond_with_json({"taskDefinition": made})
    pauses: list[float] = []
    found = ecs.register(cloud_at(httpserver.url_for("").rstrip("/")), DOCUMENT, pauses.append)
    assert found.label == "web:8" and pauses == [0.5, 1.0, 2.0, 4.0, 8.0][:times]


def test_a_registration_that_stays_refused_says_why(httpserver: HTTPServer, cloud_at: Any) -> None:
    message = "Too many concurrent attempts to create a new revision of the specified family."
    refusal = {"__type": "ClientException", "message": message}
    httpserver.expect_request("/").respond_with_json(refusal, status=400)
    with pytest.raises(OpsError, match="another revision of the family is being registered"):
        ecs.register(cloud_at(httpserver.url_for("").rstrip("/")), DOCUMENT, lambda seconds: None)


def test_without_tags_and_platform(running: session.AwsSession) -> None:
    """No tags are not sent as an empty list; no platform is amd64."""
    plain = {key: value for key, value in DOCUMENT.items() if key != "runtimePlatform"} | {
        "family": "plain",
        "tags": [],
    }
    assert ecs.register(running, plain).architecture == "amd64"


@pytest.mark.parametrize(
    "name", ["absent", "web:99", "arn:aws:ecs:us-east-1:123456789012:task-definition/web:99"]
)
def test_a_missing_revision_is_none(running: session.AwsSession, name: str) -> None:
    """No such family or revision."""
    assert ecs.task_definition(running, name) is None


def test_update_service_is_one_call(running: session.AwsSession) -> None:
    """The service points at the new revision; a missing one is refused."""
    second = ecs.register(running, DOCUMENT)
    assert ecs.update_service(running, "main", "web", second.arn).task_definition == second.arn
    with pytest.raises(Refused, match="service absent cannot be updated"):
        ecs.update_service(running, "main", "absent", second.arn)


@pytest.mark.parametrize("answer", [{}, {"services": [], "failures": []}])
def test_an_answer_without_the_service_and_without_a_failure_is_unknown(
    answer: Any, httpserver: HTTPServer, cloud_at: Any
) -> None:
    """Only `failures: MISSING` says that there is none, of one service and of many."""
    httpserver.expect_request("/").respond_with_json(answer)
    with pytest.raises(
        Unreachable, match=r"neither the service nor a failure|answered without services"
    ):
        ecs.service(cloud_at(httpserver.url_for("/")), "main", "web")
    with pytest.raises(
        Unreachable, match=r"neither the service nor a failure|answered without services"
    ):
        ecs.services(cloud_at(httpserver.url_for("/")), "main", ["web", "worker"])


def test_one_of_many_services_is_missing_by_name(running: session.AwsSession) -> None:
    """A wrong name beside a right one."""
    found = ecs.services(running, "main", ["web", "absent"])
    assert found["web"] is not None and found["absent"] is None


@pytest.mark.parametrize(
    ("configuration", "strategy", "bake_s"),
    [
        ({}, "ROLLING", 0),
        ({"strategy": "ROLLING", "bakeTimeInMinutes": 5}, "ROLLING", 0),
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 30}, "BLUE_GREEN", 1800),
        (
            {
                "strategy": "CANARY",
                "bakeTimeInMinutes": 5,
                "canaryConfiguration": {"canaryBakeTimeInMinutes": 10},
            },
            "CANARY",
            900,
        ),
        (
            {
                "strategy": "LINEAR",
                "linearConfiguration": {"stepPercent": 30.0, "stepBakeTimeInMinutes": 6},
            },
            "LINEAR",
            1440,
        ),
    ],
)
def test_how_a_service_deploys(configuration: dict[str, Any], strategy: str, bake_s: float) -> None:
    """Strategy, bake time, controller, alarms and both target groups of a pair."""
    balancer = {
        "targetGroupArn": "blue",
        "advancedConfiguration": {"alternateTargetGroupArn": "green"},
    }
    found = ecs.service_state(
        {
            "serviceName": "web",
            "status": "ACTIVE",
            "desiredCount": 1,
            "runningCount": 1,
            "pendingCount": 0,
            "deployments": [],
            "events": [],
            "deploymentConfiguration": {
                **configuration,
                "alarms": {"enable": True, "rollback": True},
            },
            "deploymentController": {"type": "EXTERNAL"},
            "loadBalancers": [balancer],
        }
    )
    assert (found.strategy, found.bake_s, found.controller, found.rolls_back) == (
        strategy,
        bake_s,
        "EXTERNAL",
        True,
    )
    assert found.load_balancers[0].alternate == "green"


def test_a_refused_update_has_changed_nothing(
    running: session.AwsSession, httpserver: HTTPServer, cloud_at: Any
) -> None:
    """A 4xx at the first attempt is a no; a 5xx may have been carried out."""
    why = "Unable to update task definition on services with a CODE_DEPLOY deployment controller."
    refused = {"__type": "InvalidParameterException", "message": why}
    httpserver.expect_ordered_request("/").respond_with_json(refused, status=400)
    with pytest.raises(OpsError) as error:
        ecs.update_service(cloud_at(httpserver.url_for("/")), "main", "web", "td:2")
    assert error.value.untouched
    httpserver.expect_request("/").respond_with_json(
        {"__type": "ServerException", "message": "x"}, status=500
    )
    with pytest.raises(OpsError) as error:
        ecs.update_service(cloud_at(httpserver.url_for("/")), "main", "web", "td:2")
    assert not error.value.untouched
