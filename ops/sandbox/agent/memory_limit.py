"""The check of a container's memory limit (`memory` of its definition, in MiB).

Emulates the kernel's out-of-memory killer, checked whenever the process is polled. Differs from it:
only the container's own limit counts (not the task's), only the first process is measured, and a
short peak between two polls is missed.
"""

from __future__ import annotations

from typing import Any

import psutil

_MIB = 1 << 20
KILLED = 137  # 128 + SIGKILL


def exceeded(definition: dict[str, Any], pid: int | None) -> bool:
    """Whether the process `pid` uses more memory than its container definition allows."""
    limit = definition.get("memory")
    if not limit or pid is None:
        return False
    try:
        return bool(psutil.Process(pid).memory_info().rss > int(limit) * _MIB)
    except psutil.Error:
        return False
