"""Causes of tasks that fail to start, or do not stay."""

from ops.diagnosis.rules.tasks import capacity, container, image, network, roles, secrets

__all__ = ["capacity", "container", "image", "network", "roles", "secrets"]
