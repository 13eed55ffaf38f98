"""Differences between two values of a plan, without defaults and computed noise.

The provider fills in what a configuration leaves out (`tags = {}`, `cpu = 0`, a host port equal to
the container's), so that a plain comparison of before and after lists a dozen attributes of which
none is a change. Sensitive values are hidden.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ops.aws.facts import TaskDefinitionArn
from ops.core.text import short_digest
from ops.terraform.rules.plan_json import ChangeRepresentation

SENSITIVE = "(sensitive)"
KNOWN_AFTER_APPLY = "(known after apply)"
NOTHING = "nothing"
_EMPTY: tuple[Any, ...] = (None, "", [], {}, False, 0)
_MAX_VALUE_LENGTH = 100
# lists of a container definition whose order means nothing, with the keys to sort them by
_UNORDERED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("environment", ("name",)),
    ("secrets", ("name",)),
    ("portMappings", ("containerPort", "protocol")),
)


@dataclass(frozen=True)
class FieldDiff:
    """An attribute that changes, with its values as they are printed."""

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

    def __str__(self) -> str:
        return (
            f"moves {self.container} from {short_image(self.before)} to {short_image(self.after)}"
        )


def differences(change: ChangeRepresentation) -> tuple[FieldDiff, ...]:
    """Return the attributes that really differ, sorted by name."""
    unknown = change.after_unknown
    names = {*change.before, *change.after, *(unknown if isinstance(unknown, Mapping) else ())}
    return tuple(
        _field_diff(name, change)
        for name in sorted(names)
        if _is_wholly_marked(unknown, name)
        or not _is_equal(name, change.before.get(name), change.after.get(name))
    )


def without_ignored(
    change: ChangeRepresentation, paths: Iterable[tuple[str | int, ...]]
) -> ChangeRepresentation:
    """The change as if the values at `paths` had stayed as they were before."""
    after: Any = change.after
    unknown: Any = change.after_unknown
    for path in paths:
        after = _with_value_of(change.before, after, path)
        if isinstance(unknown, Mapping) and len(path) == 1:
            unknown = {name: mark for name, mark in unknown.items() if name != path[0]}
    return replace(change, after=after, after_unknown=unknown)


def _with_value_of(before: Any, after: Any, path: tuple[str | int, ...]) -> Any:
    """Return a copy of `after` with the value that `before` has at `path`."""
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        if not (isinstance(before, list) and isinstance(after, list)):
            return after
        if step >= min(len(before), len(after)):
            return after
        item = _with_value_of(before[step], after[step], rest) if rest else before[step]
        return [*after[:step], item, *after[step + 1 :]]
    old, new = ({} if each is None else each for each in (before, after))
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return after
    others = {name: value for name, value in new.items() if name != step}
    if rest and (step in old or step in new):
        return {**others, step: _with_value_of(old.get(step), new.get(step), rest)}
    return {**others, step: old[step]} if step in old else others


def _field_diff(name: str, change: ChangeRepresentation) -> FieldDiff:
    if is_sensitive(change.before_sensitive, name) or is_sensitive(change.after_sensitive, name):
        return FieldDiff(name, SENSITIVE, SENSITIVE)
    after = (
        KNOWN_AFTER_APPLY
        if _is_wholly_marked(change.after_unknown, name)
        else format_value(change.after.get(name))
    )
    return FieldDiff(name, format_value(change.before.get(name)), after)


def _is_wholly_marked(marks: Any, name: str) -> bool:
    """Whether an attribute as a whole is marked; a mark inside a list is about one item only."""
    return marks is True or (isinstance(marks, Mapping) and marks.get(name) is True)


def is_sensitive(marks: Any, name: str) -> bool:
    """Whether any part of an attribute is marked as sensitive, or its mark is malformed."""
    return _is_marked(marks.get(name) if isinstance(marks, Mapping) else marks)


def _is_marked(marks: Any) -> bool:
    if isinstance(marks, Mapping):
        return any(_is_marked(each) for each in marks.values())
    if isinstance(marks, list):
        return any(_is_marked(each) for each in marks)
    return marks is not None and marks is not False


def _is_equal(name: str, before: Any, after: Any) -> bool:
    if name == "container_definitions":
        return containers_by_name(before) == containers_by_name(after)
    if name == "task_definition" and isinstance(before, str) and isinstance(after, str):
        # `family:7`, and the ARN that ends in it
        return TaskDefinitionArn(before).label == TaskDefinitionArn(after).label
    return before == after or (before in _EMPTY and after in _EMPTY)


def containers_by_name(text: Any) -> dict[str, dict[str, Any]]:
    """Parse container definitions (a JSON string in the plan), without default values."""
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    items = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return {str(each.get("name")): _without_defaults(each) for each in items}


def _without_defaults(container: Mapping[str, Any]) -> dict[str, Any]:
    """Drop defaults, and sort lists whose order means nothing (ECS API: ContainerDefinition)."""
    found = {
        key: value for key, value in container.items() if value not in _EMPTY and key != "essential"
    }
    if container.get("essential") is False:
        found["essential"] = False
    for key, names in _UNORDERED:
        if isinstance(found.get(key), list):
            items = [each if isinstance(each, Mapping) else {"": each} for each in found[key]]
            if key == "portMappings":
                items = [_normal_port(each) for each in items]
            found[key] = sorted(items, key=lambda each: [str(each.get(name)) for name in names])
    return found


def _normal_port(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Apply awsvpc's defaults: the host port is the container's, the protocol is tcp."""
    found = {key: value for key, value in mapping.items() if value not in _EMPTY}
    if found.get("hostPort") == found.get("containerPort"):
        found.pop("hostPort", None)
    return {"protocol": "tcp", **found}


def container_changes(before: Any, after: Any) -> tuple[tuple[ImageMove, ...], tuple[str, ...]]:
    """Compare container definitions: image changes, and all others (`backend.environment`)."""
    old, new = containers_by_name(before), containers_by_name(after)
    moves, others = [], [f"container {name}" for name in sorted({*old} ^ {*new})]
    for name in sorted({*old} & {*new}):
        images = [str(each[name].get("image", "")) for each in (old, new)]
        if images[0] != images[1]:
            moves.append(ImageMove(name, *images))
        others += [
            f"{name}.{key}"
            for key in sorted({*old[name], *new[name]} - {"image"})
            if old[name].get(key) != new[name].get(key)
        ]
    return tuple(moves), tuple(others)


def split_image(image: str) -> tuple[str, str, str]:
    """Split `registry:port/name:tag@sha256:…` into repository, tag and digest, or empty strings."""
    name, _, digest = image.partition("@")
    head, colon, tag = name.rpartition(":")
    return (head, tag, digest) if colon and "/" not in tag else (name, "", digest)


def short_image(image: str) -> str:
    """Return the tag, or the start of the digest, or the whole image if it has neither."""
    _, tag, digest = split_image(image)
    return tag or short_digest(digest) or image or NOTHING


def format_value(value: Any) -> str:
    """Format a value of any type on one line, shortened to 100 characters."""
    if isinstance(value, str):
        text = value
    elif value in (None, [], {}):
        text = NOTHING
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_LENGTH else text[: _MAX_VALUE_LENGTH - 1] + "…"
