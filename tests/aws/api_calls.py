"""The AWS operations that `ops` calls, found in its source, by botocore's models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

OPS = Path(__file__).parents[2] / "ops"
_LOADERS = {
    "_of_the_vpcs": "ec2",  # (reader, operation, …)
}


@dataclass(frozen=True, order=True)
class ApiCall:
    """One call in the source: `operation` is botocore's name of it, such as DescribeServices."""

    module: str
    line: int
    service: str
    operation: str
    paginated: bool

    @property
    def permission_name(self) -> str:
        return f"{self.service}:{self.operation}"


@cache
def botocore_session() -> Any:
    from botocore.session import Session

    return Session()


@cache
def operations(service: str) -> dict[str, str]:
    """Name of the client's method → name of the operation."""
    from botocore import xform_name

    model = botocore_session().get_service_model(service)
    return {xform_name(each): each for each in model.operation_names}


@cache
def paginators(service: str) -> frozenset[str]:
    """The operations that botocore can paginate."""
    model = botocore_session().get_paginator_model(service)
    return frozenset(model._paginator_config)


def api_calls() -> list[ApiCall]:
    """Every call of the product, without the sandbox."""
    found = []
    for path in sorted(OPS.rglob("*.py")):
        name = str(path.relative_to(OPS))
        if not name.startswith("sandbox/"):
            found += sorted(set(_calls(name, ast.parse(path.read_text(encoding="utf-8")))))
    return found


def _calls(module: str, tree: ast.Module) -> Iterator[ApiCall]:
    services = sorted({each for node in ast.walk(tree) if (each := _client_of(node))})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _by_name(module, node, services)
        if not isinstance(node, ast.Attribute):
            continue
        direct = _client_of(node.value)
        through = isinstance(node.value, ast.Name) and node.value.id == "client"
        for service in (direct,) if direct else services if through else ():
            if operation := operations(service).get(node.attr):
                yield ApiCall(module, node.lineno, service, operation, False)


def _by_name(module: str, node: ast.Call, services: list[str]) -> Iterator[ApiCall]:
    """Operations that are passed as text: to `get_paginator`, `pages`, or a module's own helper."""
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
    words = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
    if name == "get_paginator" and words:
        direct = _client_of(getattr(node.func, "value", None))
        for service in (direct,) if direct else services:
            if operation := operations(service).get(words[0]):
                yield ApiCall(module, node.lineno, service, operation, True)
    if name == "pages" and len(words) > 1:
        yield ApiCall(module, node.lineno, words[0], operations(words[0])[words[1]], True)
    if name in _LOADERS:
        service = _LOADERS[name]
        yield ApiCall(module, node.lineno, service, operations(service)[words[0]], True)


def _client_of(node: Any) -> str:
    """The service of an expression `….client("service")`; "" for any other."""
    if (
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == "client"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Constant)
    ):
        return str(node.args[0].value)
    return ""
