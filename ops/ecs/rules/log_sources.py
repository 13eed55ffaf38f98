"""Where the containers of a service log: log group, Region and stream names, or another driver."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.aws.facts import LogEvent, LogGroupRef, TaskDefinition
from ops.core.redaction.redact import one_line

# options that name a destination; others may hold tokens
_DESTINATIONS = (
    "Name",
    "region",
    "log_group_name",
    "delivery_stream",
    "stream",
    "bucket",
    "Host",
    "splunk-url",
    "splunk-index",
    "fluentd-address",
    "gelf-address",
    "syslog-address",
    "awslogs-group",
)
_OWN_MESSAGE = "ops-task {"  # `ops.migrator.task.loader.MARK`, and the beginning of its JSON
_TASK_STREAM = re.compile(r"(?:.*/)?(?P<container>[^/]+)/(?P<task>[0-9a-f-]{32,36})")


@dataclass(frozen=True)
class LogSource:
    """A part of a log group: the streams that begin with `prefix`, or all of them.

    `container` is empty if the streams belong to more than one.
    """

    group: LogGroupRef
    prefix: str = ""
    container: str = ""

    @property
    def label(self) -> str:
        """The group, with its Region and the stream prefix, for messages."""
        return f"{self.group.name} ({self.group.region}{', ' * bool(self.prefix)}{self.prefix})"


@dataclass(frozen=True)
class LogSources:
    """The sources of a service, and why other containers have none (by container)."""

    sources: tuple[LogSource, ...]
    unreadable: Mapping[str, str]
    containers: tuple[str, ...]

    @property
    def has_task_ids(self) -> bool:
        """Whether every stream name contains its task's id."""
        return all(source.prefix for source in self.sources)


def find_sources(
    definitions: Iterable[TaskDefinition], configured: str | None, region: str, container: str = ""
) -> LogSources:
    """The log sources of task definition revisions, each once.

    `configured`: the service's `log_group`; it is read where a revision names no group.
    `container`: only this one.
    """
    sources: dict[LogSource, None] = {}
    unreadable: dict[str, str] = {}
    names: dict[str, None] = {}
    fallback = LogGroupRef.parse(configured, region) if configured else None
    for definition in definitions:
        for described in definition.containers:
            name = str(described.get("name", ""))
            names[name] = None
            if container and name != container:
                continue
            found = _source(name, described.get("logConfiguration") or {}, fallback, region)
            if isinstance(found, LogSource):
                sources[found] = None
            else:
                unreadable[name] = found
    groups = {source.group.name for source in sources}
    if fallback and (not sources or (unreadable and fallback.name not in groups)):
        sources[LogSource(fallback)] = None
    return LogSources(tuple(sources), unreadable, tuple(names))


def _source(
    name: str, configuration: Mapping[str, Any], fallback: LogGroupRef | None, region: str
) -> LogSource | str:
    """The source of a container, or why its log cannot be read here."""
    driver, options = configuration.get("logDriver"), configuration.get("options") or {}
    if not driver:
        return "its task definition has no logConfiguration, so its output is not stored"
    if driver != "awslogs":
        where = " · ".join(
            f"{key}={one_line(options[key], limit=100)}"
            for key in _DESTINATIONS
            if options.get(key)
        )
        return f"its log driver is {driver}: look in {where or 'the destination of that driver'}"
    group = options.get("awslogs-group")
    if not group and fallback is None:
        return "its awslogs driver names no awslogs-group"
    at = options.get("awslogs-region") or region
    found = LogGroupRef.parse(str(group), at) if group else fallback
    assert found is not None
    if fallback and fallback.account and fallback.name == found.name:
        found = fallback  # the same group, by ARN
    prefix = options.get("awslogs-stream-prefix")
    return LogSource(found, f"{prefix}/{name}/", name) if prefix else LogSource(found)


def of_tasks(sources: Iterable[LogSource], tasks: Iterable[str]) -> tuple[LogSource, ...]:
    """The sources of these tasks alone: the stream is `prefix/container/task-id`."""
    wanted = tuple(tasks)
    return tuple(
        LogSource(source.group, f"{source.prefix}{task}", source.container)
        for source in sources
        for task in wanted
        if source.prefix
    )


def stream_owner(stream: str) -> tuple[str, str]:
    """Task id and container of a stream that the awslogs driver named; else two empty strings."""
    found = _TASK_STREAM.fullmatch(stream)
    return (found["task"], found["container"]) if found else ("", "")


def application_events(events: Sequence[LogEvent]) -> tuple[LogEvent, ...]:
    """The events but those of database tasks, which log to the group of the service they use.

    Their streams are found by the marked lines in them, such as a failed migration's result.
    """
    marked = [each for each in events if each.message.startswith(_OWN_MESSAGE)]
    streams = {each.stream for each in marked if each.stream}
    return tuple(
        each
        for each in events
        if each.stream not in streams and not each.message.startswith(_OWN_MESSAGE)
    )
