"""`inv preflight`: the runbook's checklist, looked at and shown. A deploy shows the same lines and
stops at a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.core.errors import Refused
from ops.platform import Platform
from ops.preflight.model import Item
from ops.preflight.platform_reads import all_facts
from ops.preflight.rules.checks import SHARED, SKIPPABLE, check, refusals

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

MARKS = {"ok": " ", "warn": "!", "refuse": "X", "unknown": "?", "skipped": "-"}
REFUSED_EXIT_CODE = Refused.exit_code


@dataclass(frozen=True)
class ReportLine:
    """One line of the checklist; `service` None: it is the same for all services asked for."""

    service: str | None
    item: Item


@dataclass(frozen=True)
class PreflightReport:
    """The checklist of one environment."""

    environment: str
    lines: tuple[ReportLine, ...]

    @property
    def ready(self) -> bool:
        """No check refuses: a deploy would begin."""
        return not refusals(line.item for line in self.lines)

    @property
    def exit_code(self) -> int:
        """0, or 3 where a check refuses."""
        return 0 if self.ready else REFUSED_EXIT_CODE

    def as_document(self) -> dict[str, Any]:
        """The shape that `preflight --json` prints."""
        return {
            "ready": self.ready,
            "environment": self.environment,
            "checks": [line_document(line) for line in self.lines],
        }

    def as_text(self) -> str:
        """The shared lines, then each service's."""
        parts: list[str] = []
        for service in dict.fromkeys(line.service for line in self.lines):
            parts.append(f"{service or self.environment}:")
            parts.append(as_text(line.item for line in self.lines if line.service == service))
        return "\n".join([*parts, self.summary])

    @property
    def summary(self) -> str:
        counts = {
            status: sum(line.item.status == status for line in self.lines) for status in MARKS
        }
        said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        return f"{'ready' if self.ready else 'not ready'}: {said}"


def preflight(
    settings: Settings, service: str | None = None, skip: frozenset[str] = frozenset()
) -> PreflightReport:
    """The checklist of one service, or of all that the environment has. Raises ConfigError (unknown
    service, check, profile).
    """
    services = (service,) if service else tuple(settings.environment.services)
    return read_and_check(Platform.of(settings), services, skip)


def read_and_check(
    platform: Platform, services: tuple[str, ...], skip: frozenset[str] = frozenset()
) -> PreflightReport:
    """Gather the facts of all services at once, and decide."""
    environment = platform.settings.environment
    found = all_facts(platform, services, skip=skip)
    return PreflightReport(
        platform.settings.name,
        arranged({name: check(facts, environment, skip) for name, facts in found.items()}),
    )


def arranged(items: Mapping[str, tuple[Item, ...]]) -> tuple[ReportLine, ...]:
    """Shared checks once, if they say the same of every service; then each service's own, in the
    checklist's order.
    """
    common = [
        item
        for item in next(iter(items.values()), ())
        if item.name in SHARED and all(item in other for other in items.values())
    ]
    own = [
        ReportLine(service, item)
        for service, its in items.items()
        for item in its
        if item not in common
    ]
    return (*(ReportLine(None, item) for item in common), *own)


def line_document(line: ReportLine) -> dict[str, Any]:
    item = line.item
    return {
        "service": line.service,
        "name": item.name,
        "status": item.status,
        "detail": item.detail,
        "next": item.next,
    }


def as_text(items: Iterable[Item]) -> str:
    """One aligned line a check: mark, status, name, detail; then what to type, where there is
    something. No colour is needed to read it.
    """
    shown = tuple(items)
    width = max((len(item.name) for item in shown), default=0)
    return "\n".join(line for item in shown for line in item_lines(item, width))


def item_lines(item: Item, width: int) -> list[str]:
    first, *more = item.detail.splitlines() or [""]
    margin = " " * (width + 13)
    lines = [
        f"{MARKS[item.status]} {item.status:<7}  {item.name:<{width}}  {first}",
        *(f"{margin}{line}" for line in more),
    ]
    if item.next:
        lines.append(f"{margin}next: {item.next}")
    return lines


def refuse_if_blocked(items: Iterable[Item]) -> None:
    """Raises Refused (exit 3) naming every check that refuses, each with the first line of why."""
    blocking = refusals(items)
    if not blocking:
        return
    names = [item.name for item in blocking]
    why = "; ".join(f"{item.name}: {first_line(item.detail)}" for item in blocking)
    raise Refused(f"preflight refuses: {', '.join(names)}", why, next_step(blocking))


def first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def next_step(blocking: tuple[Item, ...]) -> str:
    """The one thing to do where one check refuses; and the word that lets it pass, where every one
    of them may be skipped.
    """
    fix = blocking[0].next if len(blocking) == 1 else "correct each (inv preflight says how)"
    if all(item.name in SKIPPABLE for item in blocking):
        return f"{fix}, or go on without: {' '.join(f'--skip {item.name}' for item in blocking)}"
    return fix
