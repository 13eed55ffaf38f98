"""The screen of a rollout: what stands on it at 80, 120 and 200 columns, however many tasks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.aws.elb import to_weights
from ops.aws.facts import Alarm, ContainerState, Event, LoadBalancer, Target
from ops.ecs.rules.live_events import fold_events
from ops.ecs.rules.live_table import LiveState, lines
from ops.state.model import ReleaseRecord
from ops.state.rules.records import typical_rollout_s
from tests.ecs.stops import OLD, OLD_ONE, OURS, at, crashed, deployment, service, task

ARN = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/"
BLUE, GREEN = f"{ARN}blue/1", f"{ARN}green/2"
SIZES = [(80, 24), (120, 40), (200, 50)]


def running(number, by=OURS, created=5):
    found = task(f"{number:012x}{0:020x}", status="RUNNING", created=created, stopped=None, by=by)
    address = f"10.0.{number // 250}.{number % 250}"
    box = ContainerState("backend", "image", None, "RUNNING", None, "")
    return replace(found, address=address, containers=(box,))


def target(one, state="healthy", reason="", description="", group=BLUE):
    return Target(one.address, 3001, state, reason, description, group)


MANY = tuple(running(number) for number in range(100))
STATE = replace(
    service(deployment(running=100, desired=100), OLD_ONE, desired=100),
    load_balancers=(LoadBalancer(BLUE, "backend", 3001),),
)
LIVE = LiveState(
    "backend",
    OURS,
    at(65),
    elapsed_s=3.0,
    timeout_s=900.0,
    typical_s=6.0,
    phase="starting tasks",
    state=STATE,
    tasks=MANY,
    targets=tuple(map(target, MANY)),
    earlier=("sandbox · 123456789012 · us-east-1", *(f"line {n}" for n in range(60))),
    keys="q detach · l logs · Ctrl-C roll back",
)


def text(live, width=80, height=24):
    drawn = ["".join(part for part, _ in line) for line in lines(live, width, height)]
    assert len(drawn) <= height, drawn
    assert all(len(line) <= width for line in drawn), drawn
    return "\n".join(line.rstrip() for line in drawn)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_hundred_tasks_fit_and_the_rest_is_counted(width, height):
    """Counts, bar, time, keys and the first tasks stand there; nothing is longer or lower."""
    screen = text(LIVE, width, height)
    assert "▓▓▓▓▓▓░░░░░░" in screen and "3.0 s of ~6 s" in screen
    assert "100/100 healthy · 100/100 running" in screen
    listed = screen.count("RUNNING       healthy")
    assert listed >= 8 and f"… {100 - listed} more: {100 - listed} RUNNING healthy" in screen
    assert screen.endswith("q detach · l logs · Ctrl-C roll back")
    assert screen.startswith("backend  :1 → :2") and OURS in screen.split("\n")[0]


def test_failing_tasks_come_first_then_starting_ones_then_the_old_ones():
    """What needs attention is listed even where there is no room for all."""
    sick, new = MANY[5], replace(MANY[7], status="PENDING")
    old = running(200, by=OLD, created=-3600)
    tasks = (old, *MANY, crashed("c" * 32), new)
    targets = (target(sick, "unhealthy", "Target.Timeout"), *map(target, (*MANY[6:], old)))
    rows = [
        line.split()[:4] for line in text(replace(LIVE, tasks=tasks, targets=targets)).split("\n")
    ]
    table = rows[next(n for n, row in enumerate(rows) if row[:1] == ["TASK"]) + 1 :]
    assert [row[2] for row in table[:2]] == ["STOPPED", "RUNNING"] or table[0][3] == "unhealthy"
    assert {table[0][0], table[1][0]} == {"c" * 12, sick.id[:12]}
    assert "PENDING" in [row[2] for row in table[2:9]]
    few = replace(LIVE, tasks=(old, MANY[0]), targets=tuple(map(target, (MANY[0], old))))
    assert text(few).index(MANY[0].id[:12]) < text(few).index(old.id[:12])


def test_wide_terminals_say_why():
    """At 120 columns a stopped task's exit code and reason; at 80 they are in the finding."""
    gone = crashed("d" * 32)
    reason = "backend exited with 1 · Essential container in task exited"
    live = replace(LIVE, tasks=(gone, *MANY))
    assert reason[:30] in text(live, 120, 40) and reason in text(live, 200, 50)
    sick = target(MANY[0], "unhealthy", "Target.ResponseCodeMismatch", "codes: [404]")
    live = replace(LIVE, targets=(sick, *map(target, MANY[1:])))
    assert "Target.ResponseCodeMismatch: codes: [404]" in text(live, 200, 50)
    assert "Target.ResponseCodeMismatch" not in text(live)


def test_what_is_unknown_is_not_shown_as_fine():
    """No estimate: no bar. Targets not read: `?`, and no count of healthy tasks."""
    unread = text(replace(LIVE, typical_s=None, targets=()))
    assert "▓" not in unread and "3.0 s, at most 15 min" in unread
    assert "healthy" not in unread and "RUNNING       ?" in unread
    assert "healthy" not in text(replace(LIVE, tasks=())).split("targets")[0]
    late = text(replace(LIVE, elapsed_s=60.0))
    assert "usually ~6 s" in late and "░" not in late


def test_weights_and_alarms_of_a_deployment_that_has_them():
    """A line for each target group with its share of the traffic; alarms by state."""
    live = replace(
        LIVE,
        targets=(target(MANY[0]), target(MANY[1], "initial", group=GREEN)),
        weights={BLUE: 90, GREEN: 10},
        alarms=(Alarm("errors", "OK"), Alarm("latency", "ALARM")),
    )
    screen = text(live)
    assert "blue  90 % of the traffic  1 healthy" in screen
    assert "green  10 % of the traffic  1 initial" in screen
    assert "alarms   latency ALARM · errors OK" in screen
    styles = {part: style for line in lines(live, 80, 24) for part, style in line}
    assert styles["latency ALARM"] == "failed"


def test_findings_and_log_lines_have_room_of_their_own():
    """Both are there on 24 lines beside a hundred tasks; hidden logs take none."""
    notes = tuple(f"finding {number}" for number in range(30))
    logs = tuple(f"log line {number} {'x' * 300}" for number in range(300))
    screen = text(replace(LIVE, notes=notes, logs=logs))
    assert "finding 29" in screen and "log line 299" in screen and "RUNNING" in screen
    assert "log of" not in text(LIVE) and "no line yet" in text(replace(LIVE, logs=()))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (10, 3), (20, 5), (40, 8), (80, 10)])
def test_a_sliver_of_a_terminal_breaks_nothing(width, height):
    """Whatever is shown fits."""
    notice = ("nothing rolls this back from then on", "to attach again: inv backend.watch")
    text(replace(LIVE, notes=("a" * 90,), logs=("b" * 90,), notice=notice), width, height)


def test_long_names_are_cut_with_an_ellipsis():
    """A service, a phase and an address that are too long never push the time off the screen."""
    long = replace(LIVE, service="s" * 120, phase="p" * 120)
    screen = text(long)
    assert "3.0 s of ~6 s" in screen and "…" in screen


EVENTS = (
    "(service x) has started 1 tasks: (task aaaaaaaa).",
    "(service x) has started 2 tasks: (task bbbbbbbb) (task cccccccc).",
    f"(service x) registered 1 targets in (target-group {BLUE})",
    f"(service x) registered 1 targets in (target-group {BLUE})",
    f"(service x) registered 1 targets in (target-group {GREEN})",
    f"(service x) deregistered 1 targets in (target-group {BLUE})",
    "(service x) has begun draining connections on 2 tasks.",
    "(service x) is unable to place a task because of " + "0123456789abcdef" * 2 + ".",
    "(service x) is unable to place a task because of " + "0123456789abcdef" * 2 + ".",
)


def test_events_in_turns_are_folded():
    """ECS reports task by task; the same happened to both."""
    turns = (EVENTS[5], EVENTS[6]) * 3
    folded = [
        str(each) for each in fold_events(Event(str(n), at(n), m) for n, m in enumerate(turns))
    ]
    assert folded == ["3 targets removed", "6 tasks draining"]


def test_events_are_folded():
    """Neighbours that say the same are one line with their sum, and ids are short."""
    folded = [
        str(each) for each in fold_events(Event(str(n), at(n), m) for n, m in enumerate(EVENTS))
    ]
    assert folded == [
        "3 tasks started",
        "2 targets registered",
        "1 target registered",
        "1 target removed",
        "2 tasks draining",
        "is unable to place a task because of 0123456789ab × 2",
    ]


@pytest.mark.parametrize(
    ("actions", "weights"),
    [
        ([{"Type": "forward", "TargetGroupArn": BLUE}], {BLUE: 100}),
        (
            [
                {
                    "ForwardConfig": {
                        "TargetGroups": [
                            {"TargetGroupArn": BLUE, "Weight": 9},
                            {"TargetGroupArn": GREEN, "Weight": 1},
                        ]
                    }
                }
            ],
            {BLUE: 90, GREEN: 10},
        ),
        ([{"ForwardConfig": {"TargetGroups": [{"TargetGroupArn": BLUE, "Weight": 0}]}}], {}),
        ([{"Type": "fixed-response"}], {}),
    ],
)
def test_weights_are_percentages(actions, weights):
    """Of a rule that forwards to one group, or to both of a blue/green pair."""
    assert to_weights(actions) == weights


def test_an_estimate_is_the_median_of_the_successful_rollouts():
    """Failed ones do not count; older records have the time of the whole release only."""
    records = [
        ReleaseRecord(verdict=verdict, rollout_s=rollout, took_s=took)
        for verdict, rollout, took in (
            ("succeeded", 6.0, 60.0),
            ("failed", 600.0, 600.0),
            ("succeeded", 8.0, 80.0),
            ("succeeded", 100.0, 100.0),
            ("succeeded", None, 1.0),
        )
    ]
    assert typical_rollout_s(records) == 8.0
    assert typical_rollout_s(records[-1:]) == 1.0
    assert typical_rollout_s(records[1:2]) is None and typical_rollout_s([]) is None
