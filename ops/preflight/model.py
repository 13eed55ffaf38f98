"""The preflight checklist's words: a status and a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "refuse", "unknown", "skipped"]


@dataclass(frozen=True)
class Item:
    """One line of the preflight checklist. `next`: what to type."""

    name: str
    status: Status
    detail: str
    next: str = ""
