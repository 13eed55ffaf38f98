"""Following a log: late events, throttled calls, and the live tail.

boto3's own clients; each call is answered at botocore's seam from a list of events.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ops.aws import session
from ops.core.errors import Cancelled, Denied, Interrupted, OpsError
from ops.ecs.log_output import LogPrinter
from ops.ecs.rules.log_request import LogWindow, parse_grep
from ops.ecs.service_logs import LogsRequest, ServiceLogs
from ops.platform import Platform
from tests.aws_fixtures import make_settings

ARN = "arn:aws:ecs:us-east-1:123456789012"
GROUP_ARN = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/backend:*"
TASKS = ("0f20f6ade8554a519d6a9a7f5f8f0a11", "39ffdd44325c4a519d6a9a7f5f8f0a12")
SERVICE = {"ecs_service": "backend", "container": "backend", "repository": "backend"}
START = 1_800_000_000.0
ANSWERED = SimpleNamespace(status_code=200, content=b"")
Answer = tuple[Any, dict[str, Any]]


def refused(code: str) -> Answer:
    return SimpleNamespace(status_code=400, content=b""), {
        "Error": {"Code": code, "Message": f"{code} of the test"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }


@dataclass
class World:
    """AWS at a virtual clock's time: an event is visible from its `ingested` second on."""

    now: float = START
    visible: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)  # operation, Region
    before: Callable[[str], Answer | None] = lambda operation: None
    tail: Callable[[], Any] | None = None
    options: dict[str, str] = field(default_factory=dict)
    driver: str = "awslogs"
    page: int = 10_000

    def log(self, message: str, at: float, ingested: float = 0.0, task: str = TASKS[0]) -> None:
        """An event `at` seconds after the start, which can be read from `ingested` on."""
        event = {
            "timestamp": int((START + at) * 1000),
            "message": message,
            "logStreamName": f"ecs/backend/{task}",
            "eventId": str(len(self.visible)),
        }
        self.visible.append((START + ingested, event))

    def cloud(self, endpoint: str | None = "http://127.0.0.1:9") -> session.AwsSession:
        cloud = session.of_overlay("http://127.0.0.1:9", "key", "secret", "us-east-1")
        cloud.endpoint = endpoint
        for region in ("us-east-1", "eu-west-1"):
            for name in ("ecs", "logs"):
                there = session.AwsSession(
                    cloud._session, cloud._config, "http://127.0.0.1:9", None, region
                ).client(name)
                there.meta.events.register(
                    "before-call", lambda region=region, **call: self.called(region, **call)
                )
                cloud.in_region(region)._clients[name] = there
        return cloud

    def called(self, region: str, model: Any, params: Any, **_: Any) -> Answer:
        self.calls.append((model.name, region))
        failed = self.before(model.name)
        asked = json.loads(params["body"]) if params.get("body") else {}
        return failed or (ANSWERED, getattr(self, model.name)(asked))

    def DescribeServices(self, asked: dict[str, Any]) -> dict[str, Any]:
        service = {
            "serviceName": "backend",
            "status": "ACTIVE",
            "taskDefinition": f"{ARN}:task-definition/backend:1",
            "desiredCount": 2,
            "runningCount": 2,
            "pendingCount": 0,
            "deployments": [],
            "events": [],
            "loadBalancers": [],
        }
        return {"services": [service], "failures": []}

    def ListTasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        arns = [f"{ARN}:task/main/{task}" for task in TASKS]
        return {"taskArns": arns if asked["desiredStatus"] == "RUNNING" else []}

    def DescribeTasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        described = [
            {
                "taskArn": arn,
                "taskDefinitionArn": f"{ARN}:task-definition/backend:1",
                "lastStatus": "RUNNING",
                "desiredStatus": "RUNNING",
                "containers": [],
            }
            for arn in asked["tasks"]
        ]
        return {"tasks": described, "failures": []}

    def DescribeTaskDefinition(self, asked: dict[str, Any]) -> dict[str, Any]:
        options = {
            "awslogs-group": "/ecs/backend",
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "ecs",
            **self.options,
        }
        described = {
            "name": "backend",
            "logConfiguration": {"logDriver": self.driver, "options": options},
        }
        found = {"taskDefinitionArn": asked["taskDefinition"], "status": "ACTIVE"}
        return {"taskDefinition": {**found, "containerDefinitions": [described]}}

    def DescribeLogGroups(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"logGroups": [{"logGroupName": "/ecs/backend", "arn": GROUP_ARN}]}

    def FilterLogEvents(self, asked: dict[str, Any]) -> dict[str, Any]:
        ends = asked.get("endTime", float("inf"))
        found = sorted(
            (
                event
                for ingested, event in self.visible
                if ingested <= self.now and asked["startTime"] <= event["timestamp"] <= ends
            ),
            key=lambda event: int(event["timestamp"]),
        )
        first = int(asked.get("nextToken", 0))
        more = {"nextToken": str(first + self.page)} if len(found) > first + self.page else {}
        return {"events": found[first : first + self.page], **more}

    def StartLiveTail(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self.tail is not None
        assert asked["logGroupIdentifiers"] == [GROUP_ARN.removesuffix(":*")]
        assert asked["logStreamNamePrefixes"] == ["ecs/backend/"]
        return {"responseStream": self.tail()}

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(
        self, ends: float = 60.0, *, tail: bool = False, **options: Any
    ) -> tuple[list[str], int]:
        """`backend.logs`, ended by q after so many seconds: its lines and exit code."""

        def wait(seconds: float) -> bool:
            self.now += seconds
            return self.now > START + ends

        settings = make_settings(services={"backend": SERVICE})
        platform = Platform(settings, self.cloud(None if tail else "http://127.0.0.1:9"))
        out = io.StringIO()
        grep = options.pop("grep", None)
        window = LogWindow(START - options.pop("since", 60.0))
        request = LogsRequest(window, parse_grep(grep), **options)
        logs = ServiceLogs(platform, "backend", request, LogPrinter(out, "backend"), wait)
        logs.clock, logs.sleep = lambda: self.now, self.sleep
        code = logs.run()
        return [line.split(" ", 1)[1] for line in out.getvalue().splitlines()], code


def lines(*messages: str, task: str = TASKS[0]) -> list[str]:
    return [f"{task[:12]} {message}" for message in messages]


def without_date(found: list[str]) -> list[str]:
    """Lines without the time, which is printed with its date here: the clock is virtual."""
    return [line.split(" ", 1)[1] for line in found]


def test_late_events_are_printed_once() -> None:
    """An event that is ingested 20 s late, with the time of one that was printed, is not lost."""
    world = World()
    world.log("first", at=1, ingested=1)
    world.log("same time, other task, late", at=1, ingested=21, task=TASKS[1])
    world.log("last", at=30, ingested=30)
    found, code = world.run(follow=True)
    assert code == 0
    assert without_date(found) == [
        *lines("first"),
        *lines("same time, other task, late", task=TASKS[1]),
        *lines("last"),
    ]


def test_late_events_under_load() -> None:
    """A poll that needs several pages reads less of the overlap again, and still loses nothing."""
    world = World(page=50)
    for number in range(2_000):
        at = number / 40
        task = TASKS[number % 2]  # one task's batches are ingested 5 s late
        world.log(f"line {number}", at=at, ingested=at + 5 * (number % 2), task=task)
    found, code = world.run(ends=100, follow=True)
    assert code == 0 and len(found) == 2_000
    assert len({*found}) == 2_000


def test_throttled_calls_wait_and_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """ThrottlingException in the middle of a range: one line, a pause, and every event."""
    world = World(now=START + 60, page=1)
    for number in range(4):
        world.log(f"line {number}", at=number)
    left = [3]

    def throttled(operation: str) -> Answer | None:
        if operation != "FilterLogEvents" or len(world.calls) < 9 or not left[0]:
            return None
        left[0] -= 1
        return refused("ThrottlingException")

    world.before = throttled
    found, code = world.run()
    assert code == 0 and without_date(found) == lines("line 0", "line 1", "line 2", "line 3")
    assert world.now == START + 60 + 2 + 4 + 8
    assert capsys.readouterr().err.count("AWS asked for fewer calls") == 1


def test_what_cannot_be_read_is_an_error() -> None:
    world = World(now=START + 60)
    world.before = lambda call: (
        refused("AccessDeniedException") if call == "FilterLogEvents" else None
    )
    with pytest.raises(Denied) as raised:
        world.run()
    assert raised.value.exit_code == 1


def test_tasks_that_cannot_be_read_while_following(capsys: pytest.CaptureFixture[str]) -> None:
    """The log goes on; it is said once, and the exit code is 1."""
    world = World()
    world.log("late line", at=20, ingested=20)
    world.before = lambda call: (
        refused("AccessDeniedException") if call == "ListTasks" and world.now > START + 5 else None
    )
    found, code = world.run(follow=True)
    assert code == 1 and without_date(found) == lines("late line")
    assert capsys.readouterr().err.count("could not read tasks of backend") == 1


def test_a_lost_connection_while_following(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.log("before", at=1, ingested=1)
    world.log("meanwhile", at=12, ingested=12)
    world.before = lambda call: (
        refused("InternalFailure")
        if call == "FilterLogEvents" and START + 10 < world.now < START + 20
        else None
    )
    found, code = world.run(follow=True)
    assert code == 0 and without_date(found) == lines("before", "meanwhile")
    told = capsys.readouterr().err
    assert told.count("cannot read the log, trying again") == 1 and "answers again" in told


def test_the_region_of_the_log_group() -> None:
    """`awslogs-region` decides, not the environment's Region."""
    world = World(now=START + 60, options={"awslogs-region": "eu-west-1"})
    world.log("there", at=1)
    found, _ = world.run()
    assert without_date(found) == lines("there")
    assert ("FilterLogEvents", "eu-west-1") in world.calls


def test_another_log_driver_is_named() -> None:
    world = World(driver="awsfirelens", options={"Name": "datadog"})
    with pytest.raises(OpsError) as raised:
        world.run()
    assert raised.value.exit_code == 2
    assert "its log driver is awsfirelens: look in Name=datadog" in raised.value.why


def update(world: World, *messages: str, sampled: bool = False) -> dict[str, Any]:
    """A second of a live tail; the events can be searched as well."""
    world.now += 1
    at = world.now - START
    for message in messages:
        world.log(message, at=at, ingested=at)
    events = [
        {"timestamp": int(world.now * 1000), "message": each, "logStreamName": stream}
        for each in messages
        for stream in [f"ecs/backend/{TASKS[0]}"]
    ]
    return {"sessionUpdate": {"sessionMetadata": {"sampled": sampled}, "sessionResults": events}}


def test_a_live_tail_shows_each_event_once() -> None:
    """What came before is read by a search; what both return is printed once."""
    world = World()
    world.log("earlier", at=-10)

    def tail() -> Any:
        yield {"sessionStart": {}}
        for number in range(8):
            yield update(world, f"live {number}")
        world.now = START + 1_000

    world.tail = tail
    found, code = world.run(ends=20, follow=True, tail=True)
    assert code == 0
    assert without_date(found) == lines("earlier", *(f"live {number}" for number in range(8)))


def test_a_sampled_live_tail_becomes_polling(capsys: pytest.CaptureFixture[str]) -> None:
    """CloudWatch leaves events out above 500 a second: all of them are then read by polling."""
    world = World()

    def tail() -> Any:
        yield {"sessionStart": {}}
        yield update(world, "one")
        for number in range(5):
            world.log(f"burst {number}", at=world.now - START + 1, ingested=world.now - START + 1)
        yield {
            "sessionUpdate": {
                "sessionMetadata": {"sampled": True},
                "sessionResults": [],
            }
        }

    world.tail = tail
    found, _ = world.run(follow=True, tail=True)
    assert without_date(found) == lines("one", *(f"burst {number}" for number in range(5)))
    assert "more than 500 events a second" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["AccessDeniedException", "LimitExceededException"])
def test_without_a_live_tail_it_polls(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.log("polled", at=5, ingested=5)
    world.before = lambda call: refused(code) if call == "StartLiveTail" else None
    found, exit_code = world.run(follow=True, tail=True)
    assert exit_code == 0 and without_date(found) == lines("polled")
    assert "no live tail, polling" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("follow", "why", "how"),
    [
        (True, "--follow has ended; nothing was changed", "inv backend.logs --follow"),
        (False, "later events were not printed; nothing was changed", "inv backend.logs"),
    ],
)
def test_sigterm_ends_a_log_with_a_true_sentence(follow: bool, why: str, how: str) -> None:
    """Exit code 130; a log is not continued by another call."""
    world = World()
    world.log("first", at=-1, ingested=0)

    def end(operation: str) -> None:
        if operation == "FilterLogEvents":
            raise Interrupted("SIGTERM")

    world.before = end
    with pytest.raises(Cancelled) as error:
        world.run(follow=follow)
    assert (error.value.code, error.value.why, error.value.next) == (130, why, how)
    assert error.value.what == "the log of backend: interrupted by SIGTERM"
