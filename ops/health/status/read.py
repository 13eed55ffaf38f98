"""Read the screen of a service: all parts in parallel, under one deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ops.aws import ecs, elb, s3
from ops.aws.facts import ServiceState, TaskDefinitionArn, image_tag, target_group_name
from ops.cdn import cloudfront
from ops.cdn.invalidate import find
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.core.parallel import AT_ONCE, Call, run_calls
from ops.ecs.one_off_plan import running_one_offs, stop_command
from ops.ecs.status import ServiceStatus
from ops.health import history
from ops.health.inputs import Memo
from ops.health.status.model import (
    CdnSummary,
    GroupHealth,
    OneOffTask,
    RunningVersion,
    ServiceScreen,
)
from ops.state import lock, lock_admin, records
from ops.state.model import ReleaseRecord
from ops.tools import git

if TYPE_CHECKING:
    from ops.core.config.settings import Service
    from ops.platform import Platform

DEADLINE_S = 10.0


def read_screen(platform: Platform, name: str, deadline_s: float = DEADLINE_S) -> ServiceScreen:
    """The service's screen; what fails or is late is Unknown, with the reason."""
    reads = _ScreenReads.of(platform, name)
    service = reads.service
    parts = _read_all(
        {
            "state": reads.state,
            "tasks": reads.tasks,
            "one_offs": reads.one_offs,
            "version": reads.version,
            "targets": reads.targets,
            "release": reads.release,
            "locks": reads.locks,
            "cdn": reads.cdn,
            "health": lambda: history.last_run(platform.settings),
        },
        deadline_s,
    )
    status = ServiceStatus(
        name, service.ecs_service, service.container, parts.pop("state"), parts.pop("tasks")
    )
    environment = platform.settings.environment
    return ServiceScreen(
        platform.settings.name,
        datetime.now(UTC),
        status,
        has_database=environment.database is not None,
        has_state="state" not in environment.absent,
        **parts,
    )


def _read_all(reads: dict[str, Callable[[], Any]], deadline_s: float) -> dict[str, Any]:
    """The value of each read; Unknown if it failed or had no answer within the deadline."""

    def boxed(read: Callable[[], Any]) -> Callable[[], tuple[Any]]:
        return lambda: (read(),)  # None is a value; without a box it would be a late read

    calls = [Call(boxed(read), f"read {name}") for name, read in reads.items()]
    late = Unknown(f"no answer within {deadline_s:g} s")
    found = run_calls(calls, AT_ONCE, deadline_s)
    values = [late if box is None else box[0] if isinstance(box, tuple) else box for box in found]
    return dict(zip(reads, values, strict=True))


@dataclass(frozen=True)
class _ScreenReads:
    """The reads of one service; the state and the records are read once for all of them."""

    platform: Platform
    name: str
    service: Service
    state: Memo[ServiceState | None]
    records: Memo[tuple[ReleaseRecord, ...]]

    @classmethod
    def of(cls, platform: Platform, name: str) -> _ScreenReads:
        service = platform.settings.service(name)
        cloud, cluster = platform.cloud, platform.settings.environment.cluster
        return cls(
            platform,
            name,
            service,
            Memo(lambda: ecs.service(cloud, cluster, service.ecs_service)),
            Memo(lambda: records.read(platform, name)),
        )

    def tasks(self) -> Any:
        cluster = self.platform.settings.environment.cluster
        return ecs.tasks(self.platform.cloud, cluster, self.service.ecs_service)

    def one_offs(self) -> tuple[OneOffTask, ...]:
        """The running tasks of `run`, of the primary deployment's family."""
        state = self.state()
        if state is None or state.primary is None:
            return ()
        family = TaskDefinitionArn(state.primary.task_definition).family
        return tuple(
            OneOffTask(task, stop_command(self.platform, task))
            for task in running_one_offs(self.platform, family)
        )

    def version(self) -> RunningVersion | None:
        """The version of the primary deployment's image; None if ECS has no such service."""
        state = self.state()
        if state is None or state.primary is None:
            return None
        revision = ecs.task_definition(self.platform.cloud, state.primary.task_definition)
        container = revision.container(self.service.container) if revision else None
        if container is None:
            what = f"container {self.service.container} of {state.primary.task_definition}"
            raise OpsError(what, "the task definition has none", "correct `container`")
        image = str(container.get("image", ""))
        tag = image_tag(image)
        record = self._record_of(tag, state.primary.id)
        commit, subject = (record.commit or "", record.subject or "") if record else ("", "")
        if not subject and (known := git.find_commit(self.platform.settings.source, commit or tag)):
            commit, subject = commit or known.full, known.subject
        return RunningVersion(
            image, tag, commit, subject, record.schema_revision if record else None
        )

    def _record_of(self, tag: str, deployment: str) -> ReleaseRecord | None:
        """The newest record of this deployment, else of a successful release of the tag."""
        try:
            found = self.records()
        except OpsError:  # the release part reports it
            return None
        same = [each for each in found if each.deployment == deployment]
        same += [each for each in found if each.succeeded and each.tag == tag]
        return next(iter(same), None)

    def targets(self) -> tuple[GroupHealth, ...]:
        """The targets of each target group that the service registers its tasks in."""
        state = self.state()
        arns = [
            arn for each in (state.load_balancers if state else ()) for arn in each.target_groups
        ]
        return tuple(
            GroupHealth(target_group_name(arn), elb.targets(self.platform.cloud, arn))
            for arn in dict.fromkeys(arns)
        )

    def release(self) -> ReleaseRecord | None:
        """The newest release, whatever its verdict; None without records."""
        return next(iter(self.records()), None)

    def locks(self) -> tuple[lock_admin.LockStatus, ...] | None:
        """The service's lock if it is held; None without a state bucket."""
        place = lock.LockLocation.of(self.platform.cloud, self.platform.settings, self.name)
        if place is None:
            return None
        stored = s3.read(place.cloud, place.bucket, place.key)
        held = lock_admin.held_lock(place, stored)
        return (held,) if held else ()

    def cdn(self) -> CdnSummary | None:
        """The distribution and its newest invalidation; None for a service that is not cached."""
        absent = self.platform.settings.environment.absent
        if not self.service.invalidate or "cdn" in absent:
            return None
        found = find(self.platform)
        return CdnSummary(str(found), cloudfront.newest_invalidation(self.platform.cloud, found.id))
