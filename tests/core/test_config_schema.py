"""The JSON Schema of the configuration and its reference, both from the models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.core.config import schema

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = {
    "Environment": {"account", "region", "cluster", "services"},
    "Service": {"ecs_service", "container"},
}


@pytest.mark.parametrize(
    ("path", "made"),
    [
        (schema.PROJECT_FILE, schema.project_schema),
        (schema.OVERLAY_FILE, schema.overlay_schema),
    ],
)
def test_the_schema_files_are_current(path: Path, made: Any) -> None:
    """Editors read the committed files; `inv dev.docs` brings them up to date."""
    assert path.read_text(encoding="utf-8") == schema.as_text(made()), "run inv dev.docs"


def test_the_reference_of_keys_is_current() -> None:
    """docs/configuration.md ends in a table of every key."""
    from docs import gather

    page = (ROOT / gather.REFERENCE).read_text(encoding="utf-8")
    assert page == gather.reference(ROOT), "run inv dev.docs"
    assert "| `ecs_service` | text | **required** |" in page
    assert "| `deploy_timeout` | duration | `15m` |" in page


def test_invoke_yaml_names_its_schema() -> None:
    """The line that the YAML language server reads, with a path that exists."""
    line = (ROOT / "invoke.yaml").read_text(encoding="utf-8").splitlines()[0]
    path = schema.PROJECT_FILE.relative_to(ROOT).as_posix()
    assert f"{line}\n" == schema.modeline(path)


def test_every_key_has_a_description_and_required_ones_are_marked() -> None:
    """An editor explains each key, and says which are missing."""
    definitions = schema.project_schema()["definitions"]
    for name, each in definitions.items():
        for key, field in each["properties"].items():
            assert field.get("description"), f"{name}.{key}"
    for name, keys in REQUIRED.items():
        assert set(definitions[name]["required"]) == keys


def test_an_overlay_requires_nothing_and_may_hold_keys_of_a_local_aws() -> None:
    """It is part of an environment; only it has an access key."""
    overlay = schema.overlay_schema()
    assert '"required"' not in json.dumps(overlay)
    assert "access_key" in overlay["definitions"]["Aws"]["properties"]
    assert "access_key" not in schema.project_schema()["definitions"]["Aws"]["properties"]


def objections(value: Any, rule: dict[str, Any], whole: dict[str, Any], path: str) -> Iterator[str]:
    """Keys that a schema does not know, or requires, in a document."""
    for inner in [rule, *rule.get("allOf", ()), *rule.get("anyOf", ())]:
        if reference := inner.get("$ref"):
            rule = whole["definitions"][reference.rpartition("/")[2]]
    if isinstance(value, dict):
        yield from (f"{path}: no {key}" for key in rule.get("required", ()) if key not in value)
        for key, item in value.items():
            known = rule.get("properties", {}).get(key, rule.get("additionalProperties", True))
            if known is False:
                yield f"{path}.{key} is unknown"
            elif isinstance(known, dict):
                yield from objections(item, known, whole, f"{path}.{key}")
    elif isinstance(value, list) and isinstance(rule.get("items"), dict):
        for item in value:
            yield from objections(item, rule["items"], whole, f"{path}[]")


def test_the_schema_accepts_invoke_yaml_and_refuses_mistakes() -> None:
    """What the loader takes has no red line in an editor, and what it refuses has one."""
    document = yaml.safe_load((ROOT / "invoke.yaml").read_text(encoding="utf-8"))
    whole = schema.project_schema()
    assert list(objections(document, whole, whole, "")) == []
    backend = document["environments"]["dev"]["services"]["backend"]
    backend["contaner"] = backend.pop("container")
    document["environments"]["dev"]["cdn"]["aliass"] = "x"
    backend["endpoints"][0]["pth"] = "/"
    service = ".environments.dev.services.backend"
    assert set(objections(document, whole, whole, "")) == {
        ".environments.dev.cdn.aliass is unknown",
        f"{service}: no container",
        f"{service}.contaner is unknown",
        f"{service}.endpoints[].pth is unknown",
    }
