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
ALARM_FAILED = "ECS deployment failed: alarm detected."
ALARM_DETECTED = "alarm detected"
STUCK = (
    "was unable to stop or start tasks during a deployment because of the service deployment "
    "configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
)
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


def failed(deployment: str, why: str = "tasks failed to start") -> str:
    return f"(deployment {deployment}) deployment failed: {why}."


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


_RETRIED = "execution resource retrieval failed: unable to retrieve"
_ONCE = "service call has been retried 1 time(s)"


def registry_unreachable(region: str) -> str:
    return (
        f"{_SECRETS}The task cannot pull registry auth from Amazon ECR: There is a connection "
        "issue between the task and Amazon ECR. Check your task network configuration. "
        f'RequestError: send request failed caused by: Post "https://api.ecr.{region}'
        '.amazonaws.com/": dial tcp 203.0.113.10:443: i/o timeout'
    )


def registry_denied(why: str) -> str:
    return (
        f"{_SECRETS}{_RETRIED} ecr registry auth: {_ONCE}: AccessDeniedException: {why} "
        "status code: 400"
    )


def secret_unreachable(arn: str, service: str) -> str:
    store, kind = (
        ("Secrets Manager", "secrets manager")
        if service == "secretsmanager"
        else ("Systems Manager", "ssm")
    )
    return (
        f"{_SECRETS}The task can't pull secrets from AWS {store}. There is a connection issue "
        f"between the task and AWS {store}. Check your task network configuration. failed to "
        f"fetch secret {arn} from {kind}: RequestCanceled: request context canceled caused by: "
        "context deadline exceeded"
    )


def secret_denied(arn: str, why: str) -> str:
    return (
        f"{_SECRETS}{_RETRIED} secret from asm: {_ONCE}: failed to fetch secret {arn} from "
        f"secrets manager: AccessDeniedException: {why} status code: 400"
    )


def secret_key_denied(arn: str) -> str:
    return (
        f"{_SECRETS}{_RETRIED} secret from asm: {_ONCE}: failed to fetch secret {arn} from "
        "secrets manager: AccessDeniedException: Access to KMS is not allowed status code: 400"
    )


def logs_unreachable() -> str:
    return (
        "ResourceInitializationError: failed to validate logger args: The task cannot find the "
        "Amazon CloudWatch log group defined in the task definition. There is a connection issue "
        "between the task and Amazon CloudWatch. Check your network configuration. : signal: killed"
    )


def logs_denied(why: str) -> str:
    return (
        "ResourceInitializationError: failed to validate logger args: create stream has been "
        "retried 1 times: failed to create Cloudwatch log stream: AccessDeniedException: "
        f"{why} : exit status 1"
    )


def no_free_address(subnet: str) -> str:
    return (
        "Unexpected EC2 error while attempting to Create Network Interface with public IP "
        f"assignment disabled in subnet '{subnet}': InsufficientFreeAddressesInSubnet"
    )


def role_not_assumed(role: str) -> str:
    return (
        f"failed to launch a task with (error ECS was unable to assume the role '{role}' that was "
        "provided for this task. Please verify that the role being passed has the proper trust "
        "relationship and permissions and that your IAM user has permissions to pass this role.)."
    )


def not_placed(reason: str) -> str:
    return f"was unable to place a task. Reason: {reason}"


def container_unhealthy(task_id: str) -> str:
    return f"(task {task_id}) failed container health checks."


NO_CAPACITY = (
    "Capacity is unavailable at this time. Please try again later or in a different "
    "availability zone."
)
VCPU_LIMIT = "You've reached the limit on the number of vCPUs you can run concurrently."
FAILED_CONTAINER_HEALTH = "Task failed container health checks"


def _tasks(task_ids: list[str]) -> str:
    return " ".join(f"(task {each})" for each in task_ids)
