"""Evidence of changes: invalidations, alarms, and service updates in CloudTrail."""

from __future__ import annotations

from typing import Any

from ops.aws import cloudtrail
from ops.cdn import invalidate
from ops.diagnosis.collectors.registry import Reader, collector

_MAX_INVALIDATIONS = 20


@collector("cloudtrail/updates", "cloudtrail:LookupEvents")
def service_updates(reader: Reader) -> Any:
    """The newest UpdateService calls of the account in this Region, newest first."""
    return cloudtrail.newest_updates(reader.cloud)


@collector("cloudwatch/alarms", "cloudwatch:DescribeAlarms")
def alarms(reader: Reader) -> Any:
    """The metric alarms that are in ALARM now."""
    return reader.pages(
        "cloudwatch",
        "describe_alarms",
        "MetricAlarms",
        StateValue="ALARM",
        AlarmTypes=["MetricAlarm"],
    )


@collector("cdn/invalidations", "cloudfront:ListInvalidations")
def invalidations(reader: Reader) -> Any:
    """The distribution's newest invalidations; None without a site or with `cdn: none`."""
    if not reader.environment.site or "cdn" in reader.environment.absent:
        return None
    found = invalidate.find(reader.platform)
    answer = reader.client("cloudfront").list_invalidations(
        DistributionId=found.id, MaxItems=str(_MAX_INVALIDATIONS)
    )
    return answer["InvalidationList"].get("Items") or []
