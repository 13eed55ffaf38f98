"""Read what a rollback goes to: release records, ECR, and the old revision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ops.aws import ecr, ecs
from ops.aws.facts import Image, ServiceState, TaskDefinition, image_tag
from ops.core.errors import ConfigError, OpsError, Refused
from ops.core.findings import Unknown
from ops.core.parallel import gather, try_call
from ops.deploy.rules.rollback_target import (
    RollbackTarget,
    RunningRelease,
    choose_target,
    find_release,
    healthy_releases,
    interrupted_rollback,
    revision_label,
    unavailable,
)
from ops.platform import Platform
from ops.preflight.rules.checks import validate_tag
from ops.state import lock_admin, records
from ops.state.model import ReleaseRecord

if TYPE_CHECKING:
    from ops.core.config.settings import Service

_RECORDS = 100  # the newest ones, searched for the target


@dataclass(frozen=True)
class Wanted:
    """The release to go to; `revision` None: only its image goes back."""

    target: RollbackTarget
    revision: TaskDefinition | None


def read_target(platform: Platform, name: str, to: str | None, *, image_only: bool) -> Wanted:
    """Choose the release and read its revision.

    Raises ConfigError for a `to` that names none or several, Refused if there is no release to go
    to, its image is gone from ECR, or what decides it could not be read.
    """
    if to is not None and not to:
        raise ConfigError("--to", "it is empty", f"inv {name}.releases lists the releases")
    reader = _Reader(platform, name, platform.settings.service(name))
    target = reader.named(to) if to else reader.newest_healthy()
    by_terraform = platform.settings.environment.rollout == "terraform"
    if image_only or by_terraform or target.revision is None:
        return Wanted(target, None)
    return Wanted(target, reader.revision_of(target))


def default_target(platform: Platform, name: str) -> RollbackTarget:
    """The release that a rollback without `to` goes to. Raises as `read_target` does."""
    return _Reader(platform, name, platform.settings.service(name)).newest_healthy()


@dataclass(frozen=True)
class _Reader:
    platform: Platform
    name: str
    service: Service

    def newest_healthy(self) -> RollbackTarget:
        """The target without --to. Raises Refused if records, ECS or ECR do not give one."""
        platform = self.platform
        if platform.settings.environment.state is None:
            why = "the environment keeps no release records (state.bucket)"
            how = f"inv {self.name}.rollback --to TAG"
            raise Refused(f"which release of {self.name} was healthy is not known", why, how)
        found = self.records()
        running = self.running()
        tags = {str(each.tag) for each in healthy_releases(found, self.name)}
        images = gather(**{tag: partial(self.image, tag) for tag in tags})
        return choose_target(self.name, found, running, images, self.interrupted())

    def interrupted(self) -> str | None:
        """The tag of a rollback that holds the lock: it was killed, or is still running."""
        try:
            holder = lock_admin.holder_of(self.platform.cloud, self.platform.settings, self.name)
        except OpsError as error:
            what = f"the lock of {self.name} could not be read"
            how = error.login or "inv lock.status"
            raise Refused(what, error.why or error.what, how) from None
        return interrupted_rollback(holder.reason) if holder else None

    def records(self) -> tuple[ReleaseRecord, ...]:
        """The newest records. Raises Refused if they cannot be read: an older one is no answer."""
        platform = self.platform
        records.send_pending(platform)
        try:
            keys = records.keys(platform, self.name, _RECORDS)
            found = records.fetch(platform, keys) if keys else ()
        except OpsError as error:
            raise self._unread(error.why or error.what, error.login) from None
        if len(found) < len(keys):
            raise self._unread(f"{len(keys) - len(found)} of {len(keys)} could not be read")
        return found

    def _unread(self, why: str, login: str = "") -> Refused:
        how = login or f"inv {self.name}.rollback --to TAG, where the tag is known"
        return Refused(f"the release records of {self.name} could not be read", why, how)

    def running(self) -> RunningRelease:
        """Read what the service's primary deployment runs."""
        cloud, environment = self.platform.cloud, self.platform.settings.environment
        state = self.state()
        revision = ecs.task_definition(cloud, state.task_definition)
        container = revision.container(self.service.container) if revision else None
        tag = image_tag(str((container or {}).get("image", "")))
        label = state.task_definition.rsplit("/", 1)[-1]
        tasks = try_call(lambda: ecs.tasks(cloud, environment.cluster, self.service.ecs_service))
        found = () if isinstance(tasks, Unknown) else tasks
        digests = [
            state_of.digest
            for task in found
            if task.task_definition == state.task_definition
            and (state_of := task.container(self.service.container)) is not None
            and state_of.digest
        ]
        if digests:
            return RunningRelease(tag, digests[0], label)
        image = try_call(lambda: self.image(tag)) if tag else None
        return RunningRelease(tag, image.digest if isinstance(image, Image) else None, label)

    def state(self) -> ServiceState:
        environment = self.platform.settings.environment
        state = ecs.service(self.platform.cloud, environment.cluster, self.service.ecs_service)
        if state is None:
            why = f"cluster {environment.cluster} has no such service"
            raise Refused(f"service {self.service.ecs_service}", why, "inv preflight")
        return state

    def image(self, tag: str) -> Image | None:
        return ecr.image(self.platform.cloud, self.service.repository or "", tag)

    def named(self, to: str) -> RollbackTarget:
        """The release that `--to` names: one with a record, a revision, or a tag in ECR."""
        record = None
        if self.platform.settings.environment.state is not None:
            record = find_release(self.name, to, self.records())
        if record is not None and record.tag:
            image = self.image(record.tag)
            gone = unavailable(record, image)
            if gone or image is None:
                how = f"inv {self.name}.releases shows which are still in ECR"
                raise Refused(f"the image of {record.tag}", gone or "", how)
            return RollbackTarget(record.tag, image.digest, record.task_definition or None, record)
        return self.unrecorded_revision(to) or self.unrecorded_tag(to)

    def unrecorded_revision(self, to: str) -> RollbackTarget | None:
        """Look `to` up as a revision of the family without a record; None if ECS has none."""
        beside = self.state().task_definition.rsplit("/", 1)[-1]
        label = revision_label(to, beside)
        if label is None or label.rpartition(":")[0] != beside.rpartition(":")[0]:
            return None
        revision = ecs.task_definition(self.platform.cloud, label)
        container = revision.container(self.service.container) if revision else None
        if container is None:
            return None
        tag = image_tag(str(container.get("image", "")))
        image = self.image(tag) if tag else None
        if image is None:
            why = f"ECR does not hold {container.get('image')}"
            how = f"inv {self.name}.releases shows which are still in ECR"
            raise Refused(f"the image of {label}", why, how)
        return RollbackTarget(tag, image.digest, label)

    def unrecorded_tag(self, to: str) -> RollbackTarget:
        """The tag `to` of ECR. Raises ConfigError if ECR has none."""
        how = f"inv {self.name}.releases lists tags, digests and commits"
        try:
            image = self.image(validate_tag(to))
        except ConfigError:
            image = None
        if image is None:
            why = "no release, revision or image in ECR has that name"
            raise ConfigError(f"--to {to}", why, how)
        return RollbackTarget(to, image.digest)

    def revision_of(self, target: RollbackTarget) -> TaskDefinition:
        """The target's revision. Raises Refused if it was deleted or has another image."""
        label, how = target.revision, f"inv {self.name}.rollback --to {target.tag} --image-only"
        found = ecs.task_definition(self.platform.cloud, str(label))
        if found is None:
            raise Refused(f"revision {label} of {target.tag}", "ECS has deleted it", how)
        container = found.container(self.service.container)
        image = str((container or {}).get("image", ""))
        if image_tag(image) != target.tag and not image.endswith(f"@{target.digest}"):
            runs = container.get("image") if container else "no such container"
            why = f"its container {self.service.container} has {runs}"
            raise Refused(f"revision {label} is not {target.tag}", why, how)
        return found
