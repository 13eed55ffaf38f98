"""The meaning of the `failures` of a RunTask response (pure).

From the Amazon ECS Developer Guide, "API failure reasons".
"""

from __future__ import annotations

_MEANINGS = (
    ("RESOURCE:ENI", "no instance of the cluster has a free network interface"),
    ("RESOURCE:CPU", "no instance of the cluster has enough CPU left"),
    ("RESOURCE:MEMORY", "no instance of the cluster has enough memory left"),
    ("RESOURCE:PORTS", "the host ports of the task are taken on every instance"),
    ("RESOURCE:GPU", "no instance of the cluster has enough GPUs left"),
    ("RESOURCE:", "no instance of the cluster has this resource left"),
    ("RESOURCE", "no instance of the cluster has the resources that the task needs"),
    ("AGENT", "the ECS agent of the instance is not connected"),
    ("ATTRIBUTE", "no instance has an attribute that the task definition requires"),
    ("CAPACITY", "AWS has no capacity for the task at the moment"),
    ("EMPTY CAPACITY PROVIDER", "the capacity provider has no instance"),
    ("INACTIVE", "the instance or the task definition was deregistered"),
    ("LOCATION", "the instance is in another availability zone than the task's volume"),
    ("MEMBEROF", "no instance satisfies the placement constraints"),
    ("MISSING", "the cluster has no instance, or the named resource does not exist"),
    ("NO CONTAINER INSTANCES", "the cluster has no instance"),
)


def meaning(reason: str) -> str:
    """What a failure's reason means, or "" if it is not documented."""
    plain = reason.upper()
    plain = "CAPACITY" if plain.startswith("CAPACITY IS UNAVAILABLE") else plain
    return next((text for start, text in _MEANINGS if plain.startswith(start)), "")


def explain(reason: str, detail: str) -> str:
    """One failure as a sentence: its reason, what it means, and ECS's own detail."""
    parts = [part for part in (meaning(reason), detail) if part]
    return f"{reason or 'no reason given'}" + (f": {'; '.join(parts)}" if parts else "")
