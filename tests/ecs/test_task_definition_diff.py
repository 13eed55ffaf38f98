"""The differences of two task definitions, by table."""

from __future__ import annotations

from typing import Any

import pytest

from ops.ecs.rules.task_definition_diff import task_definition_diff

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-db-AbCdEf"


def document(**changes: Any) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": "registry/app:1",
        "environment": [{"name": "LOG", "value": "info"}, {"name": "API_TOKEN", "value": "abcdef"}],
        "secrets": [{"name": "DB", "valueFrom": f"{SECRET}:url::"}],
        "portMappings": [{"containerPort": 3001, "hostPort": 3001, "protocol": "tcp"}],
    }
    own = {key: changes.pop(key) for key in tuple(changes) if key in (*container, "command")}
    task = {"family": "app", "revision": 1, "status": "ACTIVE", "cpu": "256", "memory": "512"}
    return {**task, **changes, "containerDefinitions": [{**container, **own}]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"revision": 9, "status": "INACTIVE", "registeredBy": "me"}, []),
        ({"tags": [], "command": None}, []),
        ({"image": "registry/app:2"}, ["app image: registry/app:1 → registry/app:2"]),
        ({"cpu": "512"}, ["cpu: 256 → 512"]),
        ({"memory": "1024", "cpu": "1024"}, ["cpu: 256 → 1024", "memory: 512 → 1024"]),
        ({"taskRoleArn": "arn:role/a"}, ["taskRoleArn: + arn:role/a"]),
        (
            {"portMappings": [{"containerPort": 80, "hostPort": 8080}]},
            ["app ports: 3001/tcp → 8080:80/tcp"],
        ),
        ({"portMappings": []}, ["app ports: - 3001/tcp"]),
        ({"secrets": []}, ["app secret DB: - dev-db-AbCdEf:url"]),
        (
            {"secrets": [{"name": "DB", "valueFrom": f"{SECRET}:dsn::"}]},
            ["app secret DB: dev-db-AbCdEf:url → dev-db-AbCdEf:dsn"],
        ),
        (
            {"secrets": [{"name": "DB", "valueFrom": "/dev/db/url"}]},
            ["app secret DB: dev-db-AbCdEf:url → /dev/db/url"],
        ),
        (
            {"command": ["serve"], "volumes": [{"name": "data"}]},
            ["app command: + …", "volumes: + …"],
        ),
    ],
)
def test_differences(changes: dict[str, Any], expected: list[str]) -> None:
    found = task_definition_diff(document(), document(**changes))
    assert [str(each) for each in found] == expected


def test_environment_values_are_printed_unless_their_name_is_a_secret_s() -> None:
    changed = [{"name": "LOG", "value": "debug"}, {"name": "API_TOKEN", "value": "uvwxyz"}]
    changed.append({"name": "NEW", "value": ""})
    found = task_definition_diff(document(), document(environment=changed))
    assert [str(each) for each in found] == [
        "app API_TOKEN: (hidden) → (another value, hidden)",
        'app LOG: "info" → "debug"',
        'app NEW: + ""',
    ]
    assert found[2].as_document() == {"what": "app NEW", "before": None, "after": '""'}


def test_a_changed_key_that_is_too_complex_to_print_is_named() -> None:
    found = task_definition_diff(document(command=["a"]), document(command=["b"]))
    assert [str(each) for each in found] == ["app command: changed"]


def test_containers_that_come_and_go() -> None:
    sidecar = {"name": "log", "image": "fluent:1"}
    one = document()
    two = {**one, "containerDefinitions": [*one["containerDefinitions"], sidecar]}
    assert [str(each) for each in task_definition_diff(one, two)] == ["container log: + fluent:1"]
    assert [str(each) for each in task_definition_diff(two, one)] == ["container log: - fluent:1"]
