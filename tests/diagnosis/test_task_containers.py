"""Containers that exit or are unhealthy, and capacity: by logs, exit codes, events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.diagnosis.incidents import GROUP, causes, event, failing, find, stopped, target, task

EXITED = "Essential container in task exited"


def crashed(*lines: str, exit_code: int = 1) -> dict[str, Any]:
    documents = failing(EXITED, "EssentialContainerExited", exit_code)
    for name in ("x", "y"):
        documents["logs/stopped"]["dev-backend"][name] = list(lines)
    return documents


def previous(documents: dict[str, Any], *names: str) -> dict[str, Any]:
    """The release before this one set these variables."""
    definition = documents["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    arn = definition["taskDefinitionArn"].replace(":7", ":6")
    container = {
        **definition["containerDefinitions"][0],
        "environment": [{"name": name, "value": "1"} for name in names],
    }
    documents["ecs/task-definitions"]["dev-backend:6"] = {
        "taskDefinition": {
            **definition,
            "taskDefinitionArn": arn,
            "containerDefinitions": [container],
        }
    }
    documents["releases"]["backend"] = [{"task_definition": arn, "verdict": "succeeded"}]
    return documents


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("KeyError: 'SESSION_STORE'", "SESSION_STORE"),
        (
            '{"level": "error", "message": "cannot start: SESSION_STORE is not set"}',
            "SESSION_STORE",
        ),
        ("Error: Missing required environment variable: JWT_SECRET", "JWT_SECRET"),
        ("Error: Environment variable not found: DATABASE_URL.", ""),
        ("panic: required key REDIS_URL missing value", "REDIS_URL"),
        ("/entrypoint.sh: line 3: API_KEY: unbound variable", "API_KEY"),
        ("sh: 1: API_KEY: parameter not set", "API_KEY"),
        ("Could not resolve placeholder 'SPRING_URL' in value", "SPRING_URL"),
        ("environment variable 'S3_BUCKET' is required", "S3_BUCKET"),
        ("NODE_ENV is not set", ""),
        ("KeyError: 'name'", ""),
        ("ERROR is not set up", ""),
        ("connected to the database", ""),
    ],
)
def test_the_log_names_a_variable(line: str, name: str) -> None:
    """NODE_ENV is set in this definition, so it is not what is missing."""
    found = find(crashed("starting", line))
    expected = [] if not name else ["environment_missing"]
    assert causes(found) == expected
    if name:
        finding = found.roots[0].candidate.finding
        assert f"because {name} is not set in dev-backend:7" in finding.summary
        assert finding.evidence[0].text == line and finding.confidence == "likely"


def test_the_revision_before_set_it() -> None:
    documents = previous(crashed("KeyError: 'SESSION_STORE'"), "SESSION_STORE", "NODE_ENV")
    finding = find(documents).roots[0].candidate.finding
    assert finding.confidence == "certain" and "which dev-backend:6 set" in finding.summary
    assert finding.fix == ("inv backend.rollback --to dev-backend:6",)


def test_without_a_revision_before_no_rollback_is_offered() -> None:
    """It would be refused."""
    assert find(crashed("KeyError: 'SESSION_STORE'")).roots[0].candidate.finding.fix == ()


def side(code: int, own: int | None, essential: bool = True) -> dict[str, Any]:
    documents = failing(EXITED, "EssentialContainerExited", own)
    definition = documents["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    definition["containerDefinitions"].append(
        {"name": "proxy", "image": "proxy:1", "essential": essential}
    )
    for each in documents["ecs/tasks"]["dev-backend"]["stopped"]:
        each["containers"].append(
            {"name": "proxy", "image": "proxy:1", "lastStatus": "STOPPED", "exitCode": code}
        )
    return documents


@pytest.mark.parametrize(
    ("code", "own", "essential", "found"),
    [
        (1, 143, True, "certain"),
        (1, 0, True, "certain"),
        (2, 137, True, "certain"),
        (0, 143, True, "likely"),
        (0, 0, True, ""),
        (143, 1, True, ""),
        (1, 1, True, ""),
        (137, 0, True, ""),
        (1, 143, False, ""),
    ],
)
def test_a_side_container_takes_the_task_down(
    code: int, own: int, essential: bool, found: str
) -> None:
    result = find(side(code, own, essential))
    assert causes(result) == (["sidecar_exited"] if found else [])
    if found:
        finding = result.roots[0].candidate.finding
        assert finding.confidence == found and "side container proxy" in finding.summary


def checked(command: list[str], *lines: str) -> dict[str, Any]:
    documents = failing("Task failed container health checks", "ServiceSchedulerInitiated", 143)
    definition = documents["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    definition["containerDefinitions"][0]["healthCheck"] = {"command": command}
    documents["logs/stopped"]["dev-backend"]["x"] = list(lines)
    return documents


CURL = ["CMD-SHELL", "curl -f http://localhost:3001/api/health || exit 1"]


@pytest.mark.parametrize(
    ("command", "lines", "confidence"),
    [
        (CURL, (), "possible"),
        (["CMD", "/usr/bin/wget", "-q", "http://localhost/"], (), "possible"),
        (CURL, ("/bin/sh: 1: curl: not found",), "certain"),
        (CURL, ('exec: "curl": executable file not found in $PATH',), "certain"),
        (["CMD", "python", "-c", "print('curl')"], (), ""),
        (["CMD-SHELL", "pg_isready"], (), ""),
        (["NONE"], (), ""),
    ],
)
def test_a_health_check_that_needs_a_program(
    command: list[str], lines: tuple[str, ...], confidence: str
) -> None:
    found = find(checked(command, *lines))
    assert causes(found) == (["health_check_program"] if confidence else [])
    if confidence:
        finding = found.roots[0].candidate.finding
        assert finding.confidence == confidence
        assert finding.evidence[0].text == " ".join(command)


def test_the_load_balancer_gets_an_answer_from_the_same_tasks() -> None:
    documents = checked(CURL)
    documents["elb/targets"][GROUP] = [target("10.0.1.9")]
    address = [{"details": [{"name": "privateIPv4Address", "value": "10.0.1.9"}]}]
    documents["ecs/tasks"]["dev-backend"]["running"] = [task("n", attachments=address)]
    found = find(documents).roots[0].candidate
    assert found.finding.confidence == "likely" and "load balancer's health check" in found.because


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            "was unable to place a task. Reason: Capacity is unavailable at this time. Please try "
            "again later or in a different availability zone.",
            "capacity",
        ),
        (
            "was unable to place a task. Reason: You've reached the limit on the number of vCPUs "
            "you can run concurrently.",
            "quota_reached",
        ),
        (
            "was unable to place a task because no container instance met all of its requirements. "
            "Reason: No Container Instances were found in your cluster.",
            "instances_full",
        ),
        ("has started 1 tasks: (task 1).", ""),
    ],
)
def test_events_of_placement(message: str, cause: str) -> None:
    documents = failing("")
    text = f"(service dev-backend) {message}"
    documents["ecs/services"]["dev-backend"]["events"] = [event(text)]
    found = find(documents)
    assert causes(found) == ([cause] if cause else [])
    if cause:
        finding = found.roots[0].candidate.finding
        assert finding.confidence == "certain" and finding.evidence[0].text == text
        documents["ecs/services"]["dev-backend"]["events"].insert(
            0, event("(service dev-backend) has reached a steady state.")
        )
        assert causes(find(documents)) == []


@pytest.mark.parametrize(("free", "found"), [(0, ["subnet_full"]), (3, [])])
def test_a_subnet_without_addresses(free: int, found: list[str]) -> None:
    documents = failing(
        "Unexpected EC2 error while attempting to Create Network Interface with public IP "
        "assignment disabled in subnet 'subnet-1': InsufficientFreeAddressesInSubnet"
    )
    documents["ec2/subnets"]["subnet-1"]["AvailableIpAddressCount"] = free
    result = find(documents)
    assert causes(result) == found
    if found:
        assert "10.0.10.0/24" in result.roots[0].candidate.finding.summary
    documents["ecs/tasks"]["dev-backend"]["stopped"] = [stopped("x", "Task stopped by user")]
    assert causes(find(documents)) == []


def test_a_full_subnet_is_no_incident_while_tasks_start() -> None:
    documents = crashed("boom")
    documents["ec2/subnets"]["subnet-1"]["AvailableIpAddressCount"] = 0
    assert causes(find(documents)) == []
