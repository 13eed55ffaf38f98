"""CloudFront: which distributions there are, invalidations, and what a page's headers say of the
cache (runbook 3, step 5, and 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from ops.aws.session import AwsSession
from ops.cdn.facts import CacheAnswer, Distribution, Invalidation
from ops.core.errors import OpsError, Refused, Unreachable
from ops.http import client as http_client
from ops.http import errors

# a browser's: each encoding is an object of its own in the cache, and visitors get this one
_HEADERS = {**http_client.HEADERS, "accept-encoding": "gzip, deflate, br"}


_NO_HEAD = (405, 501)  # RFC 9110, sections 15.5.6 and 15.6.2


def _translated_cloudfront(
    cloud: AwsSession, id: str, call: str, **answers: OpsError
) -> AbstractContextManager[None]:
    """CloudFront's errors as ours; a missing distribution is refused by its id."""
    gone = Refused(
        f"CloudFront distribution {id} does not exist",
        "CloudFront answered NoSuchDistribution",
        "correct `cdn:` in invoke.yaml (an id changes when the stack is rebuilt, an alias "
        "does not)",
    )
    return cloud.translated(
        f"CloudFront distribution {id} (cloudfront:{call})", {"NoSuchDistribution": gone, **answers}
    )


def distributions(cloud: AwsSession) -> tuple[Distribution, ...]:
    """Every distribution of the account (ListDistributions)."""
    with cloud.translated("CloudFront distributions (cloudfront:ListDistributions)"):
        pages = cloud.client("cloudfront").get_paginator("list_distributions").paginate()
        return tuple(_summary(each) for page in pages for each in _items(page["DistributionList"]))


def distribution(cloud: AwsSession, id: str) -> Distribution:
    """One by its id (GetDistribution). Raises Refused where there is none."""
    with _translated_cloudfront(cloud, id, "GetDistribution"):
        found = cloud.client("cloudfront").get_distribution(Id=id)["Distribution"]
        return _summary({**found["DistributionConfig"], **found})


def _items(found: dict[str, Any]) -> Sequence[Any]:
    """CloudFront's lists: `Items` is left out where `Quantity` is 0."""
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
    )


def _origin(found: dict[str, Any]) -> str:
    policy = (found.get("CustomOriginConfig") or {}).get("OriginProtocolPolicy", "s3")
    return f"{found.get('DomainName', '')} {policy}"


def invalidate(cloud: AwsSession, id: str, paths: Sequence[str], reference: str) -> Invalidation:
    """Take `paths` out of the cache (CreateInvalidation). The same `reference` and paths again: the
    first one is answered, none is made.
    """
    busy = Unreachable(
        f"invalidation of distribution {id}",
        "CloudFront has too many under way (TooManyInvalidationsInProgress)",
        "inv cdn.status; when they are completed, again",
    )
    batch = {"Paths": {"Quantity": len(paths), "Items": list(paths)}, "CallerReference": reference}
    with _translated_cloudfront(
        cloud, id, "CreateInvalidation", TooManyInvalidationsInProgress=busy
    ):
        answer = cloud.client("cloudfront").create_invalidation(
            DistributionId=id, InvalidationBatch=batch
        )
        return _details(answer["Invalidation"])


def invalidation(cloud: AwsSession, id: str, invalidation_id: str) -> Invalidation:
    """How far one is (GetInvalidation). Raises Refused where there is none."""
    gone = Refused(
        f"invalidation {invalidation_id} of distribution {id} does not exist",
        "NoSuchInvalidation",
        "inv cdn.status",
    )
    with _translated_cloudfront(cloud, id, "GetInvalidation", NoSuchInvalidation=gone):
        answer = cloud.client("cloudfront").get_invalidation(DistributionId=id, Id=invalidation_id)
        return _details(answer["Invalidation"])


def open_invalidations(cloud: AwsSession, id: str) -> tuple[Invalidation, ...]:
    """Those that are not completed (ListInvalidations, newest first: one page is enough, since few
    may be under way at once).
    """
    with _translated_cloudfront(cloud, id, "ListInvalidations"):
        answer = cloud.client("cloudfront").list_invalidations(DistributionId=id)
        listed = _items(answer["InvalidationList"])
        waiting = [str(each["Id"]) for each in listed if each["Status"] != "Completed"]
    return tuple(invalidation(cloud, id, each) for each in waiting)


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
    """What a HEAD of `path` at the site says of the cache (a GET's head, where the application
    knows no HEAD), no redirect followed.

    Raises Unreachable where nothing answers.
    """
    import httpx

    root = http_client.checked(site)
    local = errors.is_loopback(urlsplit(root).hostname or "")
    try:
        with httpx.Client(
            headers=_HEADERS,
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
