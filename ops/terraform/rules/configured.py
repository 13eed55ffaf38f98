"""Which attributes of a resource the configuration sets, from a plan's `configuration`.

Terraform's JSON has the expressions of a resource's arguments and nested blocks, but leaves out
`dynamic` blocks, so their names have to be known from the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_INDEX = re.compile(r'\["(?:[^"\\]|\\.)*"\]|\[\d+\]')
# set by the provider's default_tags, so by the configuration
_BY_PROVIDER = frozenset({"tags_all"})


def configured_attributes(configuration: Any, address: str) -> frozenset[str] | None:
    """Return the attributes that are set for a resource; None if the plan does not say.

    `address` may be of an instance, in modules: `module.web["a"].aws_lb.main[0]`.
    """
    module, parts = _module_of(configuration, address)
    for each in _resources(module):
        expressions = _get(each, "expressions")
        if _get(each, "address") == ".".join(parts) and isinstance(expressions, Mapping):
            return frozenset(map(str, expressions)) | _BY_PROVIDER
    return None


def is_configured(configuration: Any, address: str) -> bool:
    """Whether the configuration has a resource or module of this address; keys do not count."""
    module, parts = _module_of(configuration, address)
    if parts[0] == "module":
        return len(parts) == 2 and _get(_get(module, "module_calls"), parts[1]) is not None
    return any(_get(each, "address") == ".".join(parts) for each in _resources(module))


def _module_of(configuration: Any, address: str) -> tuple[Any, list[str]]:
    """The module that an address is in, and the rest of the address."""
    module = _get(configuration, "root_module")
    parts = without_keys(address).split(".")
    while parts[0] == "module" and len(parts) > 2:
        module = _get(_get(_get(module, "module_calls"), parts[1]), "module")
        parts = parts[2:]
    return module, parts


def _resources(module: Any) -> list[Any]:
    resources = _get(module, "resources")
    return resources if isinstance(resources, list) else []


def without_keys(address: str) -> str:
    """The address of a resource without the keys of `count` and `for_each`."""
    return _INDEX.sub("", address)


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
