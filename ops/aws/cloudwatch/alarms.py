"""CloudWatch: the states of alarms."""

from __future__ import annotations

from collections.abc import Sequence

from ops.aws.facts import Alarm
from ops.aws.session import AwsSession


def alarms(cloud: AwsSession, names: Sequence[str]) -> tuple[Alarm, ...]:
    """The state of alarms of both types (cloudwatch:DescribeAlarms); missing ones are left out."""
    if not names:  # CloudWatch would return every alarm of the account
        return ()
    with cloud.translated("alarms of the service (cloudwatch:DescribeAlarms)"):
        pages = (
            cloud.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        )
        found = [
            alarm
            for page in pages
            for alarm in (*page["MetricAlarms"], *page.get("CompositeAlarms", ()))
        ]
        return tuple(Alarm(each["AlarmName"], each["StateValue"]) for each in found)
