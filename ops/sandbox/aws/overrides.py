"""Replacement of moto's answers: methods of its response classes, but not its serialisation.

moto's state is global to a process, so one process holds one sandbox; a second `serve` in the same
process replaces the first one's answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult

_ORIGINALS: dict[tuple[type, str], Any] = {}


def answer(response_class: Any, action: str, handler: Callable[[Any], Any]) -> None:
    """Answer `action` (snake_case) with the result of `handler(response)`.

    The result is a dict in the API's shape; `response` is moto's request.
    """

    def method(self: Any) -> Any:
        return ActionResult(handler(self))

    replace(response_class, action, method)


def original(owner: Any, name: str) -> Any:
    """Return moto's own attribute, however often it was replaced; None if moto has none."""
    key = (owner, name)
    if key not in _ORIGINALS:
        _ORIGINALS[key] = getattr(owner, name, None)
    return _ORIGINALS[key]


def replace(owner: Any, name: str, value: Any) -> None:
    """Replace moto's attribute by `value`; `original` still finds moto's."""
    original(owner, name)
    setattr(owner, name, value)


def computed(owner: Any, name: str, getter: Callable[[Any], Any]) -> None:
    """Make `name` on moto's class a property computed by `getter`; writes are dropped."""
    replace(owner, name, property(getter, lambda self, value: None))
