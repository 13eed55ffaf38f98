"""What `inv SERVICE.status` shows of one service; what could not be read is Unknown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.aws.facts import ServiceState, Target, TaskState
from ops.cdn.facts import Invalidation
from ops.core.findings import Unknown
from ops.ecs.status import PlatformStatus, ServiceStatus
from ops.health.rules.stored_sweep import StoredSweep
from ops.state.lock_admin import LockStatus
from ops.state.model import ReleaseRecord

NOT_REGISTERED = frozenset({"draining", "unused"})  # on their way out, or of a group not in use


@dataclass(frozen=True)
class RunningVersion:
    """The version that runs: the image and its tag, and the commit where git or a record names it.

    `commit` and `subject` are "" if neither does. `schema`: the revision that the release's record
    names; None without a record or a database.
    """

    image: str
    tag: str
    commit: str = ""
    subject: str = ""
    schema: str | None = None


@dataclass(frozen=True)
class GroupHealth:
    """The targets of one target group."""

    name: str
    targets: tuple[Target, ...]

    @property
    def registered(self) -> tuple[Target, ...]:
        return tuple(each for each in self.targets if each.state not in NOT_REGISTERED)

    @property
    def healthy(self) -> int:
        return sum(each.state == "healthy" for each in self.targets)

    def as_document(self) -> dict[str, Any]:
        return {
            "target_group": self.name,
            "healthy": self.healthy,
            "total": len(self.registered),
            "targets": [vars(each) for each in self.targets],
        }


@dataclass(frozen=True)
class CdnSummary:
    """The service's distribution and its newest invalidation, if it has any."""

    distribution: str
    last: Invalidation | None


@dataclass(frozen=True)
class OneOffTask:
    """A running task of `SERVICE.run`, and the command that stops it."""

    task: TaskState
    stop: str

    def as_document(self) -> dict[str, Any]:
        task = self.task
        return {
            "task": task.id,
            "started_by": task.started_by,
            "created_at": task.created_at,
            "stop": self.stop,
        }


@dataclass(frozen=True)
class ServiceScreen:
    """One service at one time. None: there is none, or it does not apply to the service."""

    environment: str
    at: datetime
    ecs: ServiceStatus
    version: RunningVersion | Unknown | None
    targets: tuple[GroupHealth, ...] | Unknown
    release: ReleaseRecord | Unknown | None
    locks: tuple[LockStatus, ...] | Unknown | None
    cdn: CdnSummary | Unknown | None
    health: StoredSweep | Unknown | None
    has_database: bool = False
    has_state: bool = True  # False: none, by configuration
    one_offs: tuple[OneOffTask, ...] | Unknown = ()

    @property
    def healthy(self) -> bool:
        """Whether ECS has finished, every task and target is healthy, and all of it was read."""
        if self.ecs.exit_code or isinstance(self.targets, Unknown):
            return False
        tasks = () if isinstance(self.ecs.tasks, Unknown) else self.ecs.tasks
        targets = [target for group in self.targets for target in group.registered]
        wanted = self.ecs.state.desired if isinstance(self.ecs.state, ServiceState) else 0
        return (
            sum(task.status == "RUNNING" for task in tasks) >= wanted
            and all(task.health != "UNHEALTHY" for task in tasks)
            and all(target.state == "healthy" for target in targets)
        )

    @property
    def exit_code(self) -> int:
        return 0 if self.healthy else 1

    def unknown(self) -> Iterator[tuple[str, str]]:
        """Yield each part that could not be read, and why."""
        parts = {
            "deployment": self.ecs.state,
            "tasks": self.ecs.tasks,
            "one_offs": self.one_offs,
            "version": self.version,
            "targets": self.targets,
            "release": self.release,
            "locks": self.locks,
            "cdn": self.cdn,
            "health": self.health,
        }
        for name, value in parts.items():
            if isinstance(value, Unknown):
                yield name, value.why

    @property
    def document(self) -> dict[str, Any]:
        """The document of `SERVICE.status --json`: the one of `inv status`, and more fields."""
        document = PlatformStatus(self.environment, (self.ecs,)).document
        service = document["services"][0]
        version = self.version if isinstance(self.version, RunningVersion) else None
        if service.get("tasks") and not isinstance(self.ecs.tasks, Unknown):
            service["tasks"] = [
                {**known, **self._task(task)}
                for known, task in zip(service["tasks"], self.ecs.tasks, strict=True)
            ]
        service |= {
            "healthy": self.healthy,
            "at": self.at,
            "version": version.tag or None if version else None,
            "commit": version.commit or None if version else None,
            "subject": version.subject or None if version else None,
            "schema_revision": version.schema if version else None,
            "one_offs": None
            if isinstance(self.one_offs, Unknown)
            else [each.as_document() for each in self.one_offs],
            "targets": None
            if isinstance(self.targets, Unknown)
            else [group.as_document() for group in self.targets],
            "release": self._release(),
            "locks": None
            if isinstance(self.locks, Unknown) or self.locks is None
            else [lock.as_document() for lock in self.locks],
            "cdn": self._cdn(),
            "health": self._health(),
            "unknown": dict(self.unknown()),
        }
        return document

    def _task(self, task: Any) -> dict[str, Any]:
        age = None if task.created_at is None else (self.at - task.created_at).total_seconds()
        return {
            "task_definition": task.task_definition.rsplit("/", 1)[-1],
            "health": task.health or None,
            "created_at": task.created_at,
            "age_s": None if age is None else round(max(age, 0.0), 1),
            "address": task.address or None,
        }

    def _release(self) -> dict[str, Any] | None:
        if not isinstance(self.release, ReleaseRecord):
            return None
        names = ("tag", "commit", "subject", "verdict", "at", "by", "host", "deployment")
        return {name: getattr(self.release, name) for name in names}

    def _cdn(self) -> dict[str, Any] | None:
        if not isinstance(self.cdn, CdnSummary):
            return None
        last = self.cdn.last.as_document() if self.cdn.last else None
        return {"distribution": self.cdn.distribution, "last_invalidation": last}

    def _health(self) -> dict[str, Any] | None:
        if not isinstance(self.health, StoredSweep):
            return None
        failed, unknown = unhealthy_checks(self.health, self.ecs.name)
        return {"at": self.health.at, "failed": failed, "unknown": unknown}


def unhealthy_checks(sweep: StoredSweep, service: str) -> tuple[list[str], list[str]]:
    """The failed and the unknown checks of a sweep that are this service's, or no service's."""
    ours = [check for check in sweep.checks if check.service in (service, "")]
    failed = [check.label for check in ours if check.status == "failed"]
    return failed, [check.label for check in ours if check.status == "unknown"]


def running_deployments(screen: ServiceScreen) -> tuple[Any, ...]:
    """The deployments of the service; empty if it could not be read."""
    state = screen.ecs.state
    return state.deployments if isinstance(state, ServiceState) else ()
