"""The refusals of the ECS API, in its own words. Texts and codes as AWS answers them (seen in
public reports).
"""

from __future__ import annotations

from moto.ecs.exceptions import ECSException


def refused(code: str, message: str) -> Exception:
    """An error answer of the ECS API; raise it."""
    failure: Exception = ECSException(code, message)
    return failure


def service_not_found() -> Exception:
    return refused("ServiceNotFoundException", "Service not found.")


def service_not_active() -> Exception:
    return refused("ServiceNotActiveException", "Service was not ACTIVE.")


def invalid(message: str) -> Exception:
    return refused("InvalidParameterException", message)


def client(message: str) -> Exception:
    return refused("ClientException", message)
