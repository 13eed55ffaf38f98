"""A sweep as text: checks, causes of failures, changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ops.core import ui
from ops.core.text import format_count, format_duration, format_timestamp
from ops.ecs.display import finding_lines
from ops.health.model import Change, Check, Sweep
from ops.health.rules.root_cause import causes

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_PAGES = ("page", "cached page")
_MERGE_FROM = 4  # changes that say the same are one line
MARKS = {"ok": "ok", "failed": "FAILED", "unknown": "UNKNOWN", "skipped": "skipped"}


def as_text(sweep: Sweep, settings: Settings) -> str:
    """Render checks by group, root causes, changes, and the pages to open in a browser."""
    lines = [
        *_check_lines(sweep),
        "",
        *_problem_lines(sweep),
        *_change_lines(sweep),
        *_browser_checks(settings),
        verdict(sweep),
        *([] if sweep.healthy else [" next: inv troubleshoot.all"]),
    ]
    return "\n".join(lines)


def _check_lines(sweep: Sweep) -> Iterator[str]:
    group = ""
    for check in sweep.checks:
        if check.group != group:
            group = check.group
            yield group
        yield f"  {check_line(check)}"


def check_line(check: Check) -> str:
    because = f"  [explained by {check.explained_by.label}]" if check.explained_by else ""
    return f"{MARKS[check.status]:<8} {check.name}: {check.detail}{because}".translate(ui.CONTROL)


def _problem_lines(sweep: Sweep) -> Iterator[str]:
    for finding in causes(sweep.checks):
        yield from (line.translate(ui.CONTROL) for line in finding_lines(finding))


def _change_lines(sweep: Sweep) -> Iterator[str]:
    if not sweep.against:
        yield "no earlier run to compare with"
        return
    changes = format_count(len(sweep.changes), "change", "no")
    yield f"since {format_timestamp(sweep.against)}: {changes}"
    yield from (f"  {line}" for line in merge_same(sweep.changes))


def merge_same(changes: Sequence[Change]) -> Iterator[str]:
    """Yield a line for each change; many equal ones are merged into one line."""
    same: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        same.setdefault((str(change.before), str(change.after)), []).append(change)
    for (before, after), those in same.items():
        if len(those) < _MERGE_FROM:
            yield from map(change_line, those)
            continue
        what = (
            "pages"
            if all(change.key and change.key.kind in _PAGES for change in those)
            else "checks"
        )
        more = f" and {len(those) - _MERGE_FROM} more" if len(those) > _MERGE_FROM else ""
        names = ", ".join(change.name for change in those[:_MERGE_FROM])
        yield f"{len(those)} {what} {before} → {after}: {names}{more}".translate(ui.CONTROL)


def change_line(change: Change) -> str:
    return f"{change.name} {change.before} → {change.after}".translate(ui.CONTROL)


def _browser_checks(settings: Settings) -> Iterator[str]:
    """Name the pages whose appearance a person should check (runbook 5, "Browser Check")."""
    environment = settings.environment
    every = [
        endpoint for service in environment.services.values() for endpoint in service.endpoints
    ]
    pages = [endpoint.path for endpoint in every if endpoint.content_type == "text/html"]
    if environment.site and pages:
        yield (
            f"check in a browser: "
            f"{' '.join(environment.site.rstrip('/') + path for path in dict.fromkeys(pages))}"
        )


def verdict(sweep: Sweep) -> str:
    counts = {
        status: sum(check.status == status for check in sweep.checks)
        for status in ("ok", "failed", "unknown", "skipped")
    }
    summary = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    return (
        f"{'healthy' if sweep.healthy else 'NOT HEALTHY'}: {sweep.environment}: {summary} in "
        f"{format_duration(sweep.took_s)}"
    )
