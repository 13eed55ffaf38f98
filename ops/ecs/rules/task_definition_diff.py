"""The differences between two task definitions, without the values of secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.redaction.redact import one_line
from ops.core.redaction.shapes import is_secret_name
from ops.ecs.rules.task_definition_refs import reference

_BY_AWS = frozenset(  # written by ECS, or the content's name
    {
        "taskDefinitionArn",
        "family",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
        "containerDefinitions",
    }
)
_SCALARS = ("cpu", "memory", "memoryReservation", "executionRoleArn", "taskRoleArn", "image")
_OWN_ROWS = frozenset({"name", "environment", "secrets", "portMappings"})
_HIDDEN, _OTHER_SECRET = "(hidden)", "(another value, hidden)"
_LONGEST = 120  # characters of a value


@dataclass(frozen=True)
class Difference:
    """One difference: the subject, and its value on either side, None where it is absent.

    A value too complex to print is "…": `what` names the key that changed.
    """

    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.what}: + {self.after}"
        if self.after is None:
            return f"{self.what}: - {self.before}"
        if self.before == self.after:
            return f"{self.what}: changed"
        return f"{self.what}: {self.before} → {self.after}"

    def as_document(self) -> dict[str, str | None]:
        return {"what": self.what, "before": self.before, "after": self.after}


def task_definition_diff(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Difference, ...]:
    """What registering `after` in place of `before` changes, image first in each container.

    Compares the documents of DescribeTaskDefinition; an empty value and an absent one are equal.
    """
    old, new = _containers(before), _containers(after)
    found = [
        difference
        for name in dict.fromkeys((*old, *new))
        for difference in _container(name, old.get(name), new.get(name))
    ]
    found += _keys("", _without(before, _BY_AWS), _without(after, _BY_AWS))
    return tuple(found)


def _containers(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(each.get("name")): each for each in document.get("containerDefinitions") or ()}


def _without(document: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys and value}


def _container(
    name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Iterator[Difference]:
    if old is None or new is None:
        image = one_line(str((old or new or {}).get("image")), limit=_LONGEST)
        yield Difference(f"container {name}", image if old else None, image if new else None)
        return
    yield from _keys(f"{name} ", _without(old, _OWN_ROWS), _without(new, _OWN_ROWS))
    yield from _environment(name, _pairs(old, "environment"), _pairs(new, "environment"))
    yield from _named(f"{name} secret", _secrets(name, old), _secrets(name, new))
    ports = _ports(old), _ports(new)
    if ports[0] != ports[1]:
        yield Difference(f"{name} ports", *ports)


def _keys(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """Each key that differs; the scalar ones first, with their values."""
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    for key in sorted(changed, key=lambda key: (key != "image", key not in _SCALARS, key)):
        yield Difference(f"{prefix}{key}", _value(key, old.get(key)), _value(key, new.get(key)))


def _value(key: str, value: Any) -> str | None:
    """A scalar's text; "…" for another value, which may hold anything."""
    if not value:
        return None
    return one_line(str(value), limit=_LONGEST) if key in _SCALARS else "…"


def _pairs(container: Mapping[str, Any], key: str) -> dict[str, str]:
    return {
        str(each.get("name")): str(each.get("value") or "") for each in container.get(key) or ()
    }


def _environment(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for variable in sorted(old.keys() | new.keys()):
        was, now = old.get(variable), new.get(variable)
        if was == now:
            continue
        before, after = _shown_value(variable, was), _shown_value(variable, now)
        if before == after:  # both hidden
            after = _OTHER_SECRET
        yield Difference(f"{name} {variable}", before, after)


def _shown_value(variable: str, value: str | None) -> str | None:
    if value is None:
        return None
    if is_secret_name(variable):
        return _HIDDEN
    return one_line(json.dumps(value, ensure_ascii=False), limit=_LONGEST)


def _secrets(name: str, container: Mapping[str, Any]) -> dict[str, str]:
    """Variable → the secret's name and key, as the task definition refers to it."""
    found = {}
    for each in container.get("secrets") or ():
        wanted = reference(name, str(each.get("name")), str(each.get("valueFrom") or ""))
        source = wanted.source.rpartition(":")[2] if wanted.source.startswith("arn:") else ""
        found[wanted.variable] = (source or wanted.source) + (
            f":{wanted.key}" if wanted.key else ""
        )
    return found


def _named(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Difference(f"{what} {name}", old.get(name), new.get(name))


def _ports(container: Mapping[str, Any]) -> str | None:
    """`3001/tcp, 8080:80/tcp`, or None."""
    texts = []
    for each in container.get("portMappings") or ():
        port, host = each.get("containerPort"), each.get("hostPort")
        mapped = f"{host}:{port}" if host not in (None, 0, port) else f"{port}"
        texts.append(f"{mapped}/{each.get('protocol') or 'tcp'}")
    return ", ".join(texts) or None
