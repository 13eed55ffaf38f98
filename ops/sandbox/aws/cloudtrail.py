"""CloudTrail: LookupEvents of the calls that change a service.

Emulates the event history by attribute and time. Differs from CloudTrail: only UpdateService is
recorded, without the resources that it names, an event appears at once (there, within about five
minutes), and the user is always the operator.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

from moto.cloudtrail.responses import CloudTrailResponse

from ops.sandbox.aws.overrides import answer
from ops.sandbox.contracts import ACCOUNT, REGION

_MAX_EVENTS = 500
_USER = "operator"


class Trail:
    """The recorded events, newest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=_MAX_EVENTS)

    def install(self) -> None:
        answer(CloudTrailResponse, "lookup_events", self.lookup_events)

    def record(self, name: str, source: str, request: dict[str, Any], agent: str) -> None:
        """Record a call: its action, service host, parameters and user agent."""
        at, event_id = datetime.now(UTC), secrets.token_hex(16)
        detail = {
            "eventTime": at.isoformat(timespec="seconds"),
            "eventName": name,
            "eventSource": source,
            "awsRegion": REGION,
            "userAgent": agent,
            "userIdentity": {
                "type": "IAMUser",
                "userName": _USER,
                "arn": f"arn:aws:iam::{ACCOUNT}:user/{_USER}",
            },
            "requestParameters": request,
            "eventID": event_id,
        }
        event = {
            "EventId": event_id,
            "EventName": name,
            "ReadOnly": "false",
            "EventTime": at,
            "EventSource": source,
            "Username": _USER,
            "Resources": [],
            "CloudTrailEvent": json.dumps(detail, default=str),
        }
        with self._lock:
            self._events.appendleft(event)

    def lookup_events(self, response: Any) -> dict[str, Any]:
        wanted = response._get_param("LookupAttributes") or []
        since = float(response._get_param("StartTime") or 0)
        until = float(response._get_param("EndTime") or "inf")
        limit = int(response._get_param("MaxResults") or 50)
        with self._lock:
            found = [
                event
                for event in self._events
                if since <= event["EventTime"].timestamp() <= until
                and all(
                    event.get(each["AttributeKey"]) == each["AttributeValue"] for each in wanted
                )
            ]
        return {"Events": found[:limit]}
