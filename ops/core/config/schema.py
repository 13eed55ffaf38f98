"""JSON Schema of `invoke.yaml` and of overlays, from the models of the settings.

`inv env.schema` prints it, and `inv dev.docs` writes the files that editors read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

FOLDER = Path(__file__).resolve().parent
PROJECT_FILE = FOLDER / "invoke.schema.json"
OVERLAY_FILE = FOLDER / "overlay.schema.json"
_DIALECT = "http://json-schema.org/draft-07/schema#"  # the newest that yaml-language-server knows
CREDENTIALS = ("access_key", "secret_key")  # of `aws`: only an overlay has them
_OF_INVOKE = {
    "tasks": "Invoke's settings of tasks.",
    "run": "Invoke's settings of `run`; only `dry` has an effect here.",
    "runners": "Invoke's runners; without effect here.",
    "sudo": "Invoke's settings of `sudo`; without effect here.",
    "timeouts": "Invoke's time limits; without effect here.",
}


def modeline(path: str) -> str:
    """The line of a YAML file that names its schema to editors."""
    return f"# yaml-language-server: $schema={path}\n"


def model_in(annotation: Any) -> tuple[Any, bool]:
    """The model in a type such as `Cdn | None` or `dict[str, Service]`, or None.

    True if it is in a mapping or a list, whose names or positions are keys of their own.
    """
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    inside = get_origin(annotation) in (dict, list)
    for each in get_args(annotation):
        model, deeper = model_in(each)
        if model is not None:
            return model, inside or deeper
    return None, inside


def key_paths() -> Iterator[tuple[str, ...]]:
    """The path of every key below an environment; `NAME` for the name of a service."""
    from ops.core.config.settings import Environment

    yield from _key_paths(Environment, ())


def _key_paths(model: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner, named = model_in(field.annotation)
        if inner is None or get_origin(field.annotation) is list:
            yield (*above, name)
        else:
            yield from _key_paths(inner, (*above, name, *(["NAME"] if named else [])))


def project_schema() -> dict[str, Any]:
    """The schema of `invoke.yaml`."""
    schema, definitions = _environment()
    properties = definitions["Aws"]["properties"]
    definitions["Aws"]["properties"] = {
        key: value for key, value in properties.items() if key not in CREDENTIALS
    }
    return {
        "$schema": _DIALECT,
        "title": "invoke.yaml",
        "description": "The environments that the tasks act on, over Invoke's own settings.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "env": {
                "type": "string",
                "description": "The environment to act on. INVOKE_ENV=NAME overrides it.",
            },
            "environments": {
                "type": "object",
                "description": "The environments by name.",
                "additionalProperties": {"$ref": "#/definitions/Environment"},
            },
            **{
                name: {"type": "object", "description": description}
                for name, description in _OF_INVOKE.items()
            },
        },
        "definitions": {"Environment": schema, **definitions},
    }


def overlay_schema() -> dict[str, Any]:
    """The schema of an overlay: an environment's keys, none of them required."""
    schema, definitions = _environment()
    for each in (schema, *definitions.values()):
        each.pop("required", None)
    return {"$schema": _DIALECT, **schema, "title": "overlay", "definitions": definitions}


def as_text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write() -> list[Path]:
    """Write both schema files; return those that changed."""
    changed = []
    for path, schema in ((PROJECT_FILE, project_schema()), (OVERLAY_FILE, overlay_schema())):
        text = as_text(schema)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def _environment() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of an environment, and those of its sections."""
    from ops.core.config.settings import MAY_BE_NONE, NONE, Environment

    def allow_none(field: dict[str, Any]) -> None:
        """Accept `none`: there is no such thing, on purpose. A text accepts it anyway."""
        if "allOf" in field:
            field["anyOf"] = [*field.pop("allOf"), {"const": NONE}]

    schema = Environment.model_json_schema(ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs")
    for each in (schema, *definitions.values()):
        each.pop("title", None)
        for field in each["properties"].values():
            _tidy(field)
    for key in MAY_BE_NONE:
        allow_none(schema["properties"][key])
    return schema, definitions


def _tidy(field: dict[str, Any]) -> None:
    """Drop titles, and `null`: an empty value is an error, a missing key is not."""
    field.pop("title", None)
    if field.get("default", "") in (None, {}, []):
        field.pop("default")
    kinds = [each for each in field.get("anyOf", ()) if each != {"type": "null"}]
    if kinds and len(kinds) < len(field["anyOf"]):
        del field["anyOf"]
        field.update(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
    if "$ref" in field and len(field) > 1:  # draft 7 ignores what stands beside a $ref
        field["allOf"] = [{"$ref": field.pop("$ref")}]
