"""CloudTrail: who changed a service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ops.aws.facts import ServiceUpdate
from ops.aws.session import AwsSession

_MAX_EVENTS = 50  # the most that one LookupEvents returns


def service_updates(
    cloud: AwsSession, cluster: str, service: str, since: datetime
) -> tuple[ServiceUpdate, ...]:
    """The UpdateService calls that deployed a service since then, newest first.

    Only the Region's newest 50 calls are read. Changes of the desired count alone are left out.

    Calls cloudtrail:LookupEvents. CloudTrail shows a call after about five minutes.
    """
    with cloud.translated(f"updates of {service} (cloudtrail:LookupEvents)"):
        answer = cloud.client("cloudtrail").lookup_events(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "UpdateService"}],
            StartTime=since,
            MaxResults=_MAX_EVENTS,
        )
        return tuple(updates_of(cluster, service, answer["Events"]))


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
