"""A sweep as text: checks, causes of failures, changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ops.core import ui
from ops.core.findings import Finding
from ops.core.text import format_count, format_duration, format_timestamp
from ops.ecs.display import finding_lines
from ops.health.model import Change, Check, Sweep
from ops.health.rules.root_cause import causes

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_PAGES = ("page", "cached page")
_MERGE_FROM = 4  # changes that say the same are one line
SIGNS = {"ok": "✓", "failed": "✗", "unknown": "?", "skipped": "–"}
_WORST_FIRST = ("failed", "unknown", "skipped")
MARKS = {"ok": "ok", "failed": "FAILED", "unknown": "UNKNOWN", "skipped": "skipped"}


def as_text(sweep: Sweep, settings: Settings, *, all: bool = False) -> str:
    """Render what is not ok, its causes, changes, and the pages to open in a browser.

    `all`: every check, by group.
    """
    found = causes(sweep.checks)
    lines = [
        *(_check_lines(sweep) if all else _exceptions(sweep)),
        "",
        *_cause_lines(found),
        *_change_lines(sweep),
        *_browser_checks(settings),
        verdict(sweep),
        *([] if sweep.healthy else [f"  next  {' · '.join(_commands(found))}"]),
    ]
    return "\n".join(lines)


def _check_lines(sweep: Sweep) -> Iterator[str]:
    group = ""
    for check in sweep.checks:
        if check.group != group:
            group = check.group
            yield group
        yield f"  {check_line(check)}"


def _exceptions(sweep: Sweep) -> Iterator[str]:
    """The checks that are not ok, failures first, and how many are."""
    same = [each for each in sweep.checks if _without_login(each)]
    listed = [
        each
        for status in _WORST_FIRST
        for each in sweep.checks
        if each.status == status and each not in same
    ]
    width = max((len(each.group) for each in listed), default=0)
    for check in listed:
        yield f"{SIGNS[check.status]} {check.group:<{width}}  {_described(check)}"
    if same:
        number = format_count(len(same), "check")
        because = f"[explained by {same[0].explained_by.label}]" if same[0].explained_by else ""
        yield f"{SIGNS['unknown']} {number} for the same reason: {_by_group(same)}  {because}"
    ok = [check for check in sweep.checks if check.status == "ok"]
    if not listed:
        yield f"✓ {format_count(len(ok), 'check')}: {_by_group(ok)}"
    elif ok:
        yield f"✓ {format_count(len(ok), 'other')}"


def _without_login(check: Check) -> bool:
    """Whether the check is unknown because AWS does not accept the credentials, as the account."""
    return bool(check.login and check.explained_by and check.status == "unknown")


def _by_group(checks: Sequence[Check]) -> str:
    """How many checks each group has."""
    numbers = Counter(each.group for each in checks)
    return ", ".join(f"{group} {number}" for group, number in numbers.items())


def check_line(check: Check) -> str:
    """A check as one line: its sign, status, name and detail."""
    return f"{SIGNS[check.status]} {MARKS[check.status]:<7}  {_described(check)}"


def _described(check: Check) -> str:
    because = f"  [explained by {check.explained_by.label}]" if check.explained_by else ""
    return f"{check.name}: {check.detail}{because}".translate(ui.CONTROL)


def _cause_lines(found: Sequence[Finding]) -> Iterator[str]:
    for finding in found:
        first, *rest = finding_lines(replace(finding, fix=()))
        yield f"cause  {first}".translate(ui.CONTROL)
        yield from (f"   {line}".translate(ui.CONTROL) for line in rest)


def _commands(found: Sequence[Finding]) -> list[str]:
    """What to type next: the fixes of the causes, and the diagnosis of all."""
    fixes = [command for finding in found for command in finding.fix]
    return list(dict.fromkeys([*fixes, "inv troubleshoot.all"]))


def _change_lines(sweep: Sweep) -> Iterator[str]:
    if not sweep.against:
        yield "no earlier run to compare with"
        return
    changes = format_count(len(sweep.changes), "change", "no")
    yield f"since {format_timestamp(sweep.against)}: {changes}"
    same = {each.key for each in sweep.checks if _without_login(each)}
    others = [change for change in sweep.changes if change.key not in same]
    yield from (f"  {line}" for line in merge_same(others))
    if number := len(sweep.changes) - len(others):
        yield f"  {format_count(number, 'check')} → unknown, as the account"


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
        endpoint
        for name, service in environment.services.items()
        if not environment.is_stopped(name)
        for endpoint in service.endpoints
    ]
    pages = [
        endpoint.path
        for endpoint in every
        if endpoint.content_type == "text/html" and endpoint.is_page
    ]
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
    summary = " · ".join(f"{number} {status}" for status, number in counts.items() if number)
    return (
        f"{'healthy' if sweep.healthy else 'NOT HEALTHY'}  {sweep.environment}: {summary} in "
        f"{format_duration(sweep.took_s)}"
    )
