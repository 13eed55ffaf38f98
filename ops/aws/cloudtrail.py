"""CloudTrail: who changed a service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ops.aws.facts import ServiceUpdate
from ops.aws.session import AwsSession
from ops.core.errors import Unreachable

_PAGE_SIZE = 50  # the most that one LookupEvents returns
MAX_EVENTS = 200  # LookupEvents may be called twice a second


def service_updates(
    cloud: AwsSession, cluster: str, service: str, since: datetime
) -> tuple[ServiceUpdate, ...]:
    """The UpdateService calls that deployed a service since then, newest first.

    The Region's newest `MAX_EVENTS` calls are read. Changes of the desired count alone are left
    out. CloudTrail shows a call after about five minutes.

    Calls cloudtrail:LookupEvents. Raises Unreachable if there are more calls and none of those read
    is of this service.
    """
    what = f"updates of {service} (cloudtrail:LookupEvents)"
    with cloud.translated(what):
        events = newest_updates(cloud, StartTime=since)
        found = tuple(updates_of(cluster, service, events))
    if not found and len(events) >= MAX_EVENTS:
        why = f"the newest {len(events)} UpdateService calls are of other services"
        raise Unreachable(what, why, f"{cloud.program} cloudtrail lookup-events")
    return found


def newest_updates(cloud: AwsSession, **since: datetime) -> list[dict[str, Any]]:
    """The Region's newest UpdateService events, at most `MAX_EVENTS`; botocore's errors pass."""
    pages = cloud.client("cloudtrail").get_paginator("lookup_events")
    pages = pages.paginate(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "UpdateService"}],
        PaginationConfig={"PageSize": _PAGE_SIZE, "MaxItems": MAX_EVENTS},
        **since,
    )
    return [event for page in pages for event in page["Events"]]


def updates_of(
    cluster: str, service: str, events: Sequence[Mapping[str, Any]]
) -> Iterator[ServiceUpdate]:
    """Updates of LookupEvents' answer that deploy one service; refused calls are left out."""
    for event in events:
        detail = _detail(event)
        request = detail.get("requestParameters") or {}
        named = {
            key: str(request.get(key) or "").rpartition("/")[2] for key in ("service", "cluster")
        }
        wanted = {"service": service, "cluster": cluster.rpartition("/")[2]}
        deploys = request.get("taskDefinition") or request.get("forceNewDeployment")
        if named == wanted and deploys and not detail.get("errorCode"):
            yield ServiceUpdate(
                event["EventTime"],
                str(event.get("Username") or ""),
                str(detail.get("userAgent") or ""),
                str(request.get("taskDefinition") or ""),
            )


def _detail(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The call itself, which LookupEvents returns as JSON text; empty if unreadable."""
    try:
        found = json.loads(event.get("CloudTrailEvent") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
