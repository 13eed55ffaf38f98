"""`inv SERVICE.restart`: a new deployment of the revision that runs, watched and verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from ops.aws import ecr, ecs
from ops.aws.facts import image_tag
from ops.core.errors import Refused
from ops.core.plan import Plan
from ops.deploy.context import DeployRequest, running_now
from ops.deploy.deploy import PlannedDeploy
from ops.deploy.result import DeployResult
from ops.deploy.rules.plan import start_only
from ops.deploy.rules.restart import plan_restart
from ops.ecs.model import Display
from ops.platform import Platform
from ops.preflight.facts import ReleaseFacts


@dataclass
class PlannedRestart(PlannedDeploy):
    """The planned change of `inv SERVICE.restart`: a deploy of the tag that runs, unchanged."""

    action: ClassVar[str] = "restart"
    question: ClassVar[str] = "restart {service} {tag} in {environment}"

    def apply(self) -> DeployResult:
        """Restart and verify; after a failure, the result says what runs."""
        done = super().apply()
        if not done.exit_code:
            return done
        lines = filter(None, (running_now(self.platform, self.name), done.left_in_place))
        return replace(done, left_in_place="\n".join(lines))

    def _read(self) -> ReleaseFacts:
        return replace(super()._read(), action=self.action)

    def _steps(self, facts: ReleaseFacts) -> Plan:
        plan = plan_restart(facts, self.platform.settings.service(self.name))
        return start_only(plan) if self.request.no_wait else plan


def plan(
    platform: Platform,
    name: str,
    request: DeployRequest,
    make_display: Callable[[], Display],
) -> PlannedRestart:
    """The restart of the tag that the service runs. Raises Refused if there is none."""
    cluster, service = platform.settings.environment.cluster, platform.settings.service(name)
    state = ecs.service(platform.cloud, cluster, service.ecs_service)
    if state is None:
        why = f"cluster {cluster} has no such active service"
        raise Refused(f"service {service.ecs_service}", why, "inv preflight")
    revision = ecs.task_definition(platform.cloud, state.task_definition)
    container = (revision.container(service.container) if revision else None) or {}
    image = str(container.get("image", ""))
    tag = image_tag(image) or _tag_in_ecr(platform, service.repository or "", image)
    if not tag:
        label, aws = state.task_definition.rsplit("/", 1)[-1], platform.cloud.program
        why = f"{label} has image {image or 'none'}, and no tag of {service.repository} names it"
        how = f"{aws} ecs update-service --cluster {cluster} --service {service.ecs_service} "
        raise Refused(f"restart of {name}", why, f"{how}--force-new-deployment")
    return PlannedRestart(platform, name, replace(request, tag=tag), make_display)


def _tag_in_ecr(platform: Platform, repository: str, image: str) -> str:
    """The tag in ECR of an image that is named by its digest, or "" without one."""
    name, _, digest = image.partition("@")
    if not digest or not name.endswith(f"/{ecr.repository_name(repository)}"):
        return ""
    found = ecr.images(platform.cloud, repository)
    return next((each.tag for each in found if each.digest == digest), "")
