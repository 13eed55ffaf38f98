"""`inv cdn.invalidate` and `cdn.status`: the distribution and its invalidations (runbook 3).

See runbook 3, steps 5 and 7.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ops.cdn import cloudfront
from ops.cdn.facts import Distribution, Invalidation
from ops.cdn.rules import distribution as rules
from ops.core import ui
from ops.core.apply import Journal, StepHandlers, apply
from ops.core.errors import OpsError, TimedOut
from ops.core.plan import Plan, Step
from ops.core.result import Report
from ops.core.text import format_duration

if TYPE_CHECKING:
    from ops.platform import Platform


def find(platform: Platform) -> Distribution:
    """The environment's distribution.

    A configured id is used without a lookup, so no permission to list is needed. Raises
    ConfigError with `cdn: none`.
    """
    platform.settings.refuse_none("cdn", "CDN")
    settings = platform.settings.environment
    if settings.cdn.distribution:
        return Distribution(settings.cdn.distribution, "", "", True, (), "")
    return rules.choose(cloudfront.distributions(platform.cloud), settings.cdn, settings.site)


def invalidate(
    platform: Platform,
    distribution: Distribution,
    paths: Sequence[str],
    reference: str,
    timeout_s: float | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Invalidation:
    """Invalidate and wait until that is completed everywhere.

    Raises TimedOut, and permanent errors (permission, a wrong id).
    """
    limit = timeout_s or platform.settings.environment.cdn.timeout
    began = clock()
    made = cloudfront.invalidate(platform.cloud, distribution.id, paths, reference)
    if made.completed:  # it was created before
        ui.progress(f"  invalidation {made.id} of {', '.join(paths)}: {made.status} already")
        return made
    ui.progress(f"  invalidation {made.id} of {', '.join(paths)}: {made.status} (takes minutes)")
    while not made.completed:
        if clock() - began >= limit:
            what = f"invalidation {made.id} of distribution {distribution.id}"
            raise TimedOut(
                what,
                f"still {made.status} after {limit:g} s; CloudFront continues with it",
                "inv cdn.status",
            )
        sleep(min(platform.settings.environment.cdn.poll, max(0.0, limit - (clock() - began))))
        made = _read_progress(platform, distribution, made)
    ui.progress(f"  invalidation {made.id}: {made.status} after {format_duration(clock() - began)}")
    return made


def _read_progress(
    platform: Platform, distribution: Distribution, made: Invalidation
) -> Invalidation:
    """Read the invalidation's state; network errors and throttling leave it unchanged."""
    try:
        return cloudfront.invalidation(platform.cloud, distribution.id, made.id)
    except OpsError as error:
        if error.permanent:
            raise
        ui.progress(f"  could not read CloudFront, retrying: {error.why or error.what}")
        return made


@dataclass(frozen=True)
class InvalidateCache(Step):
    """Invalidate `paths`, once per `reference` (CloudFront's CallerReference), and wait."""

    verb: ClassVar[str] = "invalidate"
    distribution: Distribution
    paths: tuple[str, ...]
    reference: str

    def __str__(self) -> str:
        return (
            f"Invalidate {', '.join(self.paths)} at CloudFront distribution {self.distribution} "
            f"and wait until it is completed"
        )


@dataclass
class CacheInvalidation:
    """The planned change of `cdn.invalidate`."""

    platform: Platform
    step: InvalidateCache
    timeout_s: float | None = None

    @classmethod
    def planned(
        cls, platform: Platform, paths: tuple[str, ...], timeout_s: float | None = None
    ) -> CacheInvalidation:
        """Plan the invalidation of `paths` at the environment's distribution."""
        step = InvalidateCache(find(platform), paths, f"inv-{uuid.uuid4()}")
        return cls(platform, step, timeout_s)

    def preview(self) -> Plan:
        return Plan((self.step,))

    def confirm(self, *, yes: bool) -> None:
        """Ask for the environment's name if it is protected."""
        name = self.platform.settings.name
        if self.platform.settings.environment.protected:
            paths = ", ".join(self.step.paths)
            what = f"invalidate {paths} at {self.step.distribution} of {name}"
            ui.confirm(what, yes=yes, typed=name)

    def apply(self) -> Report:
        """Invalidate and wait; raises as `invalidate` does."""
        made: list[Invalidation] = []

        def run(step: InvalidateCache) -> None:
            wanted = (step.distribution, step.paths, step.reference)
            made.append(invalidate(self.platform, *wanted, self.timeout_s))

        handlers = StepHandlers()
        handlers.add(InvalidateCache, run)
        apply(self.preview(), handlers, Journal(ui.progress))
        document = {
            "environment": self.platform.settings.name,
            "distribution": self.step.distribution.id,
            "invalidation": made[0].as_document(),
        }
        paths = ", ".join(self.step.paths)
        return Report(document, f"invalidated {paths} at {self.step.distribution}")


@dataclass(frozen=True)
class CdnStatus:
    """The distribution and its invalidations in progress."""

    environment: str
    distribution: Distribution
    open: tuple[Invalidation, ...]

    @property
    def exit_code(self) -> int:
        return 0 if self.distribution.enabled else 1

    @property
    def document(self) -> dict[str, Any]:
        """The document of `cdn.status --json`."""
        deployed = self.distribution.status == "Deployed"
        invalidations = [each.as_document() for each in self.open]
        return {
            "environment": self.environment,
            "distribution": self.distribution.as_document(),
            "deployed": deployed,
            "open_invalidations": invalidations,
        }

    @property
    def text(self) -> str:
        found = self.distribution
        lines = [
            f"{found}: {found.status}, {'enabled' if found.enabled else 'DISABLED'}, {found.domain}"
        ]
        lines += [
            f"  invalidation {each.id} of {', '.join(each.paths)}: {each.status}"
            for each in self.open
        ]
        return "\n".join(lines if self.open else [*lines, "  no invalidation is in progress"])


def status(platform: Platform) -> CdnStatus:
    """Read the distribution and its invalidations.

    (GetDistribution, ListInvalidations)
    """
    distribution = cloudfront.distribution(platform.cloud, find(platform).id)
    return CdnStatus(
        platform.settings.name,
        distribution,
        cloudfront.open_invalidations(platform.cloud, distribution.id),
    )
