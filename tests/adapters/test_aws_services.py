"""ECS, ECR, ELB, logs, secrets and parameters, against moto over HTTP."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.adapters import aws, ecr, ecs, elb, logs, secrets
from ops.errors import ConfigError, Refused, Unreachable

DOCUMENT: dict[str, Any] = {
    "family": "web",
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "requiresCompatibilities": ["FARGATE"],
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "containerDefinitions": [
        {"name": "web", "image": "r/web:1", "essential": True, "portMappings": [{"containerPort": 3000}]},
        {"name": "sidecar", "image": "r/side@sha256:" + "a" * 64, "essential": False},
    ],
    "tags": [{"key": "team", "value": "x"}],
}


@pytest.fixture
def running(cloud: aws.Cloud) -> aws.Cloud:
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
        loadBalancers=[{"targetGroupArn": "arn:aws:elb:tg/1", "containerName": "web", "containerPort": 3000}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}},
    )
    return cloud


def test_a_service_as_it_stands(running: aws.Cloud) -> None:
    """Counts, revision, the primary deployment and the load balancer are told."""
    found = ecs.service(running, "main", "web")
    assert found is not None
    assert (found.name, found.status, found.desired) == ("web", "ACTIVE", 2)
    assert found.task_definition.endswith(":task-definition/web:1")
    assert found.primary is not None and found.deployment(found.primary.id) is found.primary
    assert [(item.container, item.port) for item in found.load_balancers] == [("web", 3000)]
    assert (found.breaker, found.breaker_rollback, found.grace_s) == (False, False, 0)


def test_a_wrong_service_name_is_none_and_a_wrong_cluster_is_refused(running: aws.Cloud) -> None:
    """MISSING under `failures` is no service; a missing cluster is named (exit 3)."""
    assert ecs.service(running, "main", "absent") is None
    with pytest.raises(Refused, match="cluster elsewhere does not exist in us-east-1") as error:
        ecs.service(running, "elsewhere", "web")
    assert error.value.code == 3


def test_a_deleted_service_is_none(running: aws.Cloud) -> None:
    """INACTIVE services stay visible for a while, and are not there."""
    running.client("ecs").delete_service(cluster="main", service="web", force=True)
    assert ecs.service(running, "main", "web") is None


def test_other_failures_are_not_taken_for_missing(httpserver: HTTPServer, cloud_at: Any) -> None:
    """What ECS could not say is unreachable, not absent."""
    httpserver.expect_request("/").respond_with_json({"services": [], "failures": [{"arn": "a", "reason": "ACCESS_DENIED"}]})
    with pytest.raises(Unreachable, match="ACCESS_DENIED"):
        ecs.service(cloud_at(httpserver.url_for("/")), "main", "web")


def test_the_breaker_and_the_grace_period_are_read(httpserver: HTTPServer, cloud_at: Any) -> None:
    """The service's own settings decide whether ECS rolls back."""
    service = {
        "serviceName": "web",
        "status": "ACTIVE",
        "healthCheckGracePeriodSeconds": 60,
        "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
        "deployments": [
            {"id": "ecs-svc/1", "status": "PRIMARY", "failedTasks": 3, "rolloutState": "FAILED", "rolloutStateReason": "breaker"}
        ],
        "events": [{"id": "e1", "createdAt": 1760000000, "message": "(service web) has started 1 tasks"}],
        "loadBalancers": [{"loadBalancerName": "classic", "containerPort": 1}],
    }
    httpserver.expect_request("/").respond_with_json({"services": [service], "failures": []})
    found = ecs.service(cloud_at(httpserver.url_for("/")), "main", "web")
    assert found is not None and (found.breaker, found.breaker_rollback, found.grace_s) == (True, True, 60)
    assert found.primary is not None and (found.primary.failed, found.primary.rollout_state, found.primary.rollout_reason) == (
        3,
        "FAILED",
        "breaker",
    )
    assert found.events[0].at is not None and found.events[0].message.endswith("1 tasks")
    assert found.load_balancers == ()


def test_tasks_are_listed_page_by_page_and_described_in_hundreds(httpserver: HTTPServer, cloud_at: Any) -> None:
    """230 tasks on three pages are three lists and three describes of at most a hundred; one that has gone meanwhile is left out."""
    arns = [f"arn:aws:ecs:us-east-1:1:task/main/{number:04}" for number in range(230)]
    asked: list[Any] = []

    def respond(request: Any) -> Any:
        from werkzeug import Response

        call, body = request.headers["x-amz-target"].rpartition(".")[2], request.get_json(force=True)
        asked.append((call, len(body.get("tasks", ())), body.get("desiredStatus")))
        if call == "ListTasks":
            start = int(body.get("nextToken", 0))
            document: dict[str, Any] = {"taskArns": arns[start : start + 100]}
            if start + 100 < len(arns):
                document["nextToken"] = str(start + 100)
        else:
            there = [arn for arn in body["tasks"] if arn != arns[7]]
            document = {"tasks": [task(arn) for arn in there], "failures": [{"arn": arns[7], "reason": "MISSING"}]}
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
    assert web is not None and (web.exit_code, web.digest, web.reason) == (137, "sha256:b", "OutOfMemoryError: killed")
    never = first.container("never")
    assert never is not None and (never.exit_code, never.digest) == (None, None)


def task(arn: str) -> dict[str, Any]:
    return {
        "taskArn": arn,
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
    httpserver.expect_request("/").respond_with_json({"__type": "ServiceNotFoundException", "message": "Service not found."}, status=400)
    assert ecs.tasks(cloud_at(httpserver.url_for("/")), "main", "web") == ()


def test_a_revision_keeps_everything_when_it_is_registered_again(running: aws.Cloud) -> None:
    """Sidecar, digest, platform and tags survive the round trip; what only AWS writes is not sent back."""
    first = ecs.task_definition(running, "web:1")
    assert first is not None and (first.architecture, first.status, first.label) == ("arm64", "ACTIVE", "web:1")
    assert first.document["tags"] == DOCUMENT["tags"]
    containers = [{**item, "image": "r/web:2"} if item["name"] == "web" else item for item in first.document["containerDefinitions"]]
    second = ecs.register(running, {**first.document, "containerDefinitions": containers})
    assert second.label == "web:2"
    again = ecs.task_definition(running, "web")
    assert again is not None and again.arn == second.arn
    assert [item["image"] for item in again.document["containerDefinitions"]] == ["r/web:2", "r/side@sha256:" + "a" * 64]
    assert again.document["tags"] == DOCUMENT["tags"]
    assert again.document["runtimePlatform"] == DOCUMENT["runtimePlatform"]


def test_without_tags_and_platform(running: aws.Cloud) -> None:
    """No tags are not sent as an empty list; no platform is amd64."""
    plain = {key: value for key, value in DOCUMENT.items() if key != "runtimePlatform"} | {"family": "plain", "tags": []}
    assert ecs.register(running, plain).architecture == "amd64"


@pytest.mark.parametrize("name", ["absent", "web:99", "arn:aws:ecs:us-east-1:123456789012:task-definition/web:99"])
def test_a_missing_revision_is_none(running: aws.Cloud, name: str) -> None:
    """No such family or revision."""
    assert ecs.task_definition(running, name) is None


def test_update_service_is_one_call(running: aws.Cloud) -> None:
    """The service points at the new revision; a missing one is refused."""
    second = ecs.register(running, DOCUMENT)
    assert ecs.update_service(running, "main", "web", second.arn).task_definition == second.arn
    with pytest.raises(Refused, match="service absent cannot be updated"):
        ecs.update_service(running, "main", "absent", second.arn)


def test_repository_image_and_token(cloud: aws.Cloud) -> None:
    """Mutability, an image by its tag, and credentials that show no password."""
    client = cloud.client("ecr")
    client.create_repository(repositoryName="team/web", imageTagMutability="IMMUTABLE")
    client.create_repository(repositoryName="open")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": "sha256:" + "c" * 64, "size": 7},
        "layers": [],
    }
    client.put_image(repositoryName="team/web", imageTag="v1", imageManifest=json.dumps(manifest))
    found = ecr.repository(cloud, "team/web")
    assert found is not None and (found.name, found.immutable, found.uri.endswith("/team/web")) == ("team/web", True, True)
    mutable = ecr.repository(cloud, "open")
    assert mutable is not None and mutable.immutable is False
    image = ecr.image(cloud, "team/web", "v1")
    assert image is not None and image.digest.startswith("sha256:") and image.tag == "v1"
    assert ecr.repository(cloud, "absent") is ecr.image(cloud, "absent", "v1") is ecr.image(cloud, "team/web", "v2") is None
    token = ecr.token(cloud)
    assert token.username == "AWS" and token.password and "amazonaws.com" in token.registry
    assert token.password not in f"{token} {token!r}"


def test_target_group_and_targets(cloud: aws.Cloud) -> None:
    """Health path, port and intervals; targets with state; a missing group is refused by name."""
    vpc = cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    client = cloud.client("elbv2")
    made = client.create_target_group(
        Name="web-tg",
        Protocol="HTTP",
        Port=3000,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckPath="/health",
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=3,
    )
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    client.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.0.0.4", "Port": 3000}])
    group = elb.target_group(cloud, arn)
    assert (group.name, group.port, group.health_path, group.interval_s, group.healthy_threshold, group.unhealthy_threshold) == (
        "web-tg",
        3000,
        "/health",
        30,
        2,
        3,
    )
    assert [(target.id, target.port, target.state) for target in elb.targets(cloud, arn)] == [("10.0.0.4", 3000, "healthy")]
    client.delete_target_group(TargetGroupArn=arn)
    for look in (elb.target_group, elb.targets):
        with pytest.raises(Refused, match="target group web-tg does not exist"):
            look(cloud, arn)


def test_logs(cloud: aws.Cloud) -> None:
    """The group by its exact name, the last lines of a stream, what came since, and silence where there is no stream."""
    client = cloud.client("logs")
    client.create_log_group(logGroupName="/ecs/web-longer")
    assert logs.group_exists(cloud, "/ecs/web") is False
    client.create_log_group(logGroupName="/ecs/web")
    assert logs.group_exists(cloud, "/ecs/web") is True
    assert logs.last_lines(cloud, "/ecs/web", "web/web/1") == ()
    assert logs.since(cloud, "/ecs/web", "web/web/1", None) == ((), None)
    assert logs.last_lines(cloud, "/ecs/absent", "x") == ()
    client.create_log_stream(logGroupName="/ecs/web", logStreamName="web/web/1")
    now = int(time.time() * 1000)
    say(client, [f"line {number}\n" for number in range(30)], now)
    assert logs.last_lines(cloud, "/ecs/web", "web/web/1") == tuple(f"line {number}" for number in range(10, 30))
    lines, token = logs.since(cloud, "/ecs/web", "web/web/1", None)
    assert (len(lines), lines[0]) == (30, "line 0")
    assert logs.since(cloud, "/ecs/web", "web/web/1", token)[0] == ()
    say(client, ["later"], now + 100)
    assert logs.since(cloud, "/ecs/web", "web/web/1", token)[0] == ("later",)


def say(client: Any, lines: list[str], at: int) -> None:
    client.put_log_events(
        logGroupName="/ecs/web",
        logStreamName="web/web/1",
        logEvents=[{"timestamp": at + number, "message": line} for number, line in enumerate(lines)],
    )


def test_secrets_show_names_and_hide_values(cloud: aws.Cloud) -> None:
    """Keys by name, values in no repr, a plain secret without keys, a missing one None or refused."""
    client = cloud.client("secretsmanager")
    client.create_secret(Name="db", SecretString=json.dumps({"username": "app", "password": "HUSH", "port": 5432}))
    client.create_secret(Name="plain", SecretString="HUSH")
    client.create_secret(Name="binary", SecretBinary=b"HUSH")
    assert secrets.keys(cloud, "db") == {"username", "password", "port"}
    assert secrets.keys(cloud, "plain") == secrets.keys(cloud, "binary") == frozenset()
    assert secrets.keys(cloud, "absent") is None
    value = secrets.value(cloud, "db")
    assert (value["password"], value["port"], len(value)) == ("HUSH", "5432", 3)
    assert "HUSH" not in f"{value} {value!r}" and "password" in repr(value)
    with pytest.raises(Refused, match="secret absent does not exist"):
        secrets.value(cloud, "absent")
    with pytest.raises(ConfigError) as error:
        secrets.value(cloud, "plain")
    assert "HUSH" not in str(error.value)


def test_parameters(cloud: aws.Cloud) -> None:
    """A parameter that is missing is no error in SSM, and is not taken for there."""
    cloud.client("ssm").put_parameter(Name="/web/key", Value="HUSH", Type="SecureString")
    assert secrets.parameter_exists(cloud, "/web/key") is True
    assert secrets.parameter_exists(cloud, "/web/other") is False
