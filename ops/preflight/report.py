"""`inv preflight`: report the runbook's checklist; a deploy stops at a refusal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ops.core.errors import Refused
from ops.core.text import format_count, format_duration
from ops.platform import Platform
from ops.preflight.model import Item
from ops.preflight.read_facts import all_facts
from ops.preflight.rules.checks import SHARED, SKIPPABLE, check, refusals

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_SIGNS = {"ok": "✓", "warn": "!", "refuse": "✗", "unknown": "?", "skipped": "–"}
_WORST_FIRST = ("refuse", "unknown", "warn", "skipped")
_REFUSED_EXIT_CODE = Refused.exit_code


@dataclass(frozen=True)
class _ReportLine:
    """One line of the checklist; `service` None: the same for all services."""

    service: str | None
    item: Item


@dataclass(frozen=True)
class PreflightReport:
    """The checklist of one environment."""

    environment: str
    lines: tuple[_ReportLine, ...]
    took_s: float = 0.0
    all: bool = False  # every check, not only the exceptions

    @property
    def ready(self) -> bool:
        """Whether no check refuses, so that a deploy would start."""
        return not refusals(line.item for line in self.lines)

    @property
    def exit_code(self) -> int:
        """0, or 3 if a check refuses."""
        return 0 if self.ready else _REFUSED_EXIT_CODE

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of `preflight`."""
        return {
            "ready": self.ready,
            "environment": self.environment,
            "checks": [_line_document(line) for line in self.lines],
        }

    @property
    def text(self) -> str:
        """The checks that are not ok; with `all` the shared lines, then those of each service."""
        parts: list[str] = []
        if not self.all:
            return "\n".join([*self._exceptions(), self.summary])
        for service in dict.fromkeys(line.service for line in self.lines):
            parts.append(f"{service or self.environment}:")
            parts.append(as_text(line.item for line in self.lines if line.service == service))
        return "\n".join([*parts, self.summary])

    def _exceptions(self) -> list[str]:
        named = [
            line.item
            if line.service is None
            else replace(line.item, name=f"{line.service} {line.item.name}")
            for line in self.lines
        ]
        return [by_exception(named, self.took_s, all=False)]

    @property
    def summary(self) -> str:
        ready = "ready" if self.ready else "not ready"
        return f"{ready}: {_counts(line.item for line in self.lines)}"


def preflight(
    settings: Settings,
    service: str | None = None,
    skip: frozenset[str] = frozenset(),
    *,
    all: bool = False,
) -> PreflightReport:
    """Check one service, or all services that are deployed.

    Services that are only watched are left out, unless there are no others. Raises ConfigError for
    an unknown service, check or profile.
    """
    configured = settings.environment.services
    deployed = tuple(name for name, each in configured.items() if each.repository)
    services = (service,) if service else deployed or tuple(configured)
    began = time.monotonic()
    report = read_and_check(Platform.of(settings), services, skip)
    return replace(report, took_s=time.monotonic() - began, all=all)


def read_and_check(
    platform: Platform, services: tuple[str, ...], skip: frozenset[str] = frozenset()
) -> PreflightReport:
    """Read the facts of the services concurrently and check them."""
    environment = platform.settings.environment
    found = all_facts(platform, services, skip=skip)
    return PreflightReport(
        platform.settings.name,
        group_by_service({name: check(facts, environment, skip) for name, facts in found.items()}),
    )


def group_by_service(items: Mapping[str, tuple[Item, ...]]) -> tuple[_ReportLine, ...]:
    """Put shared checks with equal results first, then each service's own."""
    common = [
        item
        for item in next(iter(items.values()), ())
        if item.name in SHARED and all(item in other for other in items.values())
    ]
    own = [
        _ReportLine(service, item)
        for service, its in items.items()
        for item in its
        if item not in common
    ]
    return (*(_ReportLine(None, item) for item in common), *own)


def _line_document(line: _ReportLine) -> dict[str, Any]:
    item = line.item
    return {
        "service": line.service,
        "name": item.name,
        "status": item.status,
        "detail": item.detail,
        "next": item.next,
    }


def by_exception(items: Iterable[Item], took_s: float, *, all: bool) -> str:
    """Render the counts in one line, and below it the checks that are not ok, the worst first.

    `all`: render every check, in its own order.
    """
    items = tuple(items)
    found = {item.status for item in items}
    sign = _SIGNS["refuse" if "refuse" in found else "unknown" if "unknown" in found else "ok"]
    head = f"{sign} preflight  {_counts(items)}  {format_duration(took_s)}"
    listed = (
        items
        if all
        else [each for status in _WORST_FIRST for each in items if each.status == status]
    )
    text = as_text(listed)
    return "\n".join([head, *(f"  {line}" for line in text.splitlines())])


def _counts(items: Iterable[Item]) -> str:
    """How many checks have each status: `18 ok · 1 warning`."""
    number = Counter(item.status for item in items)
    words = {
        "ok": f"{number['ok']} ok",
        "warn": format_count(number["warn"], "warning"),
        "refuse": f"{number['refuse']} refused",
        "unknown": f"{number['unknown']} unknown",
        "skipped": f"{number['skipped']} skipped",
    }
    return " · ".join(text for status, text in words.items() if number[status])  # type: ignore[index]


def as_text(items: Iterable[Item]) -> str:
    """Render one aligned line for each check, and its next step. Readable without colour."""
    shown = tuple(items)
    width = max((len(item.name) for item in shown), default=0)
    return "\n".join(line for item in shown for line in _item_lines(item, width))


def _item_lines(item: Item, width: int) -> list[str]:
    first, *more = item.detail.splitlines() or [""]
    margin = " " * (width + 13)
    lines = [
        f"{_SIGNS[item.status]} {item.status:<7}  {item.name:<{width}}  {first}",
        *(f"{margin}{line}" for line in more),
    ]
    if item.next:
        lines.append(f"{margin}next: {item.next}")
    return lines


def refuse_if_blocked(items: Iterable[Item]) -> None:
    """Raise Refused (exit code 3) with every check that refuses and its reason."""
    blocking = refusals(items)
    if not blocking:
        return
    names = [item.name for item in blocking]
    details = [_first_line(item.detail) for item in blocking]
    named = (f"{name}: {detail}" for name, detail in zip(names, details, strict=True))
    why = details[0] if len(blocking) == 1 else "; ".join(named)
    raise Refused(f"preflight refuses: {', '.join(names)}", why, _next_step(blocking))


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def _next_step(blocking: tuple[Item, ...]) -> str:
    """Return the next step; with --skip if all refusing checks may be skipped."""
    fix = blocking[0].next if len(blocking) == 1 else "fix each of them (see inv preflight)"
    if all(item.name in SKIPPABLE for item in blocking):
        return f"{fix}, or skip: {' '.join(f'--skip {item.name}' for item in blocking)}"
    return fix
