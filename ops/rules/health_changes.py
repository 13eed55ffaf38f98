"""Two sweeps compared: what says something else, with tolerances for what is measured. A run kept as JSON is read back here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ops.health import Check, Sweep
from ops.model import Change
from ops.rules import findings
from ops.rules.health_explain import causes
from ops.rules.health_pages import milliseconds

FLOOR_S = 0.25           # a page that took 5 ms and takes 20 is not slower in any way that matters
RATE_FLOOR = 1.0         # errors a minute
TOLERATED = ("connections",)      # shown, not compared: they come and go


def changes(before: Mapping[str, Any], after: Sweep, slower: float) -> tuple[Change, ...]:
    """What changed since a kept run's document, in the order of `after`; `slower`: the factor from which on times count as changed.

    A check that only one of the two has is no change: another --only was asked for. What was explained is told by its cause.
    """
    was = {(str(each["group"]), str(each["name"])): each for each in before.get("checks") or ()}
    found: list[Change] = []
    for check in after.checks:
        old = was.get((check.group, check.name))
        if old is None or "skipped" in (check.status, old.get("status")):
            continue
        found += compared(check, old)
        found += measured(check, old.get("numbers") or {}, slower)
    return tuple(found)


def compared(check: Check, old: Mapping[str, Any]) -> Iterable[Change]:
    before, after = said(str(old.get("status")), str(old.get("value") or "")), said(check.status, check.value)
    if before != after:
        yield Change(shown(check), before, after)


def said(status: str, value: str) -> str:
    return value if value and status in ("ok", "failed") else status


def shown(check: Check) -> str:
    """`/about` for a page through the CDN; the group goes before whatever does not name itself."""
    if check.group == "endpoints" and check.name.startswith("GET ") and check.name.endswith(" via cdn"):
        return check.name.removeprefix("GET ").removesuffix(" via cdn")
    return check.name if check.group == "endpoints" else check.label


def measured(check: Check, old: Mapping[str, Any], slower: float) -> Iterable[Change]:
    for name, value in check.numbers.items():
        if name not in old or name in TOLERATED:
            continue
        before = float(old[name])
        if name == "p50" and moved(before, value, slower, FLOOR_S):
            yield Change("p50", milliseconds(before), milliseconds(value))
        if name == "errors/min" and moved(before, value, slower, RATE_FLOOR):
            yield Change(f"{check.name} errors/min", f"{before:.0f}", f"{value:.0f}")


def moved(before: float, after: float, factor: float, floor: float) -> bool:
    low, high = sorted((before, after))
    return high - low >= floor and high >= factor * low


def as_document(sweep: Sweep) -> dict[str, Any]:
    """The shape of `health.* --json`, and of a kept run."""
    return {
        "healthy": sweep.healthy,
        "environment": sweep.environment,
        "at": sweep.at,
        "took_s": round(sweep.took_s, 3),
        "about": sweep.about,
        "checks": [check_document(check) for check in sweep.checks],
        "findings": [findings.as_document(finding) for finding in causes(sweep.checks)],
        "against": sweep.against,
        "changes": [vars(change) for change in sweep.changes],
    }


def check_document(check: Check) -> dict[str, Any]:
    return {
        "group": check.group,
        "name": check.name,
        "status": check.status,
        "detail": check.detail,
        "took_s": round(check.took_s, 3),
        "value": check.value,
        "service": check.service,
        "cause": check.finding.cause if check.finding else "",
        "explained_by": check.explained_by,
        "numbers": {name: round(value, 4) for name, value in check.numbers.items()},
        "patterns": list(check.patterns),
    }
