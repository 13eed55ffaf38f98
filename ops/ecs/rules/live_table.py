"""The screen of a rollout under way as lines of a given width and height (pure).

A line is spans of text and style, by the names of `ops.core.terminal.style`; the words alone say
the same as the colours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ops.aws.facts import Alarm, Event, ServiceState, Target, TaskState, target_group_name
from ops.core import ui
from ops.core.terminal import layout
from ops.core.terminal.layout import cut
from ops.core.terminal.live_screen import PAINTED, Line, cut_line
from ops.core.text import format_age, format_duration
from ops.ecs.rules.live_events import fold_events

_COLUMNS = (("TASK", 12), ("REV", 5), ("STATE", 12), ("HEALTH", 9), ("AGE", 6), ("ADDRESS", 20))
_WIDE = 100  # from here on there is a column that says why
_BAR = 12
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES_A_SECOND = 8
_GONE = ("STOPPED", "STOPPING", "DEACTIVATING", "DEPROVISIONING")
_TARGET_STYLES = {
    "healthy": "ok",
    "unhealthy": "failed",
    "initial": "warn",
    "draining": "warn",
    "unused": "warn",
    "unavailable": "unknown",
    "?": "unknown",
}
_ALARM_STYLES = {"OK": "ok", "ALARM": "failed"}


@dataclass(frozen=True)
class LiveState:
    """What the screen shows.

    `earlier`: lines printed before the watch; `notes`: findings and lines of the watch. `logs`:
    None while they are hidden. `typical_s`: what the last rollouts took, None if unknown. `notice`
    is a question or an answer about a key, in lines.
    """

    service: str
    deployment: str
    now: datetime
    elapsed_s: float = 0.0
    timeout_s: float = 0.0
    typical_s: float | None = None
    phase: str = ""
    state: ServiceState | None = None
    tasks: tuple[TaskState, ...] = ()
    targets: tuple[Target, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    events: tuple[Event, ...] = ()
    earlier: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    logs: tuple[str, ...] | None = None
    keys: str = ""
    notice: tuple[str, ...] = ()


def lines(live: LiveState, width: int, height: int) -> list[Line]:
    """At most `height` lines, none longer than `width`; what does not fit is counted or cut."""
    notice = [((text, "warn"),) for text in live.notice]
    facts = [*_targets(live), *_alarms(live)]
    room = height - 3 - len(notice)  # title, rollout, keys
    notes = live.notes[-max(room // 3, 2) :]
    logs = _logs(live, max(room // 3, 2))
    events = _events(live, 6 if room >= 24 else 3)
    tasks = _tasks(live, width, room - len(facts) - len(notes) - len(logs) - len(events))
    room -= len(facts) + len(notes) + len(logs) + len(events) + len(tasks)
    arranged = [part for line in live.earlier for part in layout.arranged(line, width)]
    earlier = arranged[-(room - 1) :] if room > 1 else []
    found: list[Line] = [
        _title(live, width),
        *(((text, PAINTED),) for text in earlier),
        *([()] if earlier else []),
        *(((text, PAINTED),) for text in notes),
        _rollout(live, width),
        *tasks,
        *facts,
        *events,
        *logs,
    ]
    found = found[: height - 1 - len(notice)]
    blank = height - 1 - len(notice) - len(found)
    keys = live.keys.rjust(width)
    found += [*[()] * blank, *notice, ((keys, "dim"),)]
    return [_fit(line, width) for line in found][:height]


def _fit(line: Line, width: int) -> Line:
    """Cut a line to the width, without control characters."""
    plain = ((ui.plain(" ".join(text.splitlines())), style) for text, style in line)
    return cut_line(tuple(plain), width)


def _title(live: LiveState, width: int) -> Line:
    ours = live.state.deployment(live.deployment) if live.state else None
    others = [each for each in live.state.deployments if each != ours] if live.state else []
    before = f"{_revision(others[0].task_definition)} → " if others else ""
    revision = f"  {before}{_revision(ours.task_definition)}" if ours else ""
    left = f"{live.service or 'rollout'}{revision}"
    right = live.deployment
    gap = max(width - len(left) - len(right), 2)
    return ((left, "change"), (" " * gap + right, "dim"))


def _revision(arn: str) -> str:
    return f":{arn.rsplit(':', 1)[-1]}"


def _rollout(live: LiveState, width: int) -> Line:
    """The step in progress: a bar against the usual time, counts, phase and time."""
    frame = _FRAMES[int(live.elapsed_s * _FRAMES_A_SECOND) % len(_FRAMES)]
    late = live.typical_s is not None and live.elapsed_s > live.typical_s
    bar = f"{_bar(live.elapsed_s, live.typical_s)}  " if live.typical_s else ""
    time = _time(live)
    counts = _counts(live)
    room = width - 15 - len(bar) - len(time) - 2
    text = cut(" · ".join(part for part in (counts, live.phase or "starting") if part), room)
    return (
        (f" {frame} ", "command"),
        ("roll out    ", ""),
        (bar, "warn" if late else "ok"),
        (text.ljust(room), _counts_style(live)),
        (f"  {time}", "dim"),
    )


def _bar(elapsed_s: float, typical_s: float) -> str:
    full = min(int(elapsed_s / typical_s * _BAR), _BAR)
    return "▓" * full + "░" * (_BAR - full)


def _time(live: LiveState) -> str:
    elapsed = format_duration(live.elapsed_s)
    if live.typical_s is None:
        return f"{elapsed}, at most {format_age(live.timeout_s)}"
    usual = format_age(live.typical_s)
    return (
        f"{elapsed}, usually ~{usual}"
        if live.elapsed_s > live.typical_s
        else (f"{elapsed} of ~{usual}")
    )


def _counts(live: LiveState) -> str:
    """The healthy and running tasks of our deployment, of as many as are desired."""
    ours = live.state.deployment(live.deployment) if live.state else None
    if ours is None:
        return ""
    healthy = _healthy(live)
    parts = [] if healthy is None else [f"{healthy}/{ours.desired} healthy"]
    parts.append(f"{ours.running}/{ours.desired} running")
    if ours.failed:
        parts.append(f"{ours.failed} failed")
    return " · ".join(parts)


def _counts_style(live: LiveState) -> str:
    ours = live.state.deployment(live.deployment) if live.state else None
    return "failed" if ours and (ours.failed or ours.rollout_state == "FAILED") else ""


def _healthy(live: LiveState) -> int | None:
    """How many of our tasks are healthy targets; None without tasks or targets that were read."""
    addresses = {task.address for task in live.tasks if task.started_by == live.deployment}
    if not live.targets or not addresses:
        return None
    return len({each.id for each in live.targets if each.state == "healthy"} & (addresses - {""}))


def _tasks(live: LiveState, width: int, room: int) -> list[Line]:
    """The table of tasks in at most `room` lines; those that do not fit are counted."""
    tasks = sorted(live.tasks, key=lambda task: _order(live, task))
    if not tasks or room < 2:
        return []
    detail = width - 6 - sum(size + 2 for _, size in _COLUMNS) if width >= _WIDE else 0
    names = [name for name, _ in _COLUMNS] + (["WHY"] if detail else [])
    found: list[Line] = [((_row(names, detail), "dim"),)]
    listed = tasks if len(tasks) < room else tasks[: room - 2]
    found += [_task_line(live, task, detail) for task in listed]
    if rest := tasks[len(listed) :]:
        counts = Counter(f"{each.status} {_health(live, each)}".strip(" -") for each in rest)
        text = ", ".join(f"{number} {state}" for state, number in counts.most_common())
        found.append(((f"    … {len(rest)} more: {text}", "dim"),))
    return found


def _order(live: LiveState, task: TaskState) -> tuple[bool, bool, bool, float]:
    """Our tasks first; of these the failing ones, then those that are not healthy yet, by age."""
    health, created = _health(live, task), task.created_at
    return (
        task.started_by != live.deployment,
        health != "unhealthy" and task.status not in _GONE,
        task.status == "RUNNING" and health in ("healthy", "-"),
        created.timestamp() if created else 0.0,
    )


def _row(cells: Sequence[str], detail: int) -> str:
    sizes = [size for _, size in _COLUMNS] + ([detail] if detail else [])
    return "    " + "  ".join(
        f"{cut(cell, size):<{size}}" for cell, size in zip(cells, sizes, strict=True)
    )


def _task_line(live: LiveState, task: TaskState, detail: int) -> Line:
    ours, health = task.started_by == live.deployment, _health(live, task)
    cells = [
        task.id[:12],
        _revision(task.task_definition),
        task.status,
        health,
        _age(task, live.now),
        _address(live, task),
        *([_detail(live, task)] if detail else []),
    ]
    styles = [
        "" if ours else "dim",
        "" if ours else "dim",
        _status_style(task, ours=ours),
        _TARGET_STYLES.get(health, "dim") if ours or health != "healthy" else "dim",
        "dim",
        "" if ours else "dim",
        "dim",
    ]
    sizes = [size for _, size in _COLUMNS] + ([detail] if detail else [])
    spans = (
        (f"{cut(cell, size):<{size}}  ", style)
        for cell, size, style in zip(cells, sizes, styles[: len(sizes)], strict=True)
    )
    return (("    ", ""), *spans)


def _status_style(task: TaskState, *, ours: bool) -> str:
    if task.status == "RUNNING":
        return "" if ours else "dim"
    if task.status in _GONE:
        return "failed" if ours else "dim"
    return "warn"


def _target(live: LiveState, task: TaskState) -> Target | None:
    return next((each for each in live.targets if task.address and each.id == task.address), None)


def _health(live: LiveState, task: TaskState) -> str:
    """The state of the task's target, else its own health; "?" if targets could not be read."""
    if task.status in _GONE:
        return "-"
    if target := _target(live, task):
        return target.state
    if task.health in ("HEALTHY", "UNHEALTHY"):
        return task.health.lower()
    has_targets = live.state is not None and live.state.load_balancers
    return "?" if has_targets and not live.targets else "-"


def _age(task: TaskState, now: datetime) -> str:
    if task.created_at is None:
        return "?"
    return format_age(max((now - task.created_at).total_seconds(), 0.0))


def _address(live: LiveState, task: TaskState) -> str:
    target = _target(live, task)
    port = f":{target.port}" if target else ""
    return f"{task.address}{port}" if task.address else "-"


def _detail(live: LiveState, task: TaskState) -> str:
    """Why a task stopped or is unhealthy, or what its containers do."""
    target = _target(live, task)
    if task.stopped_reason:
        codes = [
            f"{each.name} exited with {each.exit_code}"
            for each in task.containers
            if each.exit_code is not None
        ]
        return " · ".join([*codes, task.stopped_reason])
    if target and target.state != "healthy" and (target.reason or target.description):
        return ": ".join(part for part in (target.reason, target.description) if part)
    busy = [f"{each.name} {each.status}" for each in task.containers if each.status != "RUNNING"]
    return ", ".join(busy)


def _targets(live: LiveState) -> Iterator[Line]:
    """One line a target group: its targets by state, and its weight in a blue/green rollout."""
    groups: dict[str, list[Target]] = {}
    for target in live.targets:
        groups.setdefault(target.group, []).append(target)
    for arn in live.weights:
        groups.setdefault(arn, [])
    for number, (arn, targets) in enumerate(groups.items()):
        name = f"{target_group_name(arn)}  " if len(groups) > 1 else ""
        weight = f"{live.weights[arn]} % of the traffic  " if arn in live.weights else ""
        counts = Counter(target.state for target in targets)
        yield (
            (f"    {'' if number else 'targets':<9}", "dim"),
            (name, ""),
            (weight, "change"),
            *_counted(counts, _TARGET_STYLES),
        )


def _counted(counts: Mapping[str, int], styles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if not counts:
        yield "no target", "dim"
    for number, (state, count) in enumerate(sorted(counts.items())):
        yield (" · " if number else ""), "dim"
        yield f"{count} {state}", styles.get(state, "")


def _alarms(live: LiveState) -> Iterator[Line]:
    if live.alarms:
        spans = [
            (
                f"{'' if number == 0 else ' · '}{alarm.name} {alarm.state}",
                _ALARM_STYLES.get(alarm.state, "unknown"),
            )
            for number, alarm in enumerate(sorted(live.alarms, key=lambda each: each.state))
        ]
        yield ((f"    {'alarms':<9}", "dim"), *spans)


def _events(live: LiveState, room: int) -> list[Line]:
    folded = fold_events(live.events)
    return [
        ((f"    {each.at:%H:%M:%S} " if each.at else "    ", "dim"), (str(each), ""))
        for each in folded[-room:]
    ]


def _logs(live: LiveState, room: int) -> list[Line]:
    if live.logs is None:
        return []
    found: Iterable[str] = live.logs[-(room - 1) :] if live.logs else ("no line yet",)
    return [(("    log of the new tasks", "dim"),), *(((f"    {text}", ""),) for text in found)]
