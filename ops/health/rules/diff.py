"""Two sweeps compared: what says something else, with tolerances for what is measured. A run kept
as JSON is read back here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from ops.aws.facts import Change
from ops.core import findings
from ops.health.model import EVALUATED, Check, Sweep
from ops.health.rules.pages import format_milliseconds
from ops.health.rules.root_cause import causes

Key = tuple[str, str]  # group and name of a check
FLOOR_S = 0.25  # a page that took 5 ms and takes 20 is not slower in any way that matters
RATE_FLOOR = 1.0  # errors a minute
TOLERATED = ("connections",)  # shown, not compared: they come and go


def newest_of_each(
    documents: Iterable[Mapping[str, Any]], wanted: Iterable[str]
) -> Mapping[str, Any] | None:
    """One run made of kept ones (newest first): of each wanted group the newest that looked at it,
    and what that one skipped as the newest that did not. `at` is the oldest that was taken from:
    all changes came since then. None: no run looked at any of these groups."""
    missing, skipped, taken, moments = (
        {*wanted},
        set[Key](),
        dict[Key, Mapping[str, Any]](),
        list[str](),
    )
    for document in documents:
        looked = {key(each): each for each in document["checks"] if each["status"] in EVALUATED}
        fresh = {
            group
            for group, _ in looked
            if group in missing or (group == "account" and (group, group) not in taken)
        }
        found = {
            each: check for each, check in looked.items() if each[0] in fresh or each in skipped
        }
        skipped |= {key(each) for each in document["checks"] if each["group"] in fresh}
        skipped -= found.keys()
        missing -= fresh
        taken |= {each: check for each, check in found.items() if each not in taken}
        moments += (
            [str(document.get("at"))] if any(group != "account" for group, _ in found) else []
        )
        if not missing and not skipped:
            break
    return {"at": min(moments), "checks": [*taken.values()]} if moments else None


def key(check: Mapping[str, Any]) -> Key:
    return str(check["group"]), str(check["name"])


def changes(before: Mapping[str, Any], after: Sweep, slower: float) -> tuple[Change, ...]:
    """What changed since a kept run's document, in the order of `after`; `slower`: the factor from
    which on times count as changed.

    A group that only one of the two looked at is no change: another --only was asked for. What was
    explained is told by its cause."""
    was = {
        key(each): each for each in before.get("checks") or () if each.get("status") in EVALUATED
    }
    now = [check for check in after.checks if check.status in EVALUATED]
    found: list[Change] = []
    for check in now:
        old = was.get((check.group, check.name))
        if old is not None:
            found += [*compared(check, old), *measured(check, old.get("numbers") or {}, slower)]
    return (
        *found,
        *appeared_or_vanished(was, now, {(check.group, check.name) for check in after.checks}),
    )


def appeared_or_vanished(
    was: Mapping[Key, Mapping[str, Any]], now: Sequence[Check], names: Set[Key]
) -> Iterable[Change]:
    """What only one of the two runs has is told where it is ill: a look that failed has another
    name than what it would see.
    """
    old = [each for each in was.values() if key(each) not in names]
    new = [check for check in now if (check.group, check.name) not in was]
    looked, looked_before = {check.group for check in now}, {group for group, _ in was}
    for each in old:
        if each["status"] != "ok" and each["group"] in looked:
            yield Change(
                f"{each['group']} · {each['name']}",
                stored_changes(each),
                merge_same_moves(
                    [changes_between(check) for check in new if same_service(check, each)]
                ),
            )
    for check in new:
        before = [each for each in old if same_service(check, each)]
        if (
            check.ill
            and check.group in looked_before
            and all(each["status"] == "ok" for each in before)
        ):
            yield Change(
                value_of(check),
                merge_same_moves([stored_changes(each) for each in before]),
                changes_between(check),
            )


def same_service(check: Check, old: Mapping[str, Any]) -> bool:
    """Of one group, and of one service where both say whose they are."""
    service = str(old.get("service") or "")
    return check.group == old["group"] and (
        check.service == service or not check.service or not service
    )


def merge_same_moves(said: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(said)) or "not there"


def compared(check: Check, old: Mapping[str, Any]) -> Iterable[Change]:
    if stored_changes(old) != changes_between(check):
        yield Change(value_of(check), stored_changes(old), changes_between(check))


def changes_between(check: Check) -> str:
    return display_name(check.status, check.value)


def stored_changes(check: Mapping[str, Any]) -> str:
    return display_name(str(check["status"]), str(check.get("value") or ""))


def display_name(status: str, value: str) -> str:
    return value if value and status in ("ok", "failed") else status


def value_of(check: Check) -> str:
    """`/about` for a page through the CDN; the group goes before whatever does not name itself."""
    if (
        check.group == "endpoints"
        and check.name.startswith("GET ")
        and check.name.endswith(" via cdn")
    ):
        return check.name.removeprefix("GET ").removesuffix(" via cdn")
    return check.name if check.group == "endpoints" else check.label


def measured(check: Check, old: Mapping[str, Any], slower: float) -> Iterable[Change]:
    for name, value in check.numbers.items():
        if name not in old or name in TOLERATED:
            continue
        before = float(old[name])
        late = max(check.numbers.get("late", 0.0), float(old.get("late", 0.0)))
        if name == "p50" and moved(
            before, value, slower, FLOOR_S + late
        ):  # no time is more exact than the machine that took it
            yield Change("p50", format_milliseconds(before), format_milliseconds(value))
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
