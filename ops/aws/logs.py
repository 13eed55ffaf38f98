"""CloudWatch Logs: log groups, the last lines of a stream, events in a time range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.aws.session import AwsSession
from ops.core.errors import Refused

_EMPTY_PAGES = 4  # GetLogEvents may return an empty page with a token for the next one


def group_exists(cloud: AwsSession, name: str) -> bool:
    """Whether a log group with exactly this name exists (logs:DescribeLogGroups)."""
    with cloud.translated(f"log group {name} (logs:DescribeLogGroups)"):
        pages = (
            cloud.client("logs")
            .get_paginator("describe_log_groups")
            .paginate(logGroupNamePrefix=name)
        )
        return any(group["logGroupName"] == name for page in pages for group in page["logGroups"])


def last_lines(cloud: AwsSession, group: str, stream: str, limit: int = 20) -> tuple[str, ...]:
    """The last `limit` lines of a stream, oldest first (logs:GetLogEvents).

    Returns an empty tuple if the stream or the group does not exist.
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
    """Lines after `token` (None: from the start), and the token for the next call.

    A stream that does not exist yet yields no lines.
    """
    page = events(cloud, group, stream, token, startFromHead=True)
    return (page.lines, page.forward) if page is not None else ((), token)


@dataclass(frozen=True)
class _LogPage:
    """A GetLogEvents response: its lines, oldest first, and its pagination tokens."""

    lines: tuple[str, ...]
    backward: str | None
    forward: str | None


@dataclass(frozen=True)
class LogEvent:
    """A line of a log group; `at` is in milliseconds since 1970."""

    at: int
    stream: str
    message: str


def events_between(
    cloud: AwsSession, group: str, since_ms: int, until_ms: int, pattern: str, limit: int = 10_000
) -> tuple[tuple[LogEvent, ...], bool]:
    """Events of a group in a time range that match a filter pattern, and whether these are all.

    The range is from `since_ms` until just before `until_ms`; the oldest `limit` lines are read
    (logs:FilterLogEvents). Raises Refused if the group does not exist. Differs between places: an
    emulation may ignore the pattern, so the caller filters again.
    """
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
    """A page of a stream (logs:GetLogEvents); None if the stream or the group does not exist."""
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
