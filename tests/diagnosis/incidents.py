"""Incidents for rule tests: a small healthy platform as AWS describes it, changed by each test.

`world()` returns the documents of a healthy snapshot; a test changes them and calls `find`.
"""

from __future__ import annotations

import copy
from typing import Any

from ops.diagnosis.diagnose import diagnose
from ops.diagnosis.model import Diagnosis, Document, EvidenceSnapshot

AT = "2026-11-28T03:00:00+00:00"
ACCOUNT = "123456789012"
ARN = f"arn:aws:ecs:us-east-1:{ACCOUNT}"
GROUP = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/dev-backend-tg/1"
BALANCER = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:loadbalancer/app/dev-alb/1"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/shop/backend:abc1234"
REVISION = f"{ARN}:task-definition/dev-backend:7"

SUBJECT: dict[str, Any] = {
    "account": ACCOUNT,
    "region": "us-east-1",
    "cluster": "dev",
    "rollout": "ecs",
    "site": "https://example.com",
    "alb": "http://alb.example.com",
    "profile": "",
    "overlay": "",
    "login": "renew the token in /run/token",
    "instance": "dev-db",
    "secret": "dev-db-credentials",
    "terraform": "",
    "origin_protocol": "",
    "services": {
        "backend": {
            "ecs_service": "dev-backend",
            "container": "backend",
            "repository": "shop/backend",
            "health_path": "/api/health",
            "container_port": 3001,
            "log_group": "/ecs/dev-backend",
            "pages": ["/api/health", "/api/projects"],
            "invalidate": [],
        }
    },
}
_DEPLOYMENT = {
    "id": "ecs-svc/1",
    "status": "PRIMARY",
    "taskDefinition": REVISION,
    "desiredCount": 2,
    "runningCount": 2,
    "pendingCount": 0,
    "failedTasks": 0,
    "rolloutState": "COMPLETED",
    "rolloutStateReason": "",
    "createdAt": AT,
}
_SERVICE: dict[str, Any] = {
    "serviceName": "dev-backend",
    "status": "ACTIVE",
    "taskDefinition": REVISION,
    "desiredCount": 2,
    "runningCount": 2,
    "pendingCount": 0,
    "deployments": [_DEPLOYMENT],
    "events": [],
    "loadBalancers": [{"targetGroupArn": GROUP, "containerName": "backend", "containerPort": 3001}],
    "networkConfiguration": {
        "awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-tasks"]}
    },
}
_DEFINITION: dict[str, Any] = {
    "taskDefinitionArn": REVISION,
    "status": "ACTIVE",
    "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/dev-exec",
    "containerDefinitions": [
        {
            "name": "backend",
            "image": IMAGE,
            "essential": True,
            "portMappings": [{"containerPort": 3001}],
            "environment": [{"name": "NODE_ENV", "value": "production"}],
            "secrets": [],
        }
    ],
}
_GROUP: dict[str, Any] = {
    "TargetGroupArn": GROUP,
    "TargetGroupName": "dev-backend-tg",
    "Port": 3001,
    "HealthCheckPath": "/api/health",
    "HealthCheckIntervalSeconds": 30,
    "HealthCheckTimeoutSeconds": 5,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 3,
    "LoadBalancerArns": [BALANCER],
}


_ALL_HTTPS = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
_NETWORK: dict[str, Any] = {
    "ec2/subnets": {
        "subnet-1": {
            "SubnetId": "subnet-1",
            "VpcId": "vpc-1",
            "CidrBlock": "10.0.10.0/24",
            "AvailabilityZone": "us-east-1a",
            "AvailableIpAddressCount": 200,
        }
    },
    "ec2/route-tables": {
        "rtb-main": {
            "RouteTableId": "rtb-main",
            "VpcId": "vpc-1",
            "Associations": [{"Main": True}],
            "Routes": [
                {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"},
                {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"},
            ],
        },
        "rtb-private": {
            "RouteTableId": "rtb-private",
            "VpcId": "vpc-1",
            "Associations": [{"Main": False, "SubnetId": "subnet-1"}],
            "Routes": [
                {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"},
                {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"},
            ],
        },
    },
    "ec2/nat-gateways": {
        "nat-1": {
            "NatGatewayId": "nat-1",
            "State": "available",
            "SubnetId": "subnet-public",
            "VpcId": "vpc-1",
            "ConnectivityType": "public",
        }
    },
    "ec2/endpoints": {},
    "ec2/security-groups": {
        "sg-tasks": {
            "GroupId": "sg-tasks",
            "IpPermissions": [],
            "IpPermissionsEgress": _ALL_HTTPS,
        }
    },
}


def target(address: str, state: str = "healthy", reason: str = "", text: str = "") -> Any:
    """A target of DescribeTargetHealth."""
    health = {"State": state, "Reason": reason, "Description": text}
    return {"Target": {"Id": address, "Port": 3001}, "TargetHealth": health}


def task(name: str, **fields: Any) -> dict[str, Any]:
    """A task of DescribeTasks: running, or as `fields` say."""
    container = {"name": "backend", "image": "shop/backend:abc1234", "lastStatus": "RUNNING"}
    return {
        "taskArn": f"{ARN}:task/dev/{name}",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "startedBy": "ecs-svc/1",
        "taskDefinitionArn": REVISION,
        "containers": [container],
        "createdAt": AT,
        **fields,
    }


def stopped(name: str, reason: str, code: str = "", exit_code: int | None = None) -> dict[str, Any]:
    """A stopped task, with ECS's reason and the exit code of its container."""
    container = {"name": "backend", "image": "shop/backend:abc1234", "lastStatus": "STOPPED"}
    if exit_code is not None:
        container["exitCode"] = exit_code  # type: ignore[assignment]
    return task(
        name,
        lastStatus="STOPPED",
        desiredStatus="STOPPED",
        stoppedReason=reason,
        stopCode=code,
        containers=[container],
        stoppedAt=AT,
    )


def world() -> dict[str, Any]:
    """The documents of a healthy platform, for a test to change."""
    return copy.deepcopy(
        {
            "ecs/services": {"dev-backend": _SERVICE},
            "ecs/tasks": {"dev-backend": {"running": [task("a"), task("b")], "stopped": []}},
            "ecs/task-definitions": {"dev-backend:7": {"taskDefinition": _DEFINITION}},
            "elb/target-groups": {GROUP: _GROUP},
            "elb/targets": {GROUP: [target("10.0.1.2"), target("10.0.1.3")]},
            "elb/load-balancers": {BALANCER: {"LoadBalancerArn": BALANCER}},
            "elb/listeners": {BALANCER: []},
            "sweep": {"healthy": True, "checks": []},
            "releases": {"backend": []},
            "logs/stopped": {"dev-backend": {}},
            "ecr/images": {},
            "iam/roles": {},
            "iam/pull-decisions": {},
            "secrets": {},
            **_NETWORK,
        }
    )


def failing(reason: str, code: str = "TaskFailedToStart", exit_code: int | None = None) -> Any:
    """A deployment in progress whose two tasks stopped for this reason; "": none started."""
    documents = world()
    service = documents["ecs/services"]["dev-backend"]
    service["runningCount"] = service["deployments"][0]["runningCount"] = 0
    service["deployments"][0]["rolloutState"] = "IN_PROGRESS"
    documents["ecs/tasks"]["dev-backend"] = {
        "running": [],
        "stopped": [stopped(name, reason, code, exit_code) for name in "xy"] if reason else [],
    }
    return documents


def event(message: str) -> dict[str, Any]:
    """A service event of DescribeServices."""
    return {"id": "1", "createdAt": AT, "message": message}


def snapshot(documents: dict[str, Any], unknown: dict[str, str] | None = None) -> EvidenceSnapshot:
    """A snapshot of these documents; `unknown`: key → why it could not be read."""
    found = {key: Document(key, key, AT, value) for key, value in documents.items()}
    for key, why in (unknown or {}).items():
        found[key] = Document(key, key, AT, unknown=why)
    return EvidenceSnapshot("dev", AT, 1.0, SUBJECT, found)


def find(documents: dict[str, Any], unknown: dict[str, str] | None = None) -> Diagnosis:
    return diagnose(snapshot(documents, unknown))


def causes(found: Diagnosis) -> list[str]:
    """The names of the root causes, in their order. No rule may have raised an error."""
    assert not found.broken_rules, found.broken_rules
    return [each.cause for each in found.roots]
