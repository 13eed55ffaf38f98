"""The variables of the sample's Terraform that describe the services' surroundings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.sandbox.contracts import ACCOUNT, REGION
from ops.sandbox.seed.clients import Clients
from ops.sandbox.seed.names import CLUSTER, SERVICES, ServiceSpec

_FILE = "platform.auto.tfvars.json"


def write(directory: Path, clients: Clients) -> None:
    """Write the variables next to Terraform's files, once both services exist."""
    (directory / _FILE).write_text(json.dumps(_describe(clients), indent=2) + "\n")


def _describe(clients: Clients) -> dict[str, Any]:
    """Return the environment's variables except images, read from the current services."""
    return {
        "cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}",
        **{spec.name: _describe_service(clients, spec) for spec in SERVICES},
    }


def _describe_service(clients: Clients, spec: ServiceSpec) -> dict[str, Any]:
    service = clients.ecs.describe_services(cluster=CLUSTER, services=[spec.service])["services"][0]
    definition = clients.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])[
        "taskDefinition"
    ]
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    balancer = service["loadBalancers"][0]
    container = next(
        each for each in definition["containerDefinitions"] if each["name"] == spec.name
    )
    return {
        "family": definition["family"],
        "task_definition": service["taskDefinition"],
        "cpu": definition["cpu"],
        "memory": definition["memory"],
        "execution_role": definition["executionRoleArn"],
        "task_role": definition["taskRoleArn"],
        "container": {key: value for key, value in container.items() if key != "image"},
        "service": service["serviceName"],
        "desired_count": service["desiredCount"],
        "grace": service["healthCheckGracePeriodSeconds"],
        "target_group": balancer["targetGroupArn"],
        "port": balancer["containerPort"],
        "subnets": network["subnets"],
        "security_groups": network["securityGroups"],
    }
