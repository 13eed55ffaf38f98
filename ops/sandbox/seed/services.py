"""Task definitions and services, and the wait until both services are steady.

Emulates the live platform: two tasks each, circuit breaker off, secrets by the execution role, both
services logging to CloudWatch Logs.
"""

from __future__ import annotations

import time
from typing import Any

from ops.core.errors import OpsError
from ops.sandbox.contracts import REGION, Timing
from ops.sandbox.seed.account import role_arn
from ops.sandbox.seed.clients import Clients
from ops.sandbox.seed.names import BACKEND, CLUSTER, SERVICES, ServiceSpec
from ops.sandbox.seed.network import Network

_DESIRED = 2
_SECRETS = {
    "DB_HOST": "host",
    "DB_PORT": "port",
    "DB_NAME": "dbname",
    "DB_USERNAME": "username",
    "DB_PASSWORD": "password",
}


def register(clients: Clients, spec: ServiceSpec, image: str, secret: str) -> str:
    """Register the first revision of the service's family and return its ARN."""
    container: dict[str, Any] = {
        "name": spec.name,
        "image": image,
        "essential": True,
        "portMappings": [{"containerPort": spec.port, "protocol": "tcp"}],
        "environment": [{"name": "NODE_ENV", "value": "production"}],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": spec.log_group,
                "awslogs-region": REGION,
                "awslogs-stream-prefix": "ecs",
            },
        },
    }
    if spec is BACKEND:
        container["secrets"] = [
            {"name": name, "valueFrom": f"{secret}:{key}::"} for name, key in _SECRETS.items()
        ]
    made = clients.ecs.register_task_definition(
        family=spec.service,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn=role_arn("execution"),
        taskRoleArn=role_arn("task"),
        containerDefinitions=[container],
        runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
    )
    return str(made["taskDefinition"]["taskDefinitionArn"])


def create(
    clients: Clients, spec: ServiceSpec, revision: str, network: Network, timing: Timing
) -> None:
    """Create the service with its load balancer, with the circuit breaker off."""
    target = {
        "targetGroupArn": network.target_groups[spec.name],
        "containerName": spec.name,
        "containerPort": spec.port,
    }
    place = {
        "subnets": list(network.subnets),
        "securityGroups": [network.groups[spec.name]],
        "assignPublicIp": "DISABLED",
    }
    clients.ecs.create_service(
        cluster=CLUSTER,
        serviceName=spec.service,
        taskDefinition=revision,
        desiredCount=_DESIRED,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": place},
        loadBalancers=[target],
        enableExecuteCommand=True,
        healthCheckGracePeriodSeconds=round(timing.grace),
        deploymentConfiguration={
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        },
    )


def await_steady(clients: Clients, patience: float) -> None:
    """Wait until the deployment of every service is COMPLETED.

    After `patience` seconds, raises OpsError with the reason of a stopped task, else with ECS's
    last event.
    """
    ends = time.monotonic() + patience
    while waiting := [
        service
        for service in _services(clients)
        if service["deployments"][0]["rolloutState"] != "COMPLETED"
    ]:
        if time.monotonic() > ends:
            why = _stopped(clients, waiting[0]["serviceName"]) or _said(waiting[0]["events"])
            raise OpsError(
                f"service {waiting[0]['serviceName']} did not become stable",
                why,
                "see .sandbox/logs/supervisor.log",
            )
        time.sleep(0.1)


def _stopped(clients: Clients, service: str) -> str:
    """Return why the newest stopped task of a service stopped, or an empty string.

    Includes its containers' reasons and exit codes.
    """
    arns = clients.ecs.list_tasks(cluster=CLUSTER, serviceName=service, desiredStatus="STOPPED")[
        "taskArns"
    ]
    if not arns:
        return ""
    tasks = clients.ecs.describe_tasks(cluster=CLUSTER, tasks=arns[:100])["tasks"]
    newest = max(tasks, key=lambda task: task["createdAt"])
    told = [newest.get("stoppedReason", "")]
    for each in newest["containers"]:
        told += [
            each.get("reason", ""),
            f"{each['name']}: exit code {each['exitCode']}" if "exitCode" in each else "",
        ]
    return "; ".join(dict.fromkeys(filter(None, told)))


def _said(events: list[dict[str, Any]]) -> str:
    return str(events[0]["message"]) if events else "it has no events"


def _services(clients: Clients) -> list[dict[str, Any]]:
    names = [spec.service for spec in SERVICES]
    return list(clients.ecs.describe_services(cluster=CLUSTER, services=names)["services"])
