"""`inv SERVICE.status`: the screen by table at 80 columns, unknown parts, and the sandbox."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.aws.facts import ContainerState, Deployment, ServiceState, Target, TaskState
from ops.cdn.facts import Invalidation
from ops.core.errors import Interrupted
from ops.core.findings import Unknown
from ops.ecs.status import ServiceStatus
from ops.health.rules.stored_sweep import StoredCheck, StoredSweep
from ops.health.status import watch as live
from ops.health.status.model import (
    CdnSummary,
    GroupHealth,
    OneOffTask,
    RunningVersion,
    ServiceScreen,
)
from ops.health.status.read import read_screen
from ops.health.status.render import as_text, lines
from ops.platform import Platform
from ops.state.model import ReleaseRecord
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.factories import inv_command, plain_environment
from tests.terminal import Terminal

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
AGO = NOW - timedelta(minutes=5)
REVISION = "arn:aws:ecs:us-east-1:123456789012:task-definition/dev-backend:2"
DEPLOYMENT = Deployment("ecs-svc/12", "PRIMARY", REVISION, 2, 2, 0, 0, "COMPLETED", "", AGO)
STATE = ServiceState("dev-backend", "ACTIVE", REVISION, 2, 2, 0, (DEPLOYMENT,), (), ())
IMAGE = "r/backend:de34eb9"
CONTAINER = ContainerState("backend", IMAGE, "sha256:1", "RUNNING", None, "")
TASKS = tuple(
    TaskState(
        f"arn:task/{letter * 32}",
        "RUNNING",
        "RUNNING",
        "ecs-svc/12",
        REVISION,
        "HEALTHY",
        "",
        "",
        (CONTAINER,),
        AGO,
        address="10.0.1.12",
    )
    for letter in "ab"
)
TARGETS = tuple(Target(f"10.0.1.1{number}", 3001, "healthy") for number in "23")
SICK = Target("10.0.2.31", 3001, "unhealthy", "Target.Timeout", "Request timed out")
RELEASE = ReleaseRecord(
    tag="de34eb9", verdict="succeeded", by="David", host="laptop", at=AGO.isoformat()
)
SWEEP = StoredSweep(
    AGO.isoformat(), "dev", (StoredCheck("ecs", "tasks of backend", "ok", service="backend"),)
)
SCREEN = ServiceScreen(
    "dev",
    NOW,
    ServiceStatus("backend", "dev-backend", "backend", STATE, TASKS),
    RunningVersion(IMAGE, "de34eb9", "de34eb9" + "0" * 33, "Serve the projects", "0003"),
    (GroupHealth("dev-backend-tg", TARGETS),),
    RELEASE,
    (),
    CdnSummary("E1 (a.example)", Invalidation("I1", "Completed", ("/*",), "r", AGO)),
    SWEEP,
    has_database=True,
)
LONG = Unknown("service x in cluster y (ecs:DescribeServices): " + "may not " * 30 + "z" * 200)
ECS = SCREEN.ecs


def with_ecs(**changes: Any) -> ServiceScreen:
    return replace(SCREEN, ecs=replace(ECS, **changes))


@pytest.mark.parametrize(
    ("screen", "healthy", "texts"),
    [
        (
            SCREEN,
            True,
            (
                "commit de34eb9 “Serve the projects”",
                "dev-backend:2 COMPLETED · 2/2 running · 5 min",
                "aaaaaaaaaaaa  :2     RUNNING       healthy    5 min    10.0.1.12",
                "dev-backend-tg 2/2 healthy",
                "de34eb9 succeeded · 5 min · by David",
                "free",
                "0003 (at the release)",
                "invalidation of /* Completed · 5 min",
                "ok · 5 min · 1 check",
            ),
        ),
        (with_ecs(state=None, tasks=()), False, ("ECS has no service dev-backend",)),
        (with_ecs(state=replace(STATE, running=1)), False, ("2 of 2 running",)),
        (with_ecs(state=replace(STATE, status="DRAINING")), False, ("DRAINING, expected ACTIVE",)),
        (
            with_ecs(state=replace(STATE, deployments=(replace(DEPLOYMENT, rollout_state=None),))),
            True,
            ("dev-backend:2 PRIMARY",),
        ),
        *(
            (
                with_ecs(
                    state=replace(STATE, deployments=(replace(DEPLOYMENT, rollout_state=rollout),))
                ),
                False,
                (f"dev-backend:2 {rollout}",),
            )
            for rollout in ("FAILED", "IN_PROGRESS", "PAUSED_BY_HOOK")
        ),
        (
            with_ecs(tasks=(TASKS[0], replace(TASKS[1], status="HIBERNATED"))),
            False,
            ("1 of 2 running", "HIBERNATED"),
        ),
        (
            with_ecs(state=replace(STATE, deployments=(DEPLOYMENT, replace(DEPLOYMENT, id="b")))),
            False,
            ("ecs-svc/12",),
        ),
        (
            with_ecs(tasks=(TASKS[0], replace(TASKS[1], health="UNHEALTHY", address=""))),
            False,
            ("unhealthy",),
        ),
        (
            replace(SCREEN, targets=(GroupHealth("tg", (*TARGETS, SICK)),)),
            False,
            ("tg 2/3 healthy", "10.0.2.31:3001 unhealthy (Target.Timeout: Request timed out)"),
        ),
        (
            replace(
                SCREEN, targets=(GroupHealth("tg", (*TARGETS, replace(SICK, state="draining"))),)
            ),
            True,
            ("tg 2/2 healthy", "draining"),
        ),
        (replace(SCREEN, targets=()), True, ("no target group",)),
        (replace(SCREEN, release=None), True, ("no record",)),
        (replace(SCREEN, locks=None), True, ("has no state bucket",)),
        (replace(SCREEN, locks=None, has_state=False), True, ("none, by configuration",)),
        (replace(SCREEN, health=None), True, ("never checked here",)),
        (
            replace(SCREEN, version=RunningVersion(IMAGE, "v1")),
            True,
            ("unknown commit", "unknown: no release record names it"),
        ),
        (
            replace(SCREEN, version=RunningVersion(IMAGE, "v1", "c" * 40)),  # a record without it
            True,
            ("v1 · commit ccccccc\n",),
        ),
        (
            replace(SCREEN, version=RunningVersion(IMAGE, "t" * 200, "c" * 40, "s" * 400)),
            True,
            ("sss",),
        ),
        (
            replace(
                SCREEN,
                ecs=replace(ECS, state=LONG, tasks=LONG),
                version=LONG,
                targets=LONG,
                release=LONG,
                locks=LONG,
                cdn=LONG,
                health=LONG,
            ),
            False,
            ("unknown: service x",),
        ),
        (
            replace(SCREEN, release=replace(RELEASE, by="\x1b[2J", verdict="failed", at="then")),
            True,
            ("failed · ? · by",),
        ),
    ],
)
def test_the_screen_at_80_columns(
    screen: ServiceScreen, healthy: bool, texts: tuple[str, ...]
) -> None:
    """Each state's words are there, no line is longer than the terminal, and none moves its
    cursor.
    """
    for width in (80, 60, 132):
        text = as_text(screen, width)
        assert max(map(len, text.splitlines())) <= width, text
        assert "\x1b" not in text
    text = as_text(screen)
    assert [part for part in texts if part not in text] == [], text
    assert (screen.healthy, screen.exit_code) == (healthy, 0 if healthy else 1)
    assert ("NOT HEALTHY" in text) is not healthy
    json.dumps(screen.document, default=str)


def test_one_off_tasks_that_run_are_listed_with_the_command_that_stops_them() -> None:
    """A killed `run` leaves one behind; it does not make the service unhealthy."""
    task = replace(TASKS[0], arn="a/demo/" + "c" * 32, started_by="inv-run-ann-12345678")
    screen = replace(SCREEN, one_offs=(OneOffTask(task, "aws ecs stop-task --task c"),))
    text = " ".join(as_text(screen).split())
    listed = f"one-off {'c' * 32} · 5 min · inv-run-ann-12345678 · to stop it: aws ecs stop-task"
    assert listed in text and screen.healthy
    assert screen.document["services"][0]["one_offs"] == [
        {
            "task": "c" * 32,
            "started_by": "inv-run-ann-12345678",
            "created_at": task.created_at,
            "stop": "aws ecs stop-task --task c",
        }
    ]
    assert "one-off" not in as_text(SCREEN)
    denied = replace(SCREEN, one_offs=Unknown("may not"))
    assert "one-off unknown: may not" in " ".join(as_text(denied).split())
    assert denied.document["services"][0]["one_offs"] is None
    assert denied.document["services"][0]["unknown"] == {"one_offs": "may not"}


def test_every_unknown_part_is_named_with_its_reason() -> None:
    """null in the document, never false or empty; the reason beside it."""
    lost = Unknown("may not")
    screen = replace(SCREEN, targets=lost, release=lost, locks=lost, cdn=lost, health=lost)
    (service,) = screen.document["services"]
    names = ("targets", "release", "locks", "cdn", "health")
    assert [service[name] for name in names] == [None] * 5
    assert service["unknown"] == dict.fromkeys(names, "may not")
    assert as_text(screen).count("unknown: may not") == 5
    (whole,) = SCREEN.document["services"]
    assert whole["unknown"] == {} and whole["locks"] == []


def test_the_document_keeps_the_fields_of_the_overview() -> None:
    """Those of `inv status`, and for each task its revision, health, age and address."""
    (service,) = SCREEN.document["services"]
    assert (service["service"], service["status"], service["desired"]) == ("backend", "steady", 2)
    task = service["tasks"][0]
    assert (task["id"], task["image"], task["health"]) == ("a" * 32, IMAGE, "HEALTHY")
    assert (task["age_s"], task["address"]) == (300.0, "10.0.1.12")
    assert service["targets"][0]["healthy"] == 2
    assert service["release"]["by"] == "David" and service["schema_revision"] == "0003"


def test_the_colours_have_a_meaning() -> None:
    """Green is healthy, red failed; the words say the same."""
    styles = {line.text.split()[0]: line.style for line in lines(SCREEN)}
    assert (styles["backend"], styles["targets"], styles["release"]) == ("green",) * 3
    failed = replace(SCREEN, release=replace(RELEASE, verdict="failed"))
    assert {line.text.split()[0]: line.style for line in lines(failed)}["release"] == "red"


def test_an_aws_that_does_not_answer_is_bounded(
    settings: Callable[..., Any], cloud_at: Callable[[str], Any]
) -> None:
    """Every part is unknown with a reason, within the deadline."""
    web = {"ecs_service": "web", "container": "web", "repository": "web"}
    platform = Platform(settings(services={"web": web}), cloud_at("http://127.0.0.1:9"))
    began = time.monotonic()
    screen = read_screen(platform, "web", 2.0)
    assert time.monotonic() - began < 5
    assert screen.exit_code == 1 and isinstance(screen.ecs.state, Unknown)
    assert {"deployment", "tasks", "version", "targets"} <= dict(screen.unknown()).keys()


def test_without_a_terminal_only_changes_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The screen once; then a line for each change, none for ages; an interrupt is the end."""
    later = replace(SCREEN, at=NOW + timedelta(minutes=30))
    screens = iter([SCREEN, later, replace(later, targets=(GroupHealth("tg", (SICK,)),))])

    def read() -> ServiceScreen:
        try:
            return next(screens)
        except StopIteration:
            raise Interrupted from None

    live.watch(read, 0.0, json=False)
    out = capsys.readouterr().out
    first = as_text(SCREEN)
    assert out.startswith(first)
    changes = out.removeprefix(first).strip().splitlines()
    assert [line[:8] for line in changes] == ["12:30:00"] * 3, changes
    assert "NOT HEALTHY" in changes[0] and "Target.Timeout" in changes[2]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_watch_that_another_program_ends_is_not_a_success(name: str) -> None:
    """Only Ctrl-C is the operator's own end; the front door exits with 130 for the others."""

    def read() -> ServiceScreen:
        raise Interrupted(name)

    with pytest.raises(Interrupted, match=name):
        live.watch(read, 0.0, json=False)


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(240)
def test_the_status_of_a_released_service(platform: Checkout) -> None:
    """After a deploy: version and commit with its subject, tasks with addresses, targets, who
    released it, and the CDN of a cached service; exit code 0.
    """
    tag = world.commit(platform, {"frontend/NOTE": "status"}, "Shows in the status")
    assert platform.document("frontend.deploy")["verdict"] == "succeeded"
    (found,) = platform.document("frontend.status")["services"]
    assert (found["healthy"], found["version"]) == (True, tag), found
    assert found["subject"] == "Shows in the status" and found["commit"].startswith(tag)
    assert all(task["address"] and task["age_s"] is not None for task in found["tasks"]), found
    assert found["targets"][0]["healthy"] == found["targets"][0]["total"] > 0
    assert (found["release"]["tag"], found["locks"]) == (tag, [])
    assert found["cdn"]["last_invalidation"]["status"] == "Completed"
    assert found["health"] and found["unknown"] == {}
    done = platform.inv("frontend.status")
    assert done.returncode == 0 and tag in done.stdout, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("end", ["q", "signal"])
def test_a_watched_status_ends_with_0(platform: Checkout, end: str) -> None:
    """On a terminal: an alternate screen; q or Ctrl-C leaves it and the last state behind."""
    command = inv_command(platform.root, "backend.status", "--watch")
    terminal = Terminal(command, platform.root, plain_environment(TERM="xterm", COLUMNS="80"))
    terminal.wait_for("q quits")
    terminal.wait_for("ADDRESS")
    if end == "q":
        terminal.type("q")
    else:
        os.kill(terminal.pid, signal.SIGINT)
    assert terminal.ended() == 0, terminal.text
    left = terminal.text.rpartition("\x1b[?1049l")[2]
    assert "backend" in left and "ADDRESS" in left, terminal.text
