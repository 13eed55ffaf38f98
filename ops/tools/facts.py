"""Facts that programs on this machine report: checkouts, commits, engines, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DETACHED = "(detached)"  # in place of a branch


@dataclass(frozen=True)
class Commit:
    """A commit: `full` and `short` id, subject, time (ISO 8601), and the remote's address."""

    full: str
    short: str
    subject: str
    at: str
    source: str


@dataclass(frozen=True)
class Checkout:
    """The state of a checkout.

    `pushed` is whether the remote's branch, as last fetched, contains HEAD; None if it was never
    fetched. `at_remote`: HEAD is the remote's branch.
    """

    branch: str
    changes: tuple[str, ...]
    pushed: bool | None
    commit: Commit
    at_remote: bool = False


@dataclass(frozen=True)
class EngineInfo:
    """Version and architecture of a Docker engine."""

    version: str
    api: str
    architecture: str


@dataclass(frozen=True)
class LocalImage:
    """An image in the engine.

    `digests` maps each repository that it was pushed to or pulled from to the digest there.
    """

    id: str
    revision: str | None
    architecture: str
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CommitRange:
    """The commits by which two releases differ, newest first: "abc1234 subject".

    `removed`: those of the first that the second does not have.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def any(self) -> bool:
        return bool(self.added or self.removed)
