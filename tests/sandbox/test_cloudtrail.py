"""CloudTrail's LookupEvents: the recorded calls, by attribute and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.sandbox.aws import Aws
from tests.sandbox.aws_platform import client_of


@pytest.fixture(scope="module")
def trail(aws: Aws) -> Any:
    aws.cloud.trail.record("UpdateService", "ecs.amazonaws.com", {"service": "shop"}, "aws-cli")
    return client_of(aws, "cloudtrail")


@pytest.mark.parametrize(
    ("key", "value", "count"),
    [
        ("EventName", "UpdateService", 1),
        ("EventName", "StopTask", 0),
        ("EventSource", "ecs.amazonaws.com", 1),
        ("ResourceName", "shop", 0),
    ],
)
def test_events_are_found_by_attribute(trail: Any, key: str, value: str, count: int) -> None:
    """Resources are not recorded, so none is found by them."""
    asked = [{"AttributeKey": key, "AttributeValue": value}]
    assert len(trail.lookup_events(LookupAttributes=asked)["Events"]) == count


@pytest.mark.parametrize(
    ("start", "end", "count"), [(None, None, 1), (-60, None, 1), (60, None, 0), (None, -60, 0)]
)
def test_events_are_found_by_time(
    trail: Any, start: int | None, end: int | None, count: int
) -> None:
    """`start` and `end` in seconds from now."""
    now = datetime.now(UTC)
    asked = {
        name: now + timedelta(seconds=seconds)
        for name, seconds in (("StartTime", start), ("EndTime", end))
        if seconds is not None
    }
    assert len(trail.lookup_events(**asked)["Events"]) == count
