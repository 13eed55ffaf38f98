"""How the health tests look at the sandbox: a sweep's document, what is ill in it, why, and what
nothing else explains.
"""

from __future__ import annotations

import json
import time
from typing import Any

from tests.checkout import Checkout

GROUPS = {
    "account",
    "db",
    "ecs",
    "targets",
    "endpoints",
    "cdn",
    "certificates",
    "logs",
    "terraform",
}
WELL_WITHIN = 45.0  # errors of a while ago still count in the logs


def look(platform: Checkout, *words: str) -> dict[str, Any]:
    done = platform.inv("health.all", "--json", *words)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["healthy"] else 1), done.stderr
    return found


def ill(found: dict[str, Any]) -> dict[str, str]:
    """Label → status of what failed or is unknown."""
    return {
        f"{each['group']} · {each['name']}": each["status"]
        for each in found["checks"]
        if each["status"] in ("failed", "unknown")
    }


def causes(found: dict[str, Any]) -> set[str]:
    return {each["cause"] for each in found["findings"]}


def roots(found: dict[str, Any]) -> dict[str, str]:
    """Label → cause of what is ill and explained by nothing else."""
    labels = {f"{each['group']} · {each['name']}": each for each in found["checks"]}
    return {
        label: labels[label]["cause"] for label in ill(found) if not labels[label]["explained_by"]
    }


def until_well(platform: Checkout) -> dict[str, Any]:
    end = time.monotonic() + WELL_WITHIN
    while True:
        found = look(platform)
        if found["healthy"]:
            return found
        assert time.monotonic() < end, ill(found)
        time.sleep(1)


def break_it(platform: Checkout, *faults: str) -> None:
    for fault in faults:
        done = platform.inv("sandbox.break", fault)
        assert done.returncode == 0, done.stderr
