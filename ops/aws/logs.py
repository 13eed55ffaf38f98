"""CloudWatch Logs: does the group exist, what did a task say last, what has it said since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.aws.session import AwsSession
from ops.core.errors import Refused

_EMPTY_PAGES = 4  # GetLogEvents may answer with an empty page and go on with its token


def group_exists(cloud: AwsSession, name: str) -> bool:
    """Whether there is a log group of exactly this name (logs:DescribeLogGroups)."""
    with cloud.translated(f"log group {name} (logs:DescribeLogGroups)"):
        pages = (
            cloud.client("logs")
            .get_paginator("describe_log_groups")
            .paginate(logGroupNamePrefix=name)
        )
        return any(group["logGroupName"] == name for page in pages for group in page["logGroups"])


def last_lines(cloud: AwsSession, group: str, stream: str, limit: int = 20) -> tuple[str, ...]:
    """The stream's last `limit` lines, oldest first (logs:GetLogEvents); none where stream or group
    is missing.
    """
    token: str | None = None
    for _ in range(_EMPTY_PAGES):
        page = events(cloud, group, stream, token, limit=limit, startFromHead=False)
        if page is None:
            return ()
        if page.lines or page.backward in (None, token):
            return page.lines[-limit:]
        token = page.backward
    return ()


def since(
    cloud: AwsSession, group: str, stream: str, token: str | None
) -> tuple[tuple[str, ...], str | None]:
    """What came after `token` (None: from the start), and the token for the next look. A stream
    that isn't there yet has said nothing.
    """
    page = events(cloud, group, stream, token, startFromHead=True)
    return (page.lines, page.forward) if page is not None else ((), token)


@dataclass(frozen=True)
class _LogPage:
    """One answer of GetLogEvents: its lines, oldest first, and the tokens that go on from it."""

    lines: tuple[str, ...]
    backward: str | None
    forward: str | None


@dataclass(frozen=True)
class LogEvent:
    """One line of a log group: milliseconds since 1970, stream, message."""

    at: int
    stream: str
    message: str


def events_between(
    cloud: AwsSession, group: str, since_ms: int, until_ms: int, pattern: str, limit: int = 10_000
) -> tuple[tuple[LogEvent, ...], bool]:
    """What a group said from `since_ms` to before `until_ms` and matches CloudWatch's filter
    `pattern`, and whether that is all: the oldest `limit` lines are read (logs:FilterLogEvents).

    Raises Refused where there is no such group. Differs between places: an emulation may ignore the
    pattern, so the caller looks again."""
    why = "CloudWatch Logs answered ResourceNotFoundException"
    gone = Refused(f"log group {group} does not exist", why, "correct log_group in invoke.yaml")
    found: list[LogEvent] = []
    with cloud.translated(
        f"log group {group} (logs:FilterLogEvents)", {"ResourceNotFoundException": gone}
    ):
        pages = (
            cloud.client("logs")
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=group, startTime=since_ms, endTime=until_ms - 1, filterPattern=pattern
            )
        )
        for page in pages:
            found += [
                LogEvent(each["timestamp"], each.get("logStreamName", ""), each["message"])
                for each in page["events"]
            ]
            if len(found) > limit:
                return tuple(found[:limit]), False
    return tuple(found), True


def events(
    cloud: AwsSession, group: str, stream: str, token: str | None, **options: Any
) -> _LogPage | None:
    """One page of a stream (logs:GetLogEvents); None where stream or group is missing."""
    client = cloud.client("logs")
    if token is not None:
        options["nextToken"] = token
    with cloud.translated(f"log stream {group} {stream} (logs:GetLogEvents)"):
        try:
            answer = client.get_log_events(logGroupName=group, logStreamName=stream, **options)
        except client.exceptions.ResourceNotFoundException:
            return None
        return _LogPage(
            tuple(event["message"].rstrip("\r\n") for event in answer["events"]),
            answer.get("nextBackwardToken"),
            answer.get("nextForwardToken"),
        )
