"""`inv SERVICE.releases`: the releases, and the one that a rollback goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.core import ui
from ops.core.errors import ConfigError, OpsError, Refused
from ops.core.findings import Unknown
from ops.core.text import format_error
from ops.deploy.rollback.read_target import default_target
from ops.deploy.rules.rollback_target import NoRollbackTarget, RollbackTarget
from ops.platform import Platform
from ops.state import records
from ops.state.records import Releases
from ops.state.rules.records import ReleaseFilter


@dataclass(frozen=True)
class ReleaseList:
    """The releases of a service, and the target of a rollback without --to.

    `target` is the Refused of a rollback that has none, the ConfigError of a service without a
    repository, Unknown if it could not be read.
    """

    service: str
    releases: Releases
    target: RollbackTarget | Refused | ConfigError | Unknown
    exit_code: int = 0

    @property
    def text(self) -> str:
        if not self.releases.rows:
            return self.releases.text
        return f"{self.releases.text}\n{self._rollback}".translate(ui.CONTROL)

    @property
    def _rollback(self) -> str:
        rollback = f"inv {self.service}.rollback"
        if isinstance(self.target, Unknown):
            return f"{rollback}: unknown: {self.target.why}"
        if isinstance(self.target, NoRollbackTarget):
            return f"{rollback} has no target: {self.target.why}"
        if isinstance(self.target, Refused | ConfigError):
            return f"{rollback} is refused: {self.target.what}: {self.target.why}"
        if self.target.unfinished:
            return f"{rollback} completes the rollback to {self.target.tag}"
        return f"{rollback} goes to {self.target.tag}"

    @property
    def document(self) -> dict[str, Any]:
        """The releases, and `rollback`: tag, digest and revision, or why there is none."""
        target = self.target
        if isinstance(target, RollbackTarget):
            found = {"to": target.tag, "digest": target.digest, "task_definition": target.revision}
            return {**self.releases.document, "rollback": {**found, "why": None}}
        none = {"to": None, "digest": None, "task_definition": None, "why": target.why}
        return {**self.releases.document, "rollback": none}


def releases(platform: Platform, service: str, only: ReleaseFilter) -> ReleaseList:
    """The newest releases and the target of a rollback. Raises as `records.releases` does."""
    listed = records.releases(platform, service, only)
    return ReleaseList(service, listed, _target(platform, service))


def _target(platform: Platform, service: str) -> RollbackTarget | Refused | ConfigError | Unknown:
    try:
        platform.settings.deployed_service(service)
    except ConfigError as watched:
        return watched
    try:
        return default_target(platform, service)
    except Refused as refused:
        return refused
    except OpsError as error:
        return Unknown(format_error(error))
