"""The errors of the ECS API, with AWS's texts and codes from public reports."""

from __future__ import annotations

from moto.ecs.exceptions import ECSException


def _refused(code: str, message: str) -> Exception:
    """Return an error of the ECS API to raise."""
    failure: Exception = ECSException(code, message)
    return failure


def service_not_found() -> Exception:
    return _refused("ServiceNotFoundException", "Service not found.")


def service_not_active() -> Exception:
    return _refused("ServiceNotActiveException", "Service was not ACTIVE.")


def invalid(message: str) -> Exception:
    return _refused("InvalidParameterException", message)


def client(message: str) -> Exception:
    return _refused("ClientException", message)


def conflict(arns: list[str]) -> Exception:
    """The answer to a clientToken that was used with other parameters, for these tasks."""
    return _refused(
        "ConflictException",
        f"The clientToken is already in use with a different RunTask request: {', '.join(arns)}",
    )


def deployment_not_found() -> Exception:
    return _refused("ServiceDeploymentNotFoundException", "Service deployment not found.")


def deployment_not_stoppable() -> Exception:
    return _refused("ConflictException", "The service deployment cannot be stopped.")
