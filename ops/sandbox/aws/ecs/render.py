"""The API's representation of services, deployments and tasks.

Pure.

Emulates the ExecuteCommandAgent of tasks that were started with enableExecuteCommand: it is running
while its container is. Differs from ECS: `attributes`, `inferenceAccelerators` and Service Connect
never appear.
"""

from __future__ import annotations

from typing import Any

from ops.sandbox.aws.ecs.model import Container, Deployment, Service, Task
from ops.sandbox.aws.ecs.store import EcsStore


def service_view(
    store: EcsStore, service: Service, tags: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    running, pending = store.counts(store.of_service(service))
    view = {
        **service.settings,
        "serviceName": service.name,
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "status": service.status,
        "taskDefinition": service.task_definition,
        "desiredCount": service.desired_count,
        "runningCount": running,
        "pendingCount": pending,
        "createdAt": service.created_at,
        "deployments": [_deployment_view(store, service, each) for each in service.current],
        "events": [
            {"id": each.id, "createdAt": each.created_at, "message": each.message}
            for each in service.events
        ],
    }
    if tags is not None:
        view["tags"] = tags
    return view


def _deployment_view(store: EcsStore, service: Service, deployment: Deployment) -> dict[str, Any]:
    running, pending = store.counts(store.of_deployment(service, deployment))
    primary = deployment.status == "PRIMARY"
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition,
        "desiredCount": service.desired_count
        if primary
        else _still_wanted(deployment, running + pending),
        "runningCount": running,
        "pendingCount": pending,
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "launchType": service.settings.get("launchType", "FARGATE"),
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": deployment.network_configuration,
        "rolloutState": deployment.rollout_state,
        "rolloutStateReason": deployment.rollout_reason,
    }


def _still_wanted(deployment: Deployment, live: int) -> int:
    return 0 if deployment.rollout_state == "FAILED" else live


def task_view(task: Task, tags: bool = False) -> dict[str, Any]:
    view: dict[str, Any] = {
        "taskArn": task.arn,
        "clusterArn": task.cluster_arn,
        "taskDefinitionArn": task.task_definition,
        "group": task.group,
        "lastStatus": task.last_status,
        "desiredStatus": task.desired_status,
        "healthStatus": task.health or "UNKNOWN",
        "startedBy": task.started_by,
        "launchType": task.launch_type,
        "platformVersion": task.platform_version,
        "platformFamily": "Linux",
        "cpu": task.cpu,
        "memory": task.memory,
        "enableExecuteCommand": task.enable_execute_command,
        "createdAt": task.created_at,
        "pullStartedAt": task.pull_started_at,
        "pullStoppedAt": task.pull_stopped_at,
        "startedAt": task.started_at,
        "stoppingAt": task.stopping_at,
        "executionStoppedAt": task.execution_stopped_at,
        "stoppedAt": task.stopped_at,
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        "version": 1,
        "availabilityZone": "us-east-1a",
        "overrides": task.overrides
        or {"containerOverrides": [{"name": each.name} for each in task.containers]},
        "attachments": [_interface(task)],
        "containers": [container_view(task, each) for each in task.containers],
    }
    if task.last_status in ("RUNNING", "DEACTIVATING"):
        view["connectivity"] = "CONNECTED"
    if tags:
        view["tags"] = task.tags
    return {name: value for name, value in view.items() if value is not None}


def _interface(task: Task) -> dict[str, Any]:
    subnets = (task.network_configuration.get("awsvpcConfiguration") or {}).get("subnets") or [""]
    details = [
        {"name": "subnetId", "value": subnets[0]},
        {"name": "networkInterfaceId", "value": f"eni-{task.id[:17]}"},
    ]
    if task.address:
        details.append({"name": "privateIPv4Address", "value": task.address})
    status = (
        "DELETED" if task.last_status == "STOPPED" else "ATTACHED" if task.address else "PRECREATED"
    )
    return {
        "id": _uuid(task.id),
        "type": "ElasticNetworkInterface",
        "status": status,
        "details": details,
    }


def container_view(task: Task, container: Container) -> dict[str, Any]:
    definition = container.definition
    view: dict[str, Any] = {
        "containerArn": f"{task.arn.replace(':task/', ':container/')}/{_uuid(container.id)}",
        "taskArn": task.arn,
        "name": container.name,
        "image": container.image,
        "imageDigest": container.digest,
        "runtimeId": f"{task.id}-{container.id[:10]}" if container.digest else None,
        "lastStatus": container.status,
        "exitCode": container.exit_code,
        "reason": container.reason,
        "healthStatus": container.health,
        "networkInterfaces": [{"attachmentId": _uuid(task.id), "privateIpv4Address": task.address}]
        if task.address
        else [],
        "cpu": str(definition.get("cpu", 0)),
        "memory": _text(definition.get("memory")),
        "managedAgents": [_exec_agent(task, container)] if task.enable_execute_command else None,
    }
    return {name: value for name, value in view.items() if value is not None}


def _exec_agent(task: Task, container: Container) -> dict[str, Any]:
    agent: dict[str, Any] = {"name": "ExecuteCommandAgent", "lastStatus": container.status}
    if container.status == "RUNNING" and task.started_at:
        agent["lastStartedAt"] = task.started_at
    return agent


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"
