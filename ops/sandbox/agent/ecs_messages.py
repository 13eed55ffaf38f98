"""The texts of ECS service events and stopped reasons, verbatim where publicly known.

`Service.say` prefixes them with `(service NAME) `.
"""

from __future__ import annotations

ESSENTIAL_EXITED = "Essential container in task exited"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
UNSTABLE = (
    "is unable to consistently start tasks successfully. "
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
)
STEADY = "has reached a steady state."
BREAKER_FAILED = "ECS deployment circuit breaker: tasks failed to start."


def started(task_ids: list[str]) -> str:
    return f"has started {len(task_ids)} tasks: {_tasks(task_ids)}."


def stopped(task_ids: list[str]) -> str:
    return f"has stopped {len(task_ids)} running tasks: {_tasks(task_ids)}."


def registered(count: int, group: str) -> str:
    return f"registered {count} targets in (target-group {group})"


def deregistered(count: int, group: str) -> str:
    return f"deregistered {count} targets in (target-group {group})"


def draining(count: int) -> str:
    return f"has begun draining connections on {count} tasks."


def unhealthy(port: int, group: str, description: str) -> str:
    return f"(port {port}) is unhealthy in (target-group {group}) due to (reason {description})."


def completed(deployment: str) -> str:
    return f"(deployment {deployment}) deployment completed."


def failed(deployment: str) -> str:
    return f"(deployment {deployment}) deployment failed: tasks failed to start."


def rolling_back(deployment: str) -> str:
    return f"rolling back to deployment {deployment}."


def rolling_back_reason(deployment: str) -> str:
    return f"ECS deployment circuit breaker: rolling back to deploymentId {deployment}."


def completed_reason(deployment: str) -> str:
    return f"ECS deployment {deployment} completed."


def scaling(deployment: str) -> str:
    return f"Scaling activity initiated by (deployment {deployment})"


def failed_elb(group: str) -> str:
    return f"Task failed ELB health checks in (target-group {group})"


def log_group_missing() -> str:
    return (
        "ResourceInitializationError: failed to validate logger args: create stream has "
        "been retried 1 times: "
        "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified "
        "log group does not exist. : exit status 1"
    )


def log_option_missing(option: str) -> str:
    return (
        f"ResourceInitializationError: failed to validate logger args: unable to get awslogs "
        f"driver arguments: {option} is required"
    )


_SECRETS = "ResourceInitializationError: unable to pull secrets or registry auth: "


def secret_missing(arn: str) -> str:
    return (
        f"{_SECRETS}The task can't pull the secret from Secrets Manager. "
        f"The task can't retrieve the secret with ARN '{arn}' from Secrets Manager. "
        "Check whether the secret exists in the specified Region. "
        "ResourceNotFoundException: Failed to fetch secret "
        f"{arn} from Secrets Manager. Secrets Manager can't find the specified secret."
    )


def secret_key_missing(key: str) -> str:
    return (
        f"{_SECRETS}execution resource retrieval failed: unable to retrieve secret from "
        f"asm: service call has been retried 1 time(s): "
        f"retrieved secret from Secrets Manager did not contain json key {key}"
    )


def parameter_missing(name: str) -> str:
    return (
        f"{_SECRETS}execution resource retrieval failed: unable to retrieve secrets from "
        f"ssm: service call has been retried 1 time(s): "
        f"invalid ssm parameters: {name}"
    )


def _tasks(task_ids: list[str]) -> str:
    return " ".join(f"(task {each})" for each in task_ids)
