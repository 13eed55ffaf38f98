"""CloudWatch Logs: log groups, the last lines of a stream, events in a time range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ops.aws.facts import LogEvent, LogGroupRef
from ops.aws.session import AwsSession
from ops.core.errors import OpsError, Refused, Unreachable

_EMPTY_PAGES = 4  # GetLogEvents may return an empty page with a token for the next one


def group_exists(cloud: AwsSession, name: str) -> bool:
    """Whether a log group with exactly this name or ARN exists (logs:DescribeLogGroups)."""
    return group_arn(cloud, name) is not None


def group_arn(cloud: AwsSession, name: str) -> str | None:
    """The ARN of a log group, by its name or ARN (logs:DescribeLogGroups); None without it.

    A group of another account is found only by its ARN, and only if that account shares it.
    """
    cloud = cloud.for_arn(name)
    wanted = LogGroupRef.parse(name, cloud.region)
    which: dict[str, Any] = {"logGroupNamePrefix": name}
    if wanted.account:
        which = {"logGroupIdentifiers": [wanted.arn], "includeLinkedAccounts": True}
    with cloud.translated(f"log group {name} (logs:DescribeLogGroups)"):
        pages = cloud.client("logs").get_paginator("describe_log_groups").paginate(**which)
        groups = (group for page in pages for group in page["logGroups"])
        return next(
            (each.get("arn", "") for each in groups if each["logGroupName"] == wanted.name), None
        )


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


def events_between(
    cloud: AwsSession, group: str, since_ms: int, until_ms: int, pattern: str, limit: int = 10_000
) -> tuple[tuple[LogEvent, ...], bool]:
    """Events of a group in a time range that match a filter pattern, and whether these are all.

    The group is named by its name or ARN.

    The range is from `since_ms` until just before `until_ms`; the oldest `limit` lines are read
    (logs:FilterLogEvents). Raises Refused if the group does not exist. Differs between places: an
    emulation may ignore the pattern, so the caller filters again.
    """
    cloud = cloud.for_arn(group)
    query = LogQuery(LogGroupRef.parse(group, cloud.region), since_ms, until_ms - 1, pattern)
    found: list[LogEvent] = []
    for page in filter_pages(cloud, query):
        found += page
        if len(found) > limit:
            return tuple(found[:limit]), False
    return tuple(found), True


@dataclass(frozen=True)
class LogQuery:
    """What FilterLogEvents searches: times in milliseconds, both included; 0 means no limit.

    `prefix` limits the names of the streams.
    """

    group: LogGroupRef
    since_ms: int
    until_ms: int = 0
    pattern: str = ""
    prefix: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of FilterLogEvents.

        `interleaved` is always on in AWS by now; an emulation may need it.
        """
        found: dict[str, Any] = {"startTime": max(self.since_ms, 0), "interleaved": True}
        optional = {
            "endTime": self.until_ms,
            "filterPattern": self.pattern,
            "logStreamNamePrefix": self.prefix,
        }
        return found | _by_name(self.group) | {key: each for key, each in optional.items() if each}


def _by_name(group: LogGroupRef) -> dict[str, str]:
    """The parameter that names a group: its name, or its ARN where it was given by ARN."""
    return {"logGroupIdentifier": group.arn} if group.account else {"logGroupName": group.name}


def filter_pages(cloud: AwsSession, query: LogQuery) -> Iterator[tuple[LogEvent, ...]]:
    """Yield the pages of a search; some are empty. Raises the same errors as `filter_page`."""
    token: str | None = ""
    while token is not None:
        page, token = filter_page(cloud, query, token)
        yield page


def filter_page(
    cloud: AwsSession, query: LogQuery, token: str = ""
) -> tuple[tuple[LogEvent, ...], str | None]:
    """A page of a search, by time, and the token of the next one (logs:FilterLogEvents).

    Raises Refused if the group does not exist. Differs between places: an emulation may ignore
    pattern and prefix, so the caller filters again.
    """
    from botocore.exceptions import PaginationError

    name = query.group.name
    why = f"CloudWatch Logs answered ResourceNotFoundException in {cloud.region}"
    gone = Refused(f"log group {name} does not exist", why, "correct log_group in invoke.yaml")
    with cloud.translated(
        f"log group {name} (logs:FilterLogEvents)", {"ResourceNotFoundException": gone}
    ):
        more = {"nextToken": token} if token else {}
        answer = cloud.client("logs").filter_log_events(**query.parameters, **more)
        found = tuple(
            LogEvent(
                each["timestamp"],
                each.get("logStreamName", ""),
                each["message"],
                each.get("eventId", ""),
            )
            for each in answer["events"]
        )
        following = answer.get("nextToken") or None
        if following and following == token:  # it would be read for ever
            raise PaginationError(message="the same token was received twice")
        return found, following


def stream_names(cloud: AwsSession, group: LogGroupRef, prefix: str) -> tuple[str, ...]:
    """Names of all streams that begin with `prefix` (logs:DescribeLogStreams)."""
    client = cloud.client("logs")
    with cloud.translated(f"log streams of {group.name} (logs:DescribeLogStreams)"):
        try:
            pages = client.get_paginator("describe_log_streams").paginate(
                **_by_name(group), logStreamNamePrefix=prefix
            )
            return tuple(each["logStreamName"] for page in pages for each in page["logStreams"])
        except client.exceptions.ResourceNotFoundException:
            return ()


@dataclass(frozen=True)
class TailUpdate:
    """A second of a live tail; `sampled` if it lacks events (there were more than 500)."""

    events: tuple[LogEvent, ...]
    sampled: bool = False


class TailExpired(OpsError):
    """A live tail reached its longest duration, three hours."""


def live_tail(
    cloud: AwsSession, group: LogGroupRef, prefixes: Sequence[str] = (), pattern: str = ""
) -> Iterator[TailUpdate]:
    """Yield an update at the start of a session, and then every second (logs:StartLiveTail).

    Raises TailExpired after three hours. Closing the generator ends the session.
    """
    what = f"live tail of {group.name} (logs:StartLiveTail)"
    expired = {"SessionTimeoutException": TailExpired(what, "CloudWatch Logs ended the session")}
    options = {"logStreamNamePrefixes": [*prefixes], "logEventFilterPattern": pattern}
    with cloud.translated(what), _stream_errors(what):
        stream = cloud.client("logs").start_live_tail(
            logGroupIdentifiers=[group.arn], **{key: each for key, each in options.items() if each}
        )["responseStream"]
        updates = iter(stream)
    try:
        while True:
            with cloud.translated(what, expired), _stream_errors(what):
                update = next(updates, None)
                if update is None:
                    return
                found = _tail_update(update)
            yield found
    finally:
        if hasattr(stream, "close"):
            stream.close()


@contextmanager
def _stream_errors(what: str) -> Iterator[None]:
    """Translate the errors of a response that is a stream of events."""
    from botocore.eventstream import ParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (ParserError, HTTPError) as error:
        why = f"its stream of events broke off ({type(error).__name__})"
        raise Unreachable(what, why, "run it again") from None


def _tail_update(update: Mapping[str, Any]) -> TailUpdate:
    found = update.get("sessionUpdate") or {}
    return TailUpdate(
        tuple(
            LogEvent(each["timestamp"], each.get("logStreamName", ""), each["message"])
            for each in found.get("sessionResults") or ()
        ),
        bool((found.get("sessionMetadata") or {}).get("sampled")),
    )


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
