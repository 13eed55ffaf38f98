"""Healthy deployments without a release record: by a pipeline, a console, another tool (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ops.aws.facts import Deployment, ServiceState, ServiceUpdate, TaskDefinition, TaskDefinitionArn
from ops.core.findings import Unknown, Verdict
from ops.core.text import format_utc
from ops.state.model import ReleaseRecord


@dataclass(frozen=True)
class OtherDeployment:
    """A deployment that no record of a success has.

    `by`: who made it, as far as AWS or a record says; `record`: what the records have of it.
    """

    at: datetime
    by: str
    record: str = "no record"

    def __str__(self) -> str:
        return f"{self.by} at {format_utc(self.at)}, {self.record}"


def later_deployment(state: ServiceState, release: ReleaseRecord) -> Deployment | None:
    """The service's completed deployment, if it began after its last recorded release.

    None if it is ECS's own rollback of another deployment, or fewer tasks run than desired.
    """
    primary, released = state.primary, _time(release.at)
    if primary is None or primary.created_at is None or released is None:
        return None
    completed = len(state.deployments) == 1 and primary.rollout_state in ("COMPLETED", None)
    recorded = primary.id == release.deployment or primary.created_at <= released
    rolled_back = any(f"rolling back to deployment {primary.id}" in e.message for e in state.events)
    full = state.running >= state.desired > 0
    return primary if completed and full and not recorded and not rolled_back else None


def other_deployment(
    deployment: Deployment,
    release: ReleaseRecord,
    records: Iterable[ReleaseRecord],
    updates: tuple[ServiceUpdate, ...] | Unknown,
    revision: TaskDefinition | None,
) -> OtherDeployment | None:
    """The deployment as made by others, or None if a record has it or it reverts the release.

    One that was started with `--no-wait` counts as well: nobody watched it, and it is complete. An
    older revision than the released one counts only if CloudTrail shows who set it, and that it
    was not Terraform, which sets the revision that its state knows.
    """
    own = next((each for each in records if each.deployment == deployment.id), None)
    if deployment.created_at is None or (own and own.verdict != Verdict.STARTED.value):
        return None
    if own:
        by = f"started by {own.by or '?'} with --no-wait"
        return OtherDeployment(deployment.created_at, by, "complete, but not verified")
    known = () if isinstance(updates, Unknown) else updates
    update = next((e for e in known if _names(e, deployment.task_definition)), None)
    if _is_older(deployment.task_definition, release.task_definition or "") and (
        update is None or update.by_terraform
    ):
        return None
    return OtherDeployment(deployment.created_at, _maker(update, updates, revision))


def _maker(
    update: ServiceUpdate | None,
    updates: tuple[ServiceUpdate, ...] | Unknown,
    revision: TaskDefinition | None,
) -> str:
    """Who deployed it, else who registered its revision."""
    if update is not None:
        program = f" with {update.program}" if update.program else ""
        return f"deployed by {update.user or '?'}{program}"
    if revision is not None and revision.registered_by:
        return f"revision registered by {revision.registered_by}, deployed"
    why = updates.why if isinstance(updates, Unknown) else "CloudTrail shows no UpdateService of it"
    return f"deployed (by whom is unknown: {why})"


def _names(update: ServiceUpdate, arn: str) -> bool:
    """Whether a call set this revision, by ARN, `family:revision`, family, or none."""
    wanted, named = TaskDefinitionArn(arn), TaskDefinitionArn(update.revision)
    same = named.family == wanted.family and named.revision in (None, wanted.revision)
    return not update.revision or same


def _is_older(arn: str, than: str) -> bool:
    one, other = TaskDefinitionArn(arn), TaskDefinitionArn(than)
    numbers = one.revision, other.revision
    if one.family != other.family or numbers[0] is None or numbers[1] is None:
        return False
    return numbers[0] < numbers[1]


def _time(text: str | None) -> datetime | None:
    """An ISO 8601 time with its zone; None if it is missing or another text."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else None
