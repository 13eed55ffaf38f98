"""Convert a task of a DescribeTasks, RunTask or StopTask response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.aws.facts import ContainerState, TaskState

_EXEC_AGENT = "ExecuteCommandAgent"


def task_state(found: Mapping[str, Any]) -> TaskState:
    return TaskState(
        arn=found["taskArn"],
        status=found["lastStatus"],
        desired_status=found["desiredStatus"],
        started_by=found.get("startedBy", ""),
        task_definition=found["taskDefinitionArn"],
        health=found.get("healthStatus", ""),
        stop_code=found.get("stopCode", ""),
        stopped_reason=found.get("stoppedReason", ""),
        containers=tuple(_container(item) for item in found["containers"]),
        created_at=found.get("createdAt"),
        stopped_at=found.get("stoppedAt"),
        exec_enabled=bool(found.get("enableExecuteCommand")),
        address=_address(found),
    )


def _address(found: Mapping[str, Any]) -> str:
    """The private IPv4 address among the details of the task's attachments, or ""."""
    details = (
        detail
        for attachment in found.get("attachments") or ()
        for detail in attachment.get("details") or ()
    )
    return next(
        (str(each.get("value")) for each in details if each.get("name") == "privateIPv4Address"),
        "",
    )


def _container(found: Mapping[str, Any]) -> ContainerState:
    agents = found.get("managedAgents") or ()
    agent: Mapping[str, Any] = next(
        (each for each in agents if each.get("name") == _EXEC_AGENT), {}
    )
    return ContainerState(
        name=found["name"],
        image=found.get("image", ""),
        digest=found.get("imageDigest"),
        status=found.get("lastStatus", ""),
        exit_code=found.get("exitCode"),
        reason=found.get("reason", ""),
        runtime_id=found.get("runtimeId", ""),
        exec_agent=str(agent.get("lastStatus") or ""),
        exec_agent_reason=str(agent.get("reason") or ""),
    )
