"""The model of the preflight checklist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "refuse", "unknown", "skipped"]


@dataclass(frozen=True)
class Item:
    """One line of the checklist. `next`: the command or action that helps."""

    name: str
    status: Status
    detail: str
    next: str = ""
