"""Facts that programs on this machine report: checkouts, commits, engines, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Commit:
    """What is to be built: `full` and `short` id, subject, time (ISO 8601), and the remote's
    address.
    """

    full: str
    short: str
    subject: str
    at: str
    source: str


@dataclass(frozen=True)
class Checkout:
    """The state of the application's checkout. `pushed`: HEAD is contained in the remote's branch
    as last fetched; None: there is none.
    """

    branch: str
    changes: tuple[str, ...]
    pushed: bool | None
    commit: Commit


@dataclass(frozen=True)
class EngineInfo:
    """What answers as the Docker engine."""

    version: str
    api: str
    architecture: str


@dataclass(frozen=True)
class LocalImage:
    """An image in the engine. `digests`: repository → digest, for every repository that it was
    pushed to or pulled from.
    """

    id: str
    revision: str | None
    architecture: str
    digests: Mapping[str, str] = field(default_factory=dict)
