"""The options of `SERVICE.logs`, and where a service logs, by table."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from ops.aws.facts import LogGroupRef, TaskDefinition
from ops.core.errors import ConfigError
from ops.ecs.rules.log_request import Grep, LogWindow, parse_grep, parse_window
from ops.ecs.rules.log_sources import LogSource, find_sources, of_tasks, stream_owner

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()
ARN = "arn:aws:logs:eu-west-1:999999999999:log-group:/ecs/backend"


@pytest.mark.parametrize(
    ("since", "until", "follow", "window"),
    [
        (None, None, False, LogWindow(NOW - 600)),
        (None, None, True, LogWindow(NOW - 60)),
        ("5m", None, False, LogWindow(NOW - 300)),
        ("300", None, False, LogWindow(NOW - 300)),
        ("2d", "1h", False, LogWindow(NOW - 172_800, NOW - 3_600)),
        (None, "1h", False, LogWindow(NOW - 4_200, NOW - 3_600)),
        (
            "2026-11-30T11:00Z",
            "2026-11-30T12:30:00+01:00",
            False,
            LogWindow(NOW - 3600, NOW - 1800),
        ),
        ("0s", None, True, LogWindow(NOW)),
    ],
)
def test_the_time_range(
    since: str | None, until: str | None, follow: bool, window: LogWindow
) -> None:
    assert parse_window(since, until, NOW, follow=follow) == window


@pytest.mark.parametrize(
    ("since", "until", "follow", "why"),
    [
        ("yesterday", None, False, "allowed: a duration"),
        ("5x", None, False, "allowed: a duration"),
        ("", None, False, "it is empty; allowed: a duration"),
        ("-5m", None, False, "allowed: a duration"),
        ("5m", "1h", False, "ends before it begins"),
        ("2027-01-01", None, False, "in the future"),
        ("5m", "1m", True, "--follow reads on"),
    ],
)
def test_a_bad_time_range(since: str, until: str | None, follow: bool, why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(why)) as raised:
        parse_window(since, until, NOW, follow=follow)
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "sent", "matching", "other"),
    [
        ("ERROR", "%ERROR%", "an ERROR here", "an error here"),
        ("boom: DATABASE_URL is not set", "%DATABASE_URL%", "boom: DATABASE_URL is not set", "x"),
        ("a(b", "", "a(b", "ab"),
        ("50%", "%50%", "at 50% now", "at 50"),
        ("größe", "%gr%", "größe", "grosse"),
        ("x", "", "x", "y"),
        ("/time(d )?out/", "", "timed out", "time out"),
        ("/time.?out/", "%time.?out%", "time-out", "timed out"),
        ("/Error|Warn/", "%Error|Warn%", "Warn", "warn"),
        ("/error/i", "", "ERROR", "fine"),
        ("/[45]00/", "%[45]00%", "500", "300"),
        (r"/\d+ms/", "", "12ms", "ms"),
        ("/api/projects", "%/api/projects%", "GET /api/projects", "GET /api"),
    ],
)
def test_grep(text: str, sent: str, matching: str, other: str) -> None:
    """CloudWatch is asked for what it is sure to understand; each line is searched here as well."""
    grep = parse_grep(text)
    assert grep is not None and grep.filter == sent
    assert grep.matches(matching) and not grep.matches(other)
    assert not sent or re.fullmatch(r"%[A-Za-z0-9_#=@/;,:^$?\[\]{}|\\*+.-]+%", sent)


@pytest.mark.parametrize("text", ["", "/(/", "/a**/", "/[z-a]/"])
def test_a_bad_grep(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_grep(text)
    assert len(str(raised.value).splitlines()) == 3


def test_no_grep() -> None:
    assert parse_grep(None) is None
    assert isinstance(parse_grep("a"), Grep)


def definition(*containers: dict[str, Any]) -> TaskDefinition:
    return TaskDefinition("arn:b:1", "ACTIVE", "amd64", {"containerDefinitions": [*containers]})


def container(name: str, driver: str | None = "awslogs", **options: str) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in options.items()}
    if driver is None:
        return {"name": name}
    return {"name": name, "logConfiguration": {"logDriver": driver, "options": named}}


APP = container(
    "app", awslogs_group="/ecs/backend", awslogs_region="us-east-1", awslogs_stream_prefix="ecs"
)
HERE = LogGroupRef("/ecs/backend", "us-east-1")


@pytest.mark.parametrize(
    ("containers", "configured", "sources"),
    [
        ([APP], None, [LogSource(HERE, "ecs/app/", "app")]),
        ([APP, APP], "/ecs/backend", [LogSource(HERE, "ecs/app/", "app")]),
        (
            [container("app", awslogs_group="g", awslogs_region="eu-west-1")],
            None,
            [LogSource(LogGroupRef("g", "eu-west-1"))],
        ),
        (
            [container("app", awslogs_group=ARN, awslogs_stream_prefix="ecs")],
            None,
            [LogSource(LogGroupRef.parse(ARN, "us-east-1"), "ecs/app/", "app")],
        ),
        ([APP], ARN, [LogSource(LogGroupRef.parse(ARN, ""), "ecs/app/", "app")]),
        (
            [container("app", awslogs_stream_prefix="ecs")],
            "/ecs/backend",
            [LogSource(HERE, "ecs/app/", "app")],
        ),
        ([container("app", "splunk")], "/ecs/backend", [LogSource(HERE)]),
        ([], "/ecs/backend", [LogSource(HERE)]),
        ([], None, []),
    ],
)
def test_where_a_service_logs(
    containers: list[dict[str, Any]], configured: str | None, sources: list[LogSource]
) -> None:
    found = find_sources([definition(*containers)], configured, "us-east-1")
    assert [*found.sources] == sources


@pytest.mark.parametrize(
    ("described", "why"),
    [
        (container("app", "splunk", splunk_url="https://s:8088"), "splunk-url=https://s:8088"),
        (
            container("app", "awsfirelens", Name="datadog", Host="dd.eu"),
            "Name=datadog · Host=dd.eu",
        ),
        (container("app", "json-file"), "the destination of that driver"),
        (container("app", None), "no logConfiguration"),
        (container("app"), "names no awslogs-group"),
    ],
)
def test_a_container_that_logs_elsewhere(described: dict[str, Any], why: str) -> None:
    """The driver and where it sends the log are named; a token in its options is not."""
    options = described.get("logConfiguration", {}).get("options", {})
    options |= {"splunk-token": "3f0c1a52-7f3e"} if "splunk-url" in options else {}
    found = find_sources([definition(described)], None, "us-east-1")
    assert found.sources == () and why in found.unreadable["app"]
    assert "3f0c1a52" not in found.unreadable["app"]


def test_the_streams_of_tasks_and_containers() -> None:
    both = [APP, {**APP, "name": "proxy"}]
    found = find_sources([definition(*both)], None, "us-east-1", "proxy")
    assert found.containers == ("app", "proxy") and len(found.sources) == 1
    task = "0f20f6ade8554a519d6a9a7f5f8f0a11"
    assert [source.prefix for source in of_tasks(found.sources, [task])] == [f"ecs/proxy/{task}"]
    assert stream_owner(f"ecs/proxy/{task}") == (task, "proxy")
    assert stream_owner("some/other") == ("", "")


def test_a_group_by_arn() -> None:
    group = LogGroupRef.parse(f"{ARN}:*", "us-east-1")
    assert (group.name, group.region, group.account) == ("/ecs/backend", "eu-west-1", "9" * 12)
    assert group.arn == ARN
