"""Invalidate the CDN's cache after a rollout and after a rollback (runbook 3, step 5).

If that fails (a permission is missing, CloudFront is slow), the rollout is kept: the new version is
healthy, and a rollback would meet the same cache. The deploy fails with the finding
`cache_not_invalidated`, which names the commands to run.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ops.cdn import invalidate as cdn_invalidate
from ops.cdn.facts import Distribution
from ops.cdn.rules.distribution import reference
from ops.core import ui
from ops.core.errors import OpsError
from ops.core.findings import Evidence, Finding
from ops.ecs.display import finding_lines

if TYPE_CHECKING:
    from ops.core.plan import PlainStep
    from ops.deploy.context import DeployContext


def invalidate(context: DeployContext, step: PlainStep) -> None:
    """The deploy's own step.

    A failure causes no undo; it decides the verdict at the end.
    """
    context.invalidation_error = invalidate_for(
        context, context.deployment or step.values["deployment"]
    )


def invalidate_for(context: DeployContext, deployment: str) -> OpsError | None:
    """Invalidate the cache for `deployment` and wait; return the error on failure."""
    distribution, paths = context.facts.distribution, context.service.invalidate
    if not paths or not isinstance(distribution, Distribution):
        return None
    try:
        cdn_invalidate.invalidate(
            context.platform, distribution, paths, reference(deployment, paths)
        )
    except OpsError as error:
        found = _finding(error, paths)
        context.findings.append(found)
        for line in finding_lines(found):
            ui.progress(f"  {line}")
        return error
    return None


def cache_is_current(context: DeployContext) -> bool:
    """Whether the CDN should serve the new pages.

    False if the invalidation failed or was skipped.
    """
    skipped = bool(context.service.invalidate) and context.facts.distribution is None
    return context.invalidation_error is None and not skipped


def _finding(error: OpsError, paths: list[str]) -> Finding:
    """The finding for a failed invalidation: visitors may see old pages."""
    again = f"inv cdn.invalidate --paths {shlex.quote(','.join(paths))}"
    return Finding(
        "cache_not_invalidated",
        "the service is as it should be, but the CDN's cache was not invalidated: visitors "
        "may see old pages",
        "certain",
        (Evidence(error.what, error.why),),
        (error.next, again) if error.next else (again,),
    )
