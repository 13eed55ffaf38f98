"""Faults: the problems of the runbook and of `facts.md`, injected into the sandbox.

`faults(root)` lists them; `send_request(root, verb, name)` breaks or mends one. The supervisor does
the work, on request over its control port. Health checks are never faked: they find real faults.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from ops.core.errors import OpsError, Refused, error_of_kind
from ops.sandbox import status
from ops.sandbox.contracts import Paths
from ops.sandbox.faults import active_faults
from ops.sandbox.faults.catalog import FAULTS, find

_LONGEST = 180.0  # seconds for one request


def faults(root: Path) -> list[dict[str, Any]]:
    """List every fault and whether it is active.

    Raises OpsError.

    For a sandbox that is down, only faults that survive a restart can be active.
    """
    paths = Paths(root.resolve())
    if status.read_status(paths.root).ready:
        return list(_ask(paths, "", None)["faults"])
    left = {name for name in active_faults.read(paths) if find(name).survives_restart}
    return [fault.as_row(fault.name in left) for fault in FAULTS]


def send_request(root: Path, verb: str, name: str = "") -> list[dict[str, Any]]:
    """Send `break`, `mend` or `mend-all` to the supervisor and return the resulting changes.

    Raises ConfigError for an unknown name, Refused if the sandbox is down or the fault conflicts
    with an active one, and OpsError.
    """
    paths = Paths(root.resolve())
    if verb != "mend-all":
        find(name)
    if not status.read_status(paths.root).ready:
        raise Refused(
            f"inv sandbox.{verb.replace('-', ' --')}",
            "the sandbox is down or unhealthy",
            "inv sandbox.up",
        )
    return list(_ask(paths, f"/{verb}", {"fault": name})["done"])


def _ask(paths: Paths, path: str, body: dict[str, str] | None) -> dict[str, Any]:
    record = status.read(paths)
    if record is None or record.control is None:
        raise Refused("the sandbox's control port", "the sandbox is down", "inv sandbox.up")
    request = urllib.request.Request(f"http://127.0.0.1:{record.control}/faults{path}")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request.add_header("Authorization", f"Bearer {paths.token.read_text()}")
        with direct.open(
            request, json.dumps(body).encode() if body is not None else None, timeout=_LONGEST
        ) as answer:
            return dict(json.load(answer))
    except HTTPError as refused:
        raise _error(refused) from None
    except (OSError, ValueError) as exc:
        raise OpsError(
            "the sandbox does not answer on its control port", str(exc), "inv sandbox.status"
        ) from exc


def _error(refused: HTTPError) -> OpsError:
    try:
        document = json.load(refused)
        return error_of_kind(document.get("kind", ""), **document["error"])
    except (ValueError, KeyError, TypeError):
        return OpsError("the sandbox's control port", f"HTTP {refused.code}", "inv sandbox.status")
