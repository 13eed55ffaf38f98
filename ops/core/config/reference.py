"""The reference of configuration keys in docs/configuration.md, made from the models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from ops.core.config import schema
from ops.core.config.types import is_duration
from ops.core.text import format_option


def tables() -> str:
    """One table of keys for an environment and for each of its sections."""
    from ops.core.config.settings import Environment

    return "\n".join(_table(title, model) for title, model in _sections("", Environment))


def _sections(path: str, model: Any) -> Iterator[tuple[str, Any]]:
    yield path, model
    for name, field in model.model_fields.items():
        inner, named = schema.model_in(field.annotation)
        if inner is None or (path, name) == ("health.", "endpoints"):
            continue
        kind = get_origin(field.annotation)
        key = f"{path}{name}" + (("[]" if kind is list else ".NAME") if named else "")
        yield from _sections(f"{key}.", inner)


def _table(path: str, model: Any) -> str:
    where = f"environments.NAME.{path}".rstrip(".")
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    head = [f"### `{where}`", "", " ".join(str(model.__doc__).split()), ""]
    return "\n".join([*head, "| key | value | default | |", "|---|---|---|---|", *rows, ""])


def _row(name: str, field: Any) -> str:
    default = "**required**" if field.is_required() else _default(field)
    description = str(field.description).replace("|", "\\|")
    return f"| `{name}` | {_kind(field)} | {default} | {description} |"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, []) or schema.model_in(field.annotation)[0]:
        return ""
    if is_duration(field):
        return f"`{format_option(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(field: Any) -> str:
    """The type of a value, as the author of a YAML file knows it."""
    annotation = field.annotation
    if is_duration(field):
        return "duration"
    words = [
        _word(each) for each in (get_args(annotation) if _optional(annotation) else [annotation])
    ]
    return next(word for word in words if word)


def _optional(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def _word(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in inside)
    if origin in (list, dict):
        return "list" if origin is list else "section"
    if hasattr(annotation, "__metadata__"):
        return _word(inside[0])
    words = {str: "text", int: "integer", float: "number", bool: "`true`, `false`"}
    if annotation is type(None):
        return ""
    return words.get(annotation, "section")
