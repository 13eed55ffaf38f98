"""Looks of `inv troubleshoot.all` at a sandbox, until it shows what is expected or a while is over.

A loaded machine shows a fault a moment later, and old errors in logs pass by themselves.
"""

from __future__ import annotations

import time
from typing import Any

from tests.checkout import Checkout

_LOOKS, _PAUSE_S = 12, 3.0


def look(platform: Checkout) -> dict[str, Any]:
    found: dict[str, Any] = platform.document("troubleshoot.all")
    assert found["broken_rules"] == []
    return found


def until_first(platform: Checkout, cause: str) -> dict[str, Any]:
    """The first look in which this cause comes first, as a root; fails if there is none."""
    for _ in range(_LOOKS):
        found = look(platform)
        first = found["findings"][0] if found["findings"] else {}
        if first.get("cause") == cause and not first["explained_by"]:
            return found
        time.sleep(_PAUSE_S)
    raise AssertionError([(each["cause"], each["explained_by"]) for each in found["findings"]])


def until_nothing(platform: Checkout) -> None:
    """Fails if a cause is still found after the last look."""
    for _ in range(_LOOKS):
        causes = [each["cause"] for each in look(platform)["findings"]]
        if not causes:
            return
        time.sleep(_PAUSE_S)
    raise AssertionError(causes)
