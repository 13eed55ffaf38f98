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
class AbsentContent:
    """Paths of submodules and Git LFS files in a build context that this machine does not have."""

    submodules: tuple[str, ...] = ()
    lfs_files: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class BuildSecret:
    """A secret of a build: the value of an environment variable, or the content of a file."""

    id: str
    environment: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build; `cache_from` and `cache_to` are in buildx's words.

    `provenance`: whether a provenance attestation is attached.
    """

    target: str = ""
    secrets: tuple[BuildSecret, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    provenance: bool = False

    @property
    def only_buildkit(self) -> tuple[str, ...]:
        """The keys of invoke.yaml in use that the classic builder does not have."""
        used = {
            "build_secrets": bool(self.secrets),
            "cache_from": any("=" in each for each in self.cache_from),
            "cache_to": bool(self.cache_to),
            "provenance": self.provenance,
        }
        return tuple(key for key, is_used in used.items() if is_used)
