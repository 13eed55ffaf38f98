"""A release with nothing wrong, and how one thing goes wrong in it, for the preflight tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ops.aws.facts import (
    Deployment,
    Identity,
    Image,
    LoadBalancer,
    Repository,
    ServiceState,
    TargetGroup,
    TaskDefinition,
)
from ops.cdn.facts import Distribution
from ops.core.config.database import Database
from ops.core.config.settings import Environment, Service
from ops.core.findings import Unknown
from ops.http.facts import Answer
from ops.preflight.facts import ReleaseFacts, SchemaRevision, TestRun
from ops.preflight.model import Item
from ops.preflight.rules.checks import check
from ops.tools.facts import AbsentContent, Checkout, Commit, EngineInfo

FULL = "3f2a1bc4d5e6f708192a3b4c5d6e7f8091a2b3c4"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"
GROUP = (
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:"
    "targetgroup/dev-backend-tg/0123456789abcdef"
)
COMMIT = Commit(
    FULL, FULL[:7], "Show the version", "2025-11-02T10:00:00+00:00", "git@example.com:platform.git"
)
ENDPOINT = {"path": "/api/health"}
NO = Unknown("it did not answer")
DISTRIBUTION = Distribution("E1", "d1.cloudfront.net", "Deployed", True, ("example.com",), "")
SERVICE = Service(
    ecs_service="dev-backend",
    container="backend",
    repository="davidshaevel/backend",
    tests=["python3", "-m", "unittest"],
    container_port=3001,
    health_path="/api/health",
    log_group="/ecs/backend",
    endpoints=[ENDPOINT],
    invalidate=["/*"],
)
ENVIRONMENT = Environment(
    account="123456789012",
    region="us-east-1",
    cluster="dev",
    services={"backend": SERVICE},
    database=Database(secret="db"),
    source="../platform",
    aws={"profile": "davidshaevel-dev"},
)


def definition(**changes: Any) -> TaskDefinition:
    container = {
        "name": "backend",
        "image": "registry/davidshaevel/backend:old",
        "portMappings": [{"containerPort": 3001}],
        "secrets": [
            {"name": "DB_PASSWORD", "valueFrom": f"{SECRET}:password::"},
            {"name": "MODE", "valueFrom": "/dev/mode"},
        ],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/backend"}},
    }
    document: dict[str, Any] = {
        "containerDefinitions": [{**container, **changes.pop("container", {})}],
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "requiresCompatibilities": ["FARGATE"],
        **changes.pop("document", {}),
    }
    values = {
        "arn": "arn:aws:ecs:us-east-1:123456789012:task-definition/backend:7",
        "status": "ACTIVE",
        "architecture": "amd64",
    }
    return TaskDefinition(**{**values, **changes}, document=document)


DEPLOYMENT = Deployment("ecs-svc/1", "PRIMARY", "…/backend:7", 2, 2, 0, 0, "COMPLETED", "")
STATE = ServiceState(
    "dev-backend",
    "ACTIVE",
    "…/backend:7",
    2,
    2,
    0,
    (DEPLOYMENT,),
    (),
    (LoadBalancer(GROUP, "backend", 3001),),
)
TARGET_GROUP = TargetGroup(GROUP, "dev-backend-tg", 3001, "/api/health", 30, 2, 3)
CHECKOUT = Checkout("main", (), True, COMMIT)
READY = ReleaseFacts(
    service="backend",
    environment="dev",
    requested_tag=None,
    checkout=CHECKOUT,
    identity=Identity("123456789012", "arn:aws:sts::123456789012:assumed-role/dev/me"),
    tools={"python": "Python 3.11.2", "git": "git version 2.39.2"},
    tests=TestRun(("python3", "-m", "unittest"), 0, "OK"),
    engine=EngineInfo("27.1", "1.46", "x86_64"),
    local_image=None,
    repository=Repository("davidshaevel/backend", "registry/davidshaevel/backend", True),
    image=None,
    state=STATE,
    revision=definition(),
    running=(),
    target_groups=(TARGET_GROUP,),
    targets=(),
    secrets={SECRET: frozenset({"username", "password"}), "/dev/mode": frozenset()},
    log_groups={"/ecs/backend": True},
    schema=SchemaRevision(None),
    answers=(Answer("/api/health", 200, "application/json", 0.1),),
    absent_content=AbsentContent(),
    distribution=DISTRIBUTION,
)
TAGGED: dict[str, Any] = {
    "requested_tag": "v1",
    "checkout": None,
    "engine": None,
    "tests": None,
    "tools": {"python": "Python 3.11.2"},
}


def image(**changes: Any) -> Image:
    return replace(Image("sha256:1", FULL[:7], 1, None, FULL, "amd64"), **changes)


def answer(name: str, environment: Environment = ENVIRONMENT, **changes: Any) -> Item:
    items = check(replace(READY, **changes), environment, frozenset())
    return next(item for item in items if item.name == name)


def environment(**changes: Any) -> Environment:
    """The environment with changes, also to its service; `...` leaves a key out."""
    values = {**SERVICE.model_dump(), **changes.pop("service", {})}
    service = Service.model_validate({key: each for key, each in values.items() if each != ...})
    return ENVIRONMENT.model_copy(update={"services": {"backend": service}, **changes})


def log(**options: str) -> dict[str, Any]:
    return {
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/ecs/other", **options},
        }
    }
