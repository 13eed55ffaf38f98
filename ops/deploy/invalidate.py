"""The CDN's cache during a release: after a roll-out, and after a way back, old pages are taken out
of it (runbook 3, step 5: CRITICAL).

Where that fails (a permission is missing, CloudFront is slow), the roll-out is kept: what runs is
new and healthy, and rolling it back would end in the same cache. The release fails with the finding
`cache_not_invalidated`, which says what to type."""

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
    from ops.core.plan import Step
    from ops.deploy.context import DeployContext


def invalidate(work: DeployContext, step: Step) -> None:
    """The release's own step. Its failure makes no undo: it is kept for the verdict."""
    work.not_invalidated = invalidate_for(work, work.deployment or step.values["deployment"])


def invalidate_for(work: DeployContext, deployment: str) -> OpsError | None:
    """Let the cache follow what `deployment` runs: invalidated and waited for, or the finding and
    the error why not.
    """
    distribution, paths = work.facts.distribution, work.service.invalidate
    if not paths or not isinstance(distribution, Distribution):
        return None
    try:
        cdn_invalidate.invalidate(work.platform, distribution, paths, reference(deployment, paths))
    except OpsError as error:
        found = _finding(error, paths)
        work.findings.append(found)
        for line in finding_lines(found):
            ui.progress(f"  {line}")
        return error
    return None


def cache_is_current(work: DeployContext) -> bool:
    """Whether the pages that the CDN gives can be expected to be the new ones: not where the
    invalidation failed, or was skipped.
    """
    skipped = bool(work.service.invalidate) and work.facts.distribution is None
    return work.not_invalidated is None and not skipped


def _finding(error: OpsError, paths: list[str]) -> Finding:
    """What is wrong (visitors may see old pages), why, and what to type."""
    again = f"inv cdn.invalidate --paths {shlex.quote(','.join(paths))}"
    return Finding(
        "cache_not_invalidated",
        "the service is as it should be, but the CDN's cache was not invalidated: visitors "
        "may see old pages",
        "certain",
        (Evidence(error.what, error.why),),
        (error.next, again) if error.next else (again,),
    )
