"""What differs between two values of a plan, as a person would count it: defaults and empty values
are no difference, secrets are hidden.

The provider fills in what a configuration leaves out (`tags = {}`, `cpu = 0`, a host port equal to
the container's), so a plain comparison of before and after names a dozen fields of which none is a
change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.text import short_digest
from ops.terraform.rules.plan_json import mapping

SENSITIVE = "(sensitive)"
LATER = "(known after apply)"
EMPTY: tuple[Any, ...] = (None, "", [], {}, False, 0)
SHOWN = 100  # characters of one value


@dataclass(frozen=True)
class FieldDiff:
    """One attribute that changes, as it is shown."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} → {self.after}"


@dataclass(frozen=True)
class ImageMove:
    """A container whose image changes."""

    container: str
    before: str
    after: str

    @property
    def says(self) -> str:
        return f"moves {self.container} from {short(self.before)} to {short(self.after)}"


def differences(change: Mapping[str, Any], address: str = "a resource") -> tuple[FieldDiff, ...]:
    """The attributes of one `change` of Terraform's plan JSON that really differ, by name. Raises
    OpsError where it is no such change.
    """
    before, after = mapping(change, "before", address), mapping(change, "after", address)
    unknown, hidden = (
        change.get("after_unknown"),
        (change.get("before_sensitive"), change.get("after_sensitive")),
    )
    found = []
    for name in sorted({*before, *after, *(unknown if isinstance(unknown, Mapping) else ())}):
        later = is_whole(unknown, name)
        if not later and same(name, before.get(name), after.get(name)):
            continue
        secret = any(is_sensitive(marks, name) for marks in hidden)
        values = (
            (SENSITIVE, SENSITIVE)
            if secret
            else (
                format_change(before.get(name)),
                LATER if later else format_change(after.get(name)),
            )
        )
        found.append(FieldDiff(name, *values))
    return tuple(found)


def is_whole(marks: Any, name: str) -> bool:
    """Whether an attribute as a whole is marked (a mark inside a list says nothing about the
    rest).
    """
    return marks is True or (isinstance(marks, Mapping) and marks.get(name) is True)


def is_sensitive(marks: Any, name: str) -> bool:
    """Whether any part of an attribute is marked: then all of it is hidden. A mark that can't be
    read hides it too.
    """
    return is_marked(marks.get(name) if isinstance(marks, Mapping) else marks)


def is_marked(marks: Any) -> bool:
    if isinstance(marks, Mapping | list):
        return any(
            is_marked(each) for each in (marks.values() if isinstance(marks, Mapping) else marks)
        )
    return marks is not None and marks is not False


def same(name: str, before: Any, after: Any) -> bool:
    if name == "container_definitions":
        return containers(before) == containers(after)
    if name == "task_definition" and isinstance(before, str) and isinstance(after, str):
        return (
            before.rsplit("/", 1)[-1] == after.rsplit("/", 1)[-1]
        )  # `family:7` and the ARN that ends in it
    return before == after or (before in EMPTY and after in EMPTY)


def containers(text: Any) -> dict[str, dict[str, Any]]:
    """Container definitions (a JSON string in the plan) by name, without what is only a default."""
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    listed = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return {str(each.get("name")): plain(each) for each in listed}


def plain(container: Mapping[str, Any]) -> dict[str, Any]:
    """Without defaults, and sorted where order means nothing (ECS API: ContainerDefinition)."""
    kept = {
        key: value for key, value in container.items() if value not in EMPTY and key != "essential"
    }
    if container.get("essential") is False:
        kept["essential"] = False
    for key, names in (
        ("environment", ("name",)),
        ("secrets", ("name",)),
        ("portMappings", ("containerPort", "protocol")),
    ):
        if isinstance(kept.get(key), list):
            items = [each if isinstance(each, Mapping) else {"": each} for each in kept[key]]
            items = [port(each) if key == "portMappings" else each for each in items]
            kept[key] = sorted(items, key=lambda each: [str(each.get(name)) for name in names])
    return kept


def port(published: Mapping[str, Any]) -> dict[str, Any]:
    """Under awsvpc the host port is the container's, and the protocol tcp unless it is said."""
    kept = {key: value for key, value in published.items() if value not in EMPTY}
    if kept.get("hostPort") == kept.get("containerPort"):
        kept.pop("hostPort", None)
    return {"protocol": "tcp", **kept}


def moves(before: Any, after: Any) -> tuple[tuple[ImageMove, ...], tuple[str, ...]]:
    """Of two container definitions: the images that change, and whatever else does
    (`backend.environment`).
    """
    old, new = containers(before), containers(after)
    found, others = [], [f"container {name}" for name in sorted({*old} ^ {*new})]
    for name in sorted({*old} & {*new}):
        if old[name].get("image") != new[name].get("image"):
            found.append(
                ImageMove(name, str(old[name].get("image", "")), str(new[name].get("image", "")))
            )
        keys = {
            key
            for key in {*old[name], *new[name]} - {"image"}
            if old[name].get(key) != new[name].get(key)
        }
        others += [f"{name}.{key}" for key in sorted(keys)]
    return tuple(found), tuple(others)


def image_parts(image: str) -> tuple[str, str, str]:
    """Repository, tag and digest of `registry:port/name:tag@sha256:…`; what is not there is
    empty.
    """
    name, _, digest = image.partition("@")
    head, colon, tag = name.rpartition(":")
    return (head, tag, digest) if colon and "/" not in tag else (name, "", digest)


def short(image: str) -> str:
    """The tag, or the beginning of the digest; the whole where neither is said."""
    _, tag, digest = image_parts(image)
    return tag or short_digest(digest) or image or "nothing"


def format_change(value: Any) -> str:
    text = (
        value
        if isinstance(value, str)
        else "nothing"
        if value in (None, [], {})
        else json.dumps(value, ensure_ascii=False)
    )
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
