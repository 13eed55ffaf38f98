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
    from ops.deploy.context import DeployContext


def invalidate_for(context: DeployContext, deployment: str) -> OpsError | None:
    """Invalidate the service's pages, if any are cached, for `deployment`; see `invalidate`."""
    distribution, paths = context.facts.distribution, tuple(context.service.invalidate)
    if not paths or not isinstance(distribution, Distribution):
        return None
    return invalidate(context, distribution, paths, deployment)


def invalidate(
    context: DeployContext, distribution: Distribution, paths: tuple[str, ...], deployment: str
) -> OpsError | None:
    """Invalidate `paths`, once per `deployment`, and wait; return the error on failure."""
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


def _finding(error: OpsError, paths: tuple[str, ...]) -> Finding:
    """The finding for a failed invalidation: visitors may see old pages."""
    again = f"inv cdn.invalidate --paths {shlex.quote(','.join(paths))}"
    return Finding(
        "cache_not_invalidated",
        "the service is healthy, but the CDN's cache was not invalidated: visitors "
        "may see old pages",
        "certain",
        (Evidence(error.what, error.why),),
        (error.next, again) if error.next else (again,),
    )
