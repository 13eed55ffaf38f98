"""CloudFront: distributions, invalidations, and cache headers of a page (runbook 3).

See runbook 3, steps 5 and 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from ops.aws.errors import AwsRefused
from ops.aws.session import AwsSession
from ops.cdn.facts import CacheAnswer, Distribution, Invalidation
from ops.core.errors import OpsError, Refused, Unreachable
from ops.http import client as http_client
from ops.http import errors

# as a browser sends them: the cache keeps one object for each encoding
BROWSER_HEADERS = {**http_client.HEADERS, "accept-encoding": "gzip, deflate, br"}


_NO_HEAD = (405, 501)  # RFC 9110, sections 15.5.6 and 15.6.2


def _translated_cloudfront(
    cloud: AwsSession, id: str, call: str, **answers: OpsError
) -> AbstractContextManager[None]:
    """Translate CloudFront's errors; a missing distribution is Refused by its id."""
    what = f"CloudFront distribution {id} (cloudfront:{call})"
    return cloud.translated(what, _answers(id, **answers))


def _answers(id: str, **answers: OpsError) -> dict[str, OpsError]:
    gone = Refused(
        f"CloudFront distribution {id} does not exist",
        "CloudFront answered NoSuchDistribution",
        "correct `cdn:` in invoke.yaml (an id changes when the stack is rebuilt, an alias "
        "does not)",
    )
    return {"NoSuchDistribution": gone, **answers}


def distributions(cloud: AwsSession) -> tuple[Distribution, ...]:
    """Every distribution of the account (ListDistributions)."""
    with cloud.translated("CloudFront distributions (cloudfront:ListDistributions)"):
        pages = cloud.client("cloudfront").get_paginator("list_distributions").paginate()
        return tuple(_summary(each) for page in pages for each in _items(page["DistributionList"]))


def distribution(cloud: AwsSession, id: str) -> Distribution:
    """One distribution by its id (GetDistribution).

    Raises Refused if it does not exist.
    """
    with _translated_cloudfront(cloud, id, "GetDistribution"):
        found = cloud.client("cloudfront").get_distribution(Id=id)["Distribution"]
        return _summary({**found["DistributionConfig"], **found})


def _items(found: dict[str, Any]) -> Sequence[Any]:
    """The items of a CloudFront list, which omits `Items` if `Quantity` is 0.

    Raises KeyError for a page after which others follow, and that does not say where.
    """
    if found.get("IsTruncated") and not found.get("NextMarker"):
        raise KeyError("NextMarker")
    return found["Items"] if found["Quantity"] else ()


def _summary(found: dict[str, Any]) -> Distribution:
    return Distribution(
        id=found["Id"],
        domain=found["DomainName"],
        status=found["Status"],
        enabled=bool(found["Enabled"]),
        aliases=tuple(_items(found["Aliases"])) if "Aliases" in found else (),
        comment=found.get("Comment", ""),
        origins=tuple(_origin(each) for each in _items(found["Origins"])),
        origin_paths=tuple(
            each["OriginPath"] for each in _items(found["Origins"]) if each.get("OriginPath")
        ),
        staging=bool(found.get("Staging")),
    )


def _origin(found: dict[str, Any]) -> str:
    policy = (found.get("CustomOriginConfig") or {}).get("OriginProtocolPolicy", "s3")
    return f"{found.get('DomainName', '')} {policy}"


def invalidate(cloud: AwsSession, id: str, paths: Sequence[str], reference: str) -> Invalidation:
    """Remove `paths` from the cache (CreateInvalidation).

    The same `reference` and paths return the existing invalidation.
    """
    busy = AwsRefused(
        f"invalidation of distribution {id}",
        "CloudFront has too many in progress, so it changed nothing "
        "(TooManyInvalidationsInProgress)",
        "inv cdn.status; run it again when they are completed",
    )
    batch = {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": reference}
    what = f"CloudFront distribution {id} (cloudfront:CreateInvalidation)"
    with cloud.changing(what, _answers(id, TooManyInvalidationsInProgress=busy)):
        answer = cloud.client("cloudfront").create_invalidation(
            DistributionId=id, InvalidationBatch=batch
        )
        return _details(answer["Invalidation"])


def invalidation(cloud: AwsSession, id: str, invalidation_id: str) -> Invalidation:
    """The state of one invalidation (GetInvalidation).

    Raises Refused if it does not exist.
    """
    gone = Refused(
        f"invalidation {invalidation_id} of distribution {id} does not exist",
        "NoSuchInvalidation",
        "inv cdn.status",
    )
    with _translated_cloudfront(cloud, id, "GetInvalidation", NoSuchInvalidation=gone):
        answer = cloud.client("cloudfront").get_invalidation(DistributionId=id, Id=invalidation_id)
        return _details(answer["Invalidation"])


def open_invalidations(cloud: AwsSession, id: str) -> tuple[Invalidation, ...]:
    """Invalidations that are not completed (ListInvalidations).

    The newest come first, so pages are read until one has only completed ones.
    """
    waiting: list[str] = []
    with _translated_cloudfront(cloud, id, "ListInvalidations"):
        pages = cloud.client("cloudfront").get_paginator("list_invalidations")
        for page in pages.paginate(DistributionId=id):
            listed = _items(page["InvalidationList"])
            found = [str(each["Id"]) for each in listed if each["Status"] != "Completed"]
            waiting += found
            if not found:
                break
    return tuple(invalidation(cloud, id, each) for each in waiting)


def newest_invalidation(cloud: AwsSession, id: str) -> Invalidation | None:
    """The newest invalidation, in progress or completed (ListInvalidations); None without any."""
    with _translated_cloudfront(cloud, id, "ListInvalidations"):
        answer = cloud.client("cloudfront").list_invalidations(DistributionId=id)
        listed = _items(answer["InvalidationList"])
        newest = max(listed, key=lambda each: each["CreateTime"], default=None)
        found = str(newest["Id"]) if newest else None
    return invalidation(cloud, id, found) if found else None


def _details(found: dict[str, Any]) -> Invalidation:
    batch = found["InvalidationBatch"]
    paths = tuple(_items(batch["Paths"]))
    return Invalidation(
        found["Id"],
        found["Status"],
        paths,
        batch.get("CallerReference", ""),
        found.get("CreateTime"),
    )


def probe_cache(
    site: str, path: str, timeout: float = 10.0, authority: str | None = None
) -> CacheAnswer:
    """The cache headers of `path` at the site, by HEAD.

    GET if the application does not support HEAD; no redirect is followed.

    Raises Unreachable if the site does not answer.
    """
    import httpx

    root = http_client.checked(site)
    local = errors.is_loopback(urlsplit(root).hostname or "")
    try:
        with httpx.Client(
            headers=BROWSER_HEADERS,
            timeout=timeout,
            trust_env=not local,
            verify=http_client.context(authority),
        ) as client:
            answer = client.head(root + path)
            if answer.status_code in _NO_HEAD:
                with client.stream("GET", root + path) as answer:
                    pass
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"HEAD {root}{path}", errors.problem(error), "check the site's address, and the network"
        ) from None
    age, said = answer.headers.get("age", ""), answer.headers.get("x-cache", "")
    return CacheAnswer(
        path,
        answer.status_code,
        said.split()[0].lower() if said.split() else "none",
        int(age) if age.isdecimal() else None,
        answer.headers.get("x-amz-cf-pop", ""),
    )
