"""Which folder of the bastion holds the bundles: the configured one, else one that can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.core.errors import Refused
from ops.core.text import format_size

# tried in this order after the configured folder; %u is the user's number
_OTHERS = (".cache/ecs-runbook", "/var/tmp/ecs-runbook-%u", "/tmp/ecs-runbook-%u")  # noqa: S108
_SITE_SPACE = 64_000_000  # bytes: the libraries, and what Python compiles of them
_CODE_SPACE = 4_000_000  # the engine, the revisions, and logs


@dataclass(frozen=True)
class CacheFolder:
    """A folder of the host, its bundles by kind (newest first), and why it can't be used, if so.

    `free` bytes are None if its file system does not report them; `ran` is the time of the last run
    of the environment there, 0 without any.
    """

    path: str
    there: Mapping[str, Sequence[str]]
    problem: str = ""
    free: int | None = None
    ran: float = 0.0

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> CacheFolder:
        return cls(
            document["path"],
            document["there"],
            document["problem"],
            document["free"],
            document["ran"],
        )

    def problem_for(self, site: str) -> str:
        """Why it can't take a run with these libraries; empty if it can."""
        needed = _CODE_SPACE + (0 if site in self.there["site"] else _SITE_SPACE)
        if not self.problem and self.free is not None and self.free < needed:
            return f"{format_size(self.free)} free, {format_size(needed)} needed"
        return self.problem


def candidates(configured: str) -> list[str]:
    """The folders to examine, the configured one first; no shell expands its `~`."""
    return list(dict.fromkeys([configured.removeprefix("~/"), *_OTHERS]))


def latest(folders: Iterable[CacheFolder]) -> CacheFolder | None:
    """The folder with an engine in which the environment's last run was, if any."""
    installed = [folder for folder in folders if folder.there["code"]]
    return max(installed, key=lambda folder: folder.ran, default=None)


def none_usable(where: str, problems: Mapping[str, str]) -> Refused:
    """No folder can hold the bundles."""
    return Refused(
        f"no folder on {where} can hold the migration's libraries",
        "; ".join(f"{path}: {problem}" for path, problem in problems.items()),
        "set bastion.cache to a folder there that can, or set database.run: tunnel",
    )
