"""CloudFront: invalidations that take time, and the distribution as the edge sees it.

An invalidation is InProgress for `Timing.invalidation` seconds, then Completed (moto: COMPLETED at
once, which boto3's waiter does not know). Repeating a caller reference creates no second one: with
the same paths the first is returned, with others the call is rejected (moto: creates one each
time). Differs from CloudFront: the first enabled distribution is the site's; a behaviour caches
unless its policy is the managed CachingDisabled or, without a policy, its maximum (or, lacking one,
default) TTL is 0; deployment status is moto's.
"""

from __future__ import annotations

import fnmatch
from typing import Any

from moto.cloudfront.exceptions import CloudFrontException
from moto.cloudfront.models import CloudFrontBackend, Invalidation, cloudfront_backends

from ops.sandbox.aws.ecs.model import utc_now
from ops.sandbox.aws.overrides import computed, original, replace
from ops.sandbox.contracts import ACCOUNT, Timing

_CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # Managed-CachingDisabled


def install(timing: Timing) -> None:
    computed(
        Invalidation,
        "status",
        lambda each: "Completed" if _age(each) >= timing.invalidation else "InProgress",
    )
    replace(CloudFrontBackend, "create_invalidation", _create_invalidation)


def _create_invalidation(self: Any, dist_id: str, paths: list[str], caller_ref: str) -> Any:
    known = next(
        (each for each in self.invalidations.get(dist_id, ()) if each.caller_ref == caller_ref),
        None,
    )
    if known is None:
        return original(CloudFrontBackend, "create_invalidation")(self, dist_id, paths, caller_ref)
    if sorted(known.paths) != sorted(paths):
        raise CloudFrontException(
            "InvalidationBatchAlreadyExists",
            "The caller reference is in use for another invalidation batch.",
        )
    return known


def _age(invalidation: Any) -> float:
    now = utc_now()
    created = invalidation.create_time
    return float(
        (now - created if created.tzinfo else now.replace(tzinfo=None) - created).total_seconds()
    )


def _distribution() -> Any:
    known = cloudfront_backends[ACCOUNT]["aws"].distributions.values()
    return next(
        (
            each
            for each in list(known)
            if _truth(getattr(each.distribution_config, "Enabled", True))
        ),
        None,
    )


def _truth(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"


def cached(path: str) -> bool:
    """Whether the first behaviour matching `path`, or the default one, caches."""
    distribution = _distribution()
    if distribution is None:
        return False
    config = distribution.distribution_config
    ordered = config.CacheBehaviors.get("Items") or []
    behaviour = next(
        (each for each in ordered if _matches(each.path_pattern, path)), config.DefaultCacheBehavior
    )
    if behaviour.cache_policy_id:
        return bool(behaviour.cache_policy_id != _CACHING_DISABLED)
    return int(behaviour.max_ttl or behaviour.default_ttl or 0) > 0


def _matches(pattern: str, path: str) -> bool:
    """Match a CloudFront pattern: `*` any characters, `?` one; a leading slash is optional."""
    return fnmatch.fnmatchcase(path.lstrip("/"), pattern.lstrip("/").replace("[", "[[]"))


def invalidations(timing: Timing) -> tuple[tuple[str, float], ...]:
    """Return (path pattern, epoch seconds of completion) of the completed invalidations."""
    now = utc_now().timestamp()
    made = [
        each
        for several in list(cloudfront_backends[ACCOUNT]["aws"].invalidations.values())
        for each in list(several)
    ]
    done = [(each, now - _age(each) + timing.invalidation) for each in made]
    return tuple((pattern, at) for each, at in done if at <= now for pattern in each.paths)
