"""The rules of `env.check` by table: what the configuration has against what the world has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.aws.facts import Identity, LoadBalancer, ServiceState, TargetGroup, TaskDefinition
from ops.cdn.facts import Distribution
from ops.core.config.database import Database
from ops.core.config.settings import Cdn, Environment, Service
from ops.core.findings import Denial, Unknown
from ops.environment.check import _unique
from ops.environment.model import (
    ConfigurationCheck,
    KeyComparison,
    absent,
    compare,
    not_read,
    same,
)
from ops.environment.rules import parts
from ops.environment.rules import service as rules

SERVICE = Service(
    ecs_service="backend",
    container="backend",
    repository="app/backend",
    container_port=3001,
    health_path="/api/health",
    log_group="/ecs/backend",
    endpoints=[{"path": "/api/health"}],
)
CONTAINER: dict[str, Any] = {
    "name": "backend",
    "image": "1.dkr.ecr.us-east-1.amazonaws.com/app/backend:abc",
    "portMappings": [{"containerPort": 3001}],
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/backend"}},
}
SIDECAR = {"name": "proxy", "image": "envoy:1"}
STATE = ServiceState(
    "backend", "ACTIVE", "backend:7", 1, 1, 0, (), (), (LoadBalancer("tg", "backend", 3001),)
)
GROUP = TargetGroup("tg", "dev-tg", 3001, "/api/health", 10, 2, 2)
ENVIRONMENT = Environment(
    account="123456789012", region="r", cluster="c", services={"backend": SERVICE}
)
DISTRIBUTION = Distribution(
    "E1", "d1.cloudfront.net", "Deployed", True, ("a.example",), "A", ("alb.example http-only",)
)


def revision(*containers: dict[str, Any]) -> TaskDefinition:
    arn = "arn:aws:ecs:us-east-1:1:task-definition/backend:7"
    return TaskDefinition(arn, "ACTIVE", "amd64", {"containerDefinitions": list(containers)})


def lines(found: Any) -> list[str]:
    """What a person reads of the comparisons that are not the same."""
    return [each.text("dev", "") for each in found if each.status != "same"]


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([CONTAINER, SIDECAR], []),
        (
            [{**CONTAINER, "name": "api"}],
            ['container: configured "backend", task definition backend:7 has "api"'],
        ),
        (
            [{**CONTAINER, "name": "api", "portMappings": [{"containerPort": 80}]}],
            [
                'container: configured "backend", task definition backend:7 has "api"',
                "container_port: configured 3001, task definition backend:7 has 80",
            ],
        ),
        (
            [{**CONTAINER, "image": "app/other@sha256:1"}],
            ['repository: configured "app/backend", task definition backend:7 has "app/other"'],
        ),
        (
            [{**CONTAINER, "portMappings": []}],
            ["container_port: configured 3001, task definition backend:7 has none"],
        ),
        (
            [{**CONTAINER, "logConfiguration": None}],
            ['log_group: configured "/ecs/backend", task definition backend:7 uses no log driver'],
        ),
    ],
)
def test_a_task_definition_that_has_moved_on(
    containers: list[dict[str, Any]], expected: list[str]
) -> None:
    """Container, port, log group and repository, each by itself."""
    found = lines(rules.task_definition("services.backend", SERVICE, revision(*containers)))
    assert found == [f"~ environments.dev.services.backend.{each}" for each in expected]


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("1.dkr.ecr.us-east-1.amazonaws.com/app/backend", []),
        (
            "2.dkr.ecr.us-east-1.amazonaws.com/app/backend",
            ["1.dkr.ecr.us-east-1.amazonaws.com/app/backend"],
        ),
    ],
)
def test_a_repository_of_another_account_is_compared_by_its_uri(
    repository: str, expected: list[str]
) -> None:
    """Configured by its URI, it is another one if only its name is the same."""
    service = SERVICE.model_copy(update={"repository": repository})
    found = rules.task_definition("services.backend", service, revision(CONTAINER))
    assert [each.found for each in found if each.status != "same"] == [[each] for each in expected]


def test_a_container_that_cannot_be_identified_leaves_its_values_unknown() -> None:
    """Two containers, none with the configured name: their ports are not compared by chance."""
    containers = ({**CONTAINER, "name": "api"}, SIDECAR)
    found = list(rules.task_definition("services.backend", SERVICE, revision(*containers)))
    assert found[0].status == "different" and found[0].found == ["api", "proxy"]
    assert [each.status for each in found[1:]] == ["unknown"] * 3


def test_a_task_definition_that_could_not_be_read_is_unknown() -> None:
    """Denied: the values are unknown, never the same."""
    denied = Unknown("denied", Denial("me", "ecs:DescribeTaskDefinition"))
    found = list(rules.task_definition("services.backend", SERVICE, denied))
    assert {each.status for each in found} == {"unknown"} and len(found) == 4
    assert "missing permission: ecs:DescribeTaskDefinition" in found[0].text("dev", "")


@pytest.mark.parametrize(
    ("state", "groups", "expected"),
    [
        (STATE, (GROUP,), []),
        (
            STATE,
            (replace(GROUP, health_path="/health"),),
            ['health_path: configured "/api/health", target group dev-tg has "/health"'],
        ),
        (
            replace(STATE, load_balancers=(LoadBalancer("tg", "backend", 80),)),
            (GROUP,),
            ["container_port: configured 3001, the load balancer of backend has 80"],
        ),
        (
            replace(STATE, load_balancers=()),
            (),
            [
                'health_path: configured "/api/health", the service backend has no target group',
                'endpoints: configured "/api/health", the service backend has no target group',
            ],
        ),
    ],
)
def test_target_groups(
    state: ServiceState, groups: tuple[TargetGroup, ...], expected: list[str]
) -> None:
    """The health check, the port, and that there is one at all."""
    found = lines(rules.target_groups("services.backend", SERVICE, state, groups))
    assert found == [f"~ environments.dev.services.backend.{each}" for each in expected]


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("1.dkr.ecr.us-east-1.amazonaws.com/app/backend:abc", "app/backend"),
        ("localhost:5000/app@sha256:12", "app"),
        ("localhost/app", "app"),
        ("nginx:1.27", "nginx"),
        ("library/nginx", "library/nginx"),
        ("", ""),
    ],
)
def test_the_repository_of_an_image(image: str, repository: str) -> None:
    """Without registry, tag and digest."""
    assert rules.image_repository(image) == repository


def test_a_missing_service_names_the_nearest() -> None:
    """All of a few; of many, those like it; none if they could not be listed."""
    few = rules.missing_service("k", "backend", "c", ("api", "web"))
    assert few.text("dev", "f:1:1") == (
        '~ environments.dev.k: configured "backend", the cluster c has no such service; near it: '
        "api, web (f:1:1)"
    )
    many = rules.missing_service("k", "backend", "c", ("a", "b", "c", "d", "e", "dev-backend"))
    assert many.near == ("dev-backend",)
    assert rules.missing_service("k", "backend", "c", Unknown("denied")).near == ()


@pytest.mark.parametrize(
    ("cdn", "site", "expected"),
    [
        ({"alias": "a.example"}, "https://a.example", []),
        ({"alias": "A.example"}, None, ['cdn.alias: configured "A.example"']),
        ({"comment": "B"}, None, ['cdn.comment: configured "B", distribution E1 has "A"']),
        ({"origin": "https-only", "alias": "a.example"}, None, ['cdn.origin: configured "https-']),
        ({"alias": "a.example"}, "https://b.example", ['site: configured "b.example"']),
        ({"alias": "a.example"}, "https://d1.cloudfront.net/", []),
        ({"alias": "a.example"}, "http://127.0.0.1:80", []),
        ({}, "https://b.example", []),
    ],
)
def test_the_distribution(cdn: dict[str, str], site: str | None, expected: list[str]) -> None:
    """Its aliases, comment and origins; an address of this machine is no name of it."""
    environment = ENVIRONMENT.model_copy(update={"cdn": Cdn(**cdn), "site": site})
    found = lines(parts.cdn(environment, DISTRIBUTION))
    assert len(found) == len(expected)
    for line, begin in zip(found, expected, strict=True):
        assert line.startswith(f"~ environments.dev.{begin}")


@pytest.mark.parametrize(
    ("database", "keys", "expected"),
    [
        ({}, {"username", "password", "host", "dbname"}, ""),
        ({"host": "h", "name": "d"}, {"username", "password"}, ""),
        ({"instance": "i"}, {"username", "password"}, ""),
        ({"instance": "i"}, {"username"}, "password, username, and it has no password"),
        (
            {},
            {"username", "password"},
            "dbname, host, password, username, and it has no dbname, host",
        ),
        ({}, set(), "and it has no dbname, host, password, username"),
        ({}, None, "Secrets Manager has no such secret"),
    ],
)
def test_the_keys_of_the_secret(
    database: dict[str, str], keys: set[str] | None, expected: str
) -> None:
    """What a connection needs and the configuration does not have; no value is ever read here."""
    given = frozenset(keys) if keys is not None else None
    found = lines([parts.secret(Database(secret="s", **database), given)])
    assert bool(found) is bool(expected) and all(expected in line for line in found)


def test_the_account_cluster_load_balancer_and_instance() -> None:
    """The rest, each same and different."""
    me = Identity("123456789012", "arn:me")
    assert parts.account("123456789012", me).status == "same"
    assert parts.account("2", me).found == ["123456789012"]
    assert parts.cluster("c", "ACTIVE", ()).status == "same"
    assert parts.cluster("c", "INACTIVE", ()).source == "ECS has it as INACTIVE"
    assert parts.cluster("cc", None, ("c",)).near == ("c",)
    assert parts.load_balancer("http://A.elb", "a.elb", ("A.elb",)).status == "same"
    assert parts.load_balancer("http://b.elb", "b.elb", ("a.elb",)).near == ("a.elb",)
    assert parts.instance("i", "postgres", "stopped").status == "same"
    assert parts.instance("i", "mysql", "available").status == "different"
    managed = parts.instance("i", "postgres", "available", "impaired")
    assert managed.source == "RDS (available; it manages the secret: impaired)"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://a.example/x", "a.example"),
        ("http://127.0.0.1:1", None),
        ("http://[::1]:1", None),
        ("http://localhost", None),
        (None, None),
    ],
)
def test_names_and_addresses(address: str | None, host: str | None) -> None:
    """Only a name can be compared with AWS's names."""
    assert parts.host_name(address) == host


def test_the_report_counts_and_folds() -> None:
    """A line for a difference, one for each reason of what is unknown, and the totals."""
    denied = Unknown("no", Denial("me", "x:Y"))
    found: tuple[KeyComparison, ...] = (
        compare("a", 1, [2], "S"),
        absent("b", "x", "S has no such thing"),
        not_read("c", "x", denied),
        not_read("d", "x", denied),
        same("e", 1, "S"),
    )
    report = ConfigurationCheck("dev", found, {"a": "f:1:2"})
    assert report.text.splitlines() == [
        "~ environments.dev.a: configured 1, S has 2 (f:1:2)",
        '~ environments.dev.b: configured "x", S has no such thing',
        "? 2 keys not read: no (missing permission: x:Y)",
        "    c, d",
        "2 different, 2 unknown, 1 as configured",
    ]
    assert report.exit_code == 1
    assert report.document["unknown"][0] == {
        "key": "environments.dev.c",
        "why": "no",
        "permission": "x:Y",
        "place": None,
    }
    assert ConfigurationCheck("dev", (same("e", 1, "S"),)).exit_code == 0
    assert ConfigurationCheck("dev", (not_read("c", 1, denied),)).exit_code == 1


def test_a_key_is_the_same_only_if_nothing_contradicts() -> None:
    """The task definition agrees and ECR has no such repository: different, once."""
    agreed, missing = same("r", "x", "task definition"), absent("r", "x", "ECR has none")
    assert _unique([agreed, missing, missing]) == (missing,)
    unread = not_read("r", "x", Unknown("no"))
    assert _unique([agreed, unread]) == (unread,)
    assert _unique([unread, missing]) == (missing,)
