"""The screen of a service as lines of a given width, each with the colour of its meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ops.aws.facts import ServiceState, TaskState
from ops.core import ui
from ops.core.findings import Unknown
from ops.core.text import format_age, format_count, short_commit
from ops.health.status.model import GroupHealth, ServiceScreen, unhealthy_checks

WIDTH = 80
_LABEL = 12
_TASK_COLUMNS = (12, 5, 12, 9, 7, 15)
_HEADINGS = ("TASK", "REV", "STATE", "HEALTH", "AGE", "ADDRESS")
GOOD, BAD, WAITING, PLAIN, DIM = "green", "red", "yellow", "", "dim"


@dataclass(frozen=True)
class ScreenLine:
    """A line and the style that its meaning has; the words alone say the same."""

    text: str
    style: str = PLAIN


def as_text(screen: ServiceScreen, width: int = WIDTH) -> str:
    return "\n".join(line.text for line in lines(screen, width))


def lines(screen: ServiceScreen, width: int = WIDTH) -> list[ScreenLine]:
    """All lines of the screen, none longer than `width`."""
    found = [_title(screen, width)]
    for label, text, style in _parts(screen):
        found += _labelled(label, text, style, width)
        if label == "tasks" and not isinstance(screen.ecs.tasks, Unknown):
            found += _task_table(screen, width)
    return found


def _title(screen: ServiceScreen, width: int) -> ScreenLine:
    verdict = "healthy" if screen.healthy else "NOT HEALTHY"
    version = screen.version
    tag = "" if version is None or isinstance(version, Unknown) else f"  {version.tag}"
    name = _fit(f"{screen.ecs.name}{tag}", width - len(verdict) - 2)
    gap = " " * (width - len(name) - len(verdict))
    return ScreenLine(f"{name}{gap}{verdict}", GOOD if screen.healthy else BAD)


def _parts(screen: ServiceScreen) -> Iterator[tuple[str, str, str]]:
    """Yield label, text and style of each part, in the order of the screen."""
    yield "version", *_version(screen)
    yield from _deployments(screen)
    yield "tasks", *_tasks(screen)
    yield from _one_offs(screen)
    yield from _targets(screen)
    yield "release", *_release(screen)
    yield "lock", *_lock(screen)
    if screen.has_database:
        yield "schema", *_schema(screen)
    if screen.cdn is not None:
        yield "cdn", *_cdn(screen)
    yield "health", *_health(screen)


def _unknown(value: Unknown) -> tuple[str, str]:
    return f"unknown: {value.why}", WAITING


def _version(screen: ServiceScreen) -> tuple[str, str]:
    version = screen.version
    if isinstance(version, Unknown):
        return _unknown(version)
    if version is None:
        return "none: no deployment", BAD
    tag = version.tag or version.image
    if not version.commit:
        return f"{tag} · unknown commit: neither a release record nor git names it", WAITING
    subject = f" “{version.subject}”" if version.subject else ""
    return f"{tag} · commit {short_commit(version.commit)}{subject}", PLAIN


def _deployments(screen: ServiceScreen) -> Iterator[tuple[str, str, str]]:
    state = screen.ecs.state
    if isinstance(state, Unknown):
        yield "deployment", *_unknown(state)
        return
    if state is None:
        yield "deployment", f"ECS has no service {screen.ecs.ecs_service}", BAD
        return
    if state.status != "ACTIVE":
        yield "service", f"{state.status}, expected ACTIVE", BAD
    for deployment in state.deployments:
        rollout = deployment.rollout_state or deployment.status
        failed = f", {deployment.failed} failed" if deployment.failed else ""
        text = (
            f"{deployment.task_definition.rsplit('/', 1)[-1]} {rollout} · "
            f"{deployment.running}/{deployment.desired} running{failed} · "
            f"{_age(deployment.created_at, screen.at)} · {deployment.id}"
        )
        style = {"COMPLETED": GOOD, "FAILED": BAD}.get(rollout, WAITING)
        yield ("deployment" if deployment.status == "PRIMARY" else ""), text, style


def _tasks(screen: ServiceScreen) -> tuple[str, str]:
    tasks, state = screen.ecs.tasks, screen.ecs.state
    if isinstance(tasks, Unknown):
        return _unknown(tasks)
    running = sum(task.status == "RUNNING" for task in tasks)
    wanted = state.desired if isinstance(state, ServiceState) else None
    if wanted is None:
        return f"{running} running", WAITING
    return f"{running} of {wanted} running", GOOD if running == wanted else WAITING


def _task_table(screen: ServiceScreen, width: int) -> list[ScreenLine]:
    tasks = () if isinstance(screen.ecs.tasks, Unknown) else screen.ecs.tasks
    if not tasks:
        return []
    rows = [ScreenLine(_row(_HEADINGS, width), DIM)]
    for task in tasks:
        cells = (
            task.id[:12],
            f":{task.task_definition.rsplit(':', 1)[-1]}",
            task.status,
            _task_health(screen, task),
            _age(task.created_at, screen.at),
            task.address or "-",
        )
        rows.append(ScreenLine(_row(cells, width), _task_style(task)))
    return rows


def _task_health(screen: ServiceScreen, task: TaskState) -> str:
    """The health of the task's containers; where ECS does not check them, its target's state."""
    groups = () if isinstance(screen.targets, Unknown) else screen.targets
    states = [each.state for group in groups for each in group.targets if each.id == task.address]
    if task.health in ("HEALTHY", "UNHEALTHY") or not task.address or not states:
        return (task.health or "-").lower()
    return next((state for state in states if state != "healthy"), "healthy")


def _task_style(task: TaskState) -> str:
    if task.health == "UNHEALTHY":
        return BAD
    return PLAIN if task.status == "RUNNING" else WAITING


def _row(cells: tuple[str, ...], width: int) -> str:
    padded = (f"{cell:<{size}}" for cell, size in zip(cells, _TASK_COLUMNS, strict=True))
    return _fit("    " + "  ".join(padded).rstrip(), width)


def _one_offs(screen: ServiceScreen) -> Iterator[tuple[str, str, str]]:
    """Yield the tasks of `run` that still run, each with the command that stops it."""
    if isinstance(screen.one_offs, Unknown):
        yield "one-off", *_unknown(screen.one_offs)
        return
    for number, each in enumerate(screen.one_offs):
        age = _age(each.task.created_at, screen.at)
        text = f"{each.task.id} · {age} · {each.task.started_by} · to stop it: {each.stop}"
        yield ("" if number else "one-off"), text, WAITING


def _targets(screen: ServiceScreen) -> Iterator[tuple[str, str, str]]:
    if isinstance(screen.targets, Unknown):
        yield "targets", *_unknown(screen.targets)
        return
    if not screen.targets:
        yield "targets", "no target group", DIM
    for number, group in enumerate(screen.targets):
        healthy, total = group.healthy, len(group.registered)
        style = GOOD if total and healthy == total else WAITING
        yield ("" if number else "targets"), f"{group.name} {healthy}/{total} healthy", style
        for reason in _reasons(group):
            yield "", reason, BAD


def _reasons(group: GroupHealth) -> Iterator[str]:
    """Yield each target that is not healthy, with the load balancer's reason."""
    for target in group.targets:
        if target.state != "healthy":
            why = ": ".join(part for part in (target.reason, target.description) if part)
            yield f"{target.id}:{target.port} {target.state}{f' ({why})' if why else ''}"


def _release(screen: ServiceScreen) -> tuple[str, str]:
    release = screen.release
    if isinstance(release, Unknown):
        return _unknown(release)
    if release is None:
        return "no record", DIM
    when = _age(_time(release.at), screen.at)
    text = f"{release.tag or '?'} {release.verdict or '?'} · {when} · by {release.by or '?'}"
    return text, GOOD if release.succeeded else BAD


def _lock(screen: ServiceScreen) -> tuple[str, str]:
    locks = screen.locks
    if isinstance(locks, Unknown):
        return _unknown(locks)
    if locks is None and not screen.has_state:
        return "none, by configuration", DIM
    if locks is None:
        return "unknown: the environment has no state bucket", DIM
    if not locks:
        return "free", DIM
    holder = locks[0].holder
    expired = ", expired" if locks[0].expired else ""
    since = _age(_time(holder.at), screen.at)
    return f"held by {holder.owner} on {holder.host} · {since} · {holder.reason}{expired}", WAITING


def _schema(screen: ServiceScreen) -> tuple[str, str]:
    version = screen.version
    if isinstance(version, Unknown):
        return _unknown(version)
    if version is None or version.schema is None:
        return "unknown: no release record names it; see inv db.current", WAITING
    return f"{version.schema} (at the release)", PLAIN


def _cdn(screen: ServiceScreen) -> tuple[str, str]:
    cdn = screen.cdn
    if isinstance(cdn, Unknown):
        return _unknown(cdn)
    if cdn is None or cdn.last is None:
        return f"{cdn.distribution if cdn else ''} · no invalidation", DIM
    last = cdn.last
    text = (
        f"{cdn.distribution} · invalidation of {' '.join(last.paths)} {last.status} · "
        f"{_age(last.created_at, screen.at)}"
    )
    return text, PLAIN if last.completed else WAITING


def _health(screen: ServiceScreen) -> tuple[str, str]:
    sweep = screen.health
    if isinstance(sweep, Unknown):
        return _unknown(sweep)
    if sweep is None:
        return "never checked here; inv health.all", DIM
    when = _age(_time(sweep.at), screen.at)
    failed, unknown = unhealthy_checks(sweep, screen.ecs.name)
    if not failed and not unknown:
        return f"ok · {when} · {format_count(len(sweep.checks), 'check')}", GOOD
    counts = f"{len(failed)} failed, {len(unknown)} unknown · {when}"
    return f"{counts} · {', '.join([*failed, *unknown])}", BAD if failed else WAITING


def _labelled(label: str, text: str, style: str, width: int) -> list[ScreenLine]:
    """A label and its text, wrapped; words longer than a line are broken."""
    plain = ui.plain(" ".join(text.split()))
    wrapped = textwrap.wrap(plain, max(width - _LABEL - 2, 20), break_on_hyphens=False) or [""]
    heads = [label] + [""] * (len(wrapped) - 1)
    return [
        ScreenLine(f"  {head:<{_LABEL}}{part}".rstrip(), style)
        for head, part in zip(heads, wrapped, strict=True)
    ]


def _fit(text: str, width: int) -> str:
    text = ui.plain(text)
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def _age(at: datetime | None, now: datetime) -> str:
    return "?" if at is None else format_age(max((now - at).total_seconds(), 0.0))


def _time(text: str | None) -> datetime | None:
    """An ISO 8601 time with its zone; None if it is missing or another text."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else None
