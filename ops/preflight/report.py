"""`inv preflight`: report the runbook's checklist; a deploy stops at a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.core.errors import Refused
from ops.platform import Platform
from ops.preflight.model import Item
from ops.preflight.read_facts import all_facts
from ops.preflight.rules.checks import SHARED, SKIPPABLE, check, refusals

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_MARKS = {"ok": " ", "warn": "!", "refuse": "X", "unknown": "?", "skipped": "-"}
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
        """The shared lines, then those of each service."""
        parts: list[str] = []
        for service in dict.fromkeys(line.service for line in self.lines):
            parts.append(f"{service or self.environment}:")
            parts.append(as_text(line.item for line in self.lines if line.service == service))
        return "\n".join([*parts, self.summary])

    @property
    def summary(self) -> str:
        counts = {
            status: sum(line.item.status == status for line in self.lines) for status in _MARKS
        }
        counted = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        return f"{'ready' if self.ready else 'not ready'}: {counted}"


def preflight(
    settings: Settings, service: str | None = None, skip: frozenset[str] = frozenset()
) -> PreflightReport:
    """Check one service, or all services of the environment.

    Raises ConfigError for an unknown service, check or profile.
    """
    services = (service,) if service else tuple(settings.environment.services)
    return read_and_check(Platform.of(settings), services, skip)


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


def as_text(items: Iterable[Item]) -> str:
    """Render one aligned line for each check, and its next step. Readable without colour."""
    shown = tuple(items)
    width = max((len(item.name) for item in shown), default=0)
    return "\n".join(line for item in shown for line in _item_lines(item, width))


def _item_lines(item: Item, width: int) -> list[str]:
    first, *more = item.detail.splitlines() or [""]
    margin = " " * (width + 13)
    lines = [
        f"{_MARKS[item.status]} {item.status:<7}  {item.name:<{width}}  {first}",
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
    why = "; ".join(f"{item.name}: {_first_line(item.detail)}" for item in blocking)
    raise Refused(f"preflight refuses: {', '.join(names)}", why, _next_step(blocking))


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0]


def _next_step(blocking: tuple[Item, ...]) -> str:
    """Return the next step; with --skip if all refusing checks may be skipped."""
    fix = blocking[0].next if len(blocking) == 1 else "fix each of them (see inv preflight)"
    if all(item.name in SKIPPABLE for item in blocking):
        return f"{fix}, or skip: {' '.join(f'--skip {item.name}' for item in blocking)}"
    return fix
