"""Typed access to the objects of Terraform's plan JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.errors import OpsError


@dataclass(frozen=True)
class JsonObject:
    """A JSON object with typed access to its values.

    `label` names it in errors (an address); `path` is its place in the plan.
    """

    values: Mapping[str, Any]
    label: str
    path: str = ""

    def malformed(self, key: str, value: Any) -> OpsError:
        why = (
            f"`{key}` of {self.label} is {type(value).__name__}, which Terraform's JSON Output "
            f"Format does not allow"
        )
        return OpsError(
            "Terraform's plan could not be read", why, "read it: the program's show -json FILE"
        )

    def get_mapping(self, key: str) -> Mapping[str, Any]:
        """The object at `key` as it is; empty if it is missing or null."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.malformed(key, value)
        return value

    def get_object(self, key: str, label: str = "") -> JsonObject:
        """The object at `key`; empty if it is missing or null."""
        return JsonObject(self.get_mapping(key), label or self.label, f"{self.path}{key}.")

    def get_list(self, key: str) -> list[Any]:
        """The list at `key`; empty if it is missing or null."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.malformed(key, value)
        return value

    def get_objects(self, key: str) -> list[JsonObject]:
        """The list of objects at `key`."""
        found = self.get_list(key)
        for position, each in enumerate(found):
            if not isinstance(each, Mapping):
                raise self.malformed(f"{key}[{position}]", each)
        return [
            JsonObject(each, f"{key}[{position}]", f"{self.path}{key}[].")
            for position, each in enumerate(found)
        ]

    def get_text(self, key: str) -> str:
        """The string at `key`; empty if it is missing or null."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.malformed(key, value)
        return value or ""

    def get_texts(self, key: str) -> tuple[str, ...]:
        """The list of strings at `key`."""
        found = self.get_list(key)
        for position, each in enumerate(found):
            if not isinstance(each, str):
                raise self.malformed(f"{key}[{position}]", each)
        return tuple(found)

    def get_address(self) -> str:
        """The address, which every resource and action has."""
        address = self.get_text("address")
        if not address:
            raise self.malformed("address", self.values.get("address"))
        return address

    def unknown_keys(self, known: frozenset[str]) -> tuple[str, ...]:
        """Keys that are not known here, each with its place in the plan."""
        return tuple(f"{self.path}{key}" for key in sorted(self.values) if key not in known)
