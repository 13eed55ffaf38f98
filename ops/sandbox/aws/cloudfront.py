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

from moto.acm.models import acm_backends
from moto.cloudfront.exceptions import CloudFrontException
from moto.cloudfront.models import CloudFrontBackend, Invalidation, cloudfront_backends

from ops.sandbox.aws import elb
from ops.sandbox.aws.ecs.model import utc_now
from ops.sandbox.aws.overrides import computed, original, replace
from ops.sandbox.contracts import ACCOUNT, REGION, OriginProblem, Timing

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


def _behaviour(path: str) -> Any:
    """Return the first behaviour matching `path`, or the default one; None without any."""
    distribution = _distribution()
    if distribution is None:
        return None
    config = distribution.distribution_config
    ordered = config.CacheBehaviors.get("Items") or []
    return next(
        (each for each in ordered if _matches(each.path_pattern, path)), config.DefaultCacheBehavior
    )


def cached(path: str) -> bool:
    """Whether the first behaviour matching `path`, or the default one, caches."""
    behaviour = _behaviour(path)
    if behaviour is None:
        return False
    if behaviour.cache_policy_id:
        return bool(behaviour.cache_policy_id != _CACHING_DISABLED)
    return int(behaviour.max_ttl or behaviour.default_ttl or 0) > 0


def minimum_ttl(path: str) -> float:
    """Return the minimum TTL of the path's behaviour, of one without a cache policy."""
    chosen = _behaviour(path)
    return 0.0 if chosen is None or chosen.cache_policy_id else float(chosen.min_ttl or 0)


def origin_problem(path: str) -> OriginProblem | None:
    """Return why the path's origin does not answer: its name, its port or its certificate."""
    distribution, chosen = _distribution(), _behaviour(path)
    if distribution is None or chosen is None:
        return None
    origins = distribution.distribution_config.Origins["Items"]
    origin = next((each for each in origins if each.id == chosen.target_origin_id), None)
    custom = getattr(origin, "custom_origin_config", None)
    if origin is None or custom is None:
        return None
    if origin.domain_name.lower() not in elb.names():
        return OriginProblem(502, f"cannot resolve {origin.domain_name}")
    if custom.origin_protocol_policy != "https-only":
        return None
    listening = elb.certificates(int(custom.https_port or 443))
    if listening is None:
        return OriginProblem(502, f"nothing listens on port {custom.https_port}")
    accepted = any(_accepts(arn, origin.domain_name) for arn in listening)
    return None if accepted else OriginProblem(502, "the origin's certificate is refused")


def _accepts(arn: str, host: str) -> bool:
    """Whether a certificate of ACM is valid now, and for the origin's or the site's name."""
    found = acm_backends[ACCOUNT][REGION]._certificates.get(arn)
    if found is None:
        return False
    described = found.describe()["Certificate"]
    now, ends = utc_now().timestamp(), described["NotAfter"]
    names = {described["DomainName"], *described.get("SubjectAlternativeNames", ())}
    config = _distribution().distribution_config
    wanted = {host, *(config.Aliases.get("Items") or ())}
    ends = ends.timestamp() if hasattr(ends, "timestamp") else float(ends)
    return ends > now and any(
        fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in wanted for pattern in names
    )


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
