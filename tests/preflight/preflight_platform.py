"""A platform to gather from: moto's plain server as AWS, a real git checkout with its origin, one
HTTP server as site and engine.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
from pytest_httpserver import HTTPServer

from ops.core.config.settings import Environment, Service, Settings

ACCOUNT = "123456789012"
REGION = "us-east-1"
KEYS = {"access_key": "AKIATEST00000000", "secret_key": "test"}
CLOSED = "tcp://127.0.0.1:1"


def client(endpoint: str, name: str) -> Any:
    return boto3.client(
        name,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
    )


def seeded(endpoint: str) -> str:
    """One service behind a target group, its secret, log group and repository; the secret's ARN."""
    secret = client(endpoint, "secretsmanager").create_secret(
        Name="db", SecretString='{"username": "u", "password": "hunter2"}'
    )["ARN"]
    client(endpoint, "ssm").put_parameter(Name="/dev/mode", Value="x", Type="String")
    client(endpoint, "logs").create_log_group(logGroupName="/ecs/backend")
    client(endpoint, "ecr").create_repository(
        repositoryName="davidshaevel/backend", imageTagMutability="IMMUTABLE"
    )
    vpc = client(endpoint, "ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    group = client(endpoint, "elbv2").create_target_group(
        Name="backend-tg",
        Protocol="HTTP",
        Port=3001,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckPath="/api/health",
    )["TargetGroups"][0]["TargetGroupArn"]
    ecs = client(endpoint, "ecs")
    ecs.create_cluster(clusterName="dev")
    ecs.register_task_definition(
        family="backend",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/execution",
        containerDefinitions=[
            {
                "name": "backend",
                "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/davidshaevel/backend:old",
                "portMappings": [{"containerPort": 3001}],
                "secrets": [
                    {"name": "PASSWORD", "valueFrom": f"{secret}:password::"},
                    {"name": "MODE", "valueFrom": "/dev/mode"},
                ],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "/ecs/backend"},
                },
            }
        ],
    )
    balancer = {"targetGroupArn": group, "containerName": "backend", "containerPort": 3001}
    ecs.create_service(
        cluster="dev",
        serviceName="dev-backend",
        taskDefinition="backend",
        desiredCount=2,
        loadBalancers=[balancer],
    )
    return str(secret)


def git(path: Path, *words: str) -> str:
    command = [
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "commit.gpgsign=false",
        *words,
    ]
    return subprocess.run(
        command, cwd=path, check=True, capture_output=True, text=True
    ).stdout.strip()


def checkout(folder: Path) -> Path:
    """A commit on main, pushed to a bare origin beside it."""
    path = folder / "platform"
    path.joinpath("backend").mkdir(parents=True)
    path.joinpath("backend", "Dockerfile").write_text("FROM scratch\n")
    git(folder, "init", "-q", "--bare", "-b", "main", "origin.git")
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "Say hello")
    git(path, "remote", "add", "origin", str(folder / "origin.git"))
    git(path, "push", "-q", "-u", "origin", "main")
    return path


def answering(server: HTTPServer) -> None:
    """The site's health path, and as much of the Docker Engine API as a look takes."""
    version = {
        "Version": "27.1",
        "ApiVersion": "1.43",
        "MinAPIVersion": "1.24",
        "Arch": "amd64",
        "Os": "linux",
    }
    for path in ("/version", "/v1.43/version"):
        server.expect_request(path).respond_with_json(version)
    server.expect_request(re.compile(r"/v1\.43/images/.*")).respond_with_json(
        {"message": "No such image"}, status=404
    )
    server.expect_request("/api/health").respond_with_json({"status": "ok"})


def settings(folder: Path, endpoint: str, server: HTTPServer, **changes: Any) -> Settings:
    """An environment with the service `backend`; `service` in `changes` is merged over it."""
    service = {
        "ecs_service": "dev-backend",
        "container": "backend",
        "repository": "davidshaevel/backend",
        "context": "backend",
        "tests": ["python3", "-c", "print('all well')"],
        "container_port": 3001,
        "health_path": "/api/health",
        "log_group": "/ecs/backend",
        "endpoints": [
            {"path": "/api/health", "content_type": "application/json", "expect": {"status": "ok"}}
        ],
        **changes.pop("service", {}),
    }
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "region": REGION,
        "cluster": "dev",
        "aws": {"endpoint": endpoint, **KEYS},
        "source": str(folder / "platform"),
        "site": server.url_for("").rstrip("/"),
        "engine": f"tcp://{server.host}:{server.port}",
        "services": {"backend": Service.model_validate(service)},
        **changes,
    }
    return Settings(name="test", root=folder, environment=Environment.model_validate(values))
