"""Compare two sweeps, with tolerances for measurements; convert a sweep to JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from ops.core import findings
from ops.core.text import format_latency
from ops.health.model import EVALUATED, Change, Check, Sweep
from ops.health.rules.root_cause import causes
from ops.health.rules.stored_sweep import StoredCheck, StoredSweep

_Identity = tuple[str, str]  # group and name of a check
_MIN_SLOWDOWN_S = 0.25  # a page that took 5 ms and takes 20 is not slower in any way that matters
_MIN_RATE_CHANGE = 1.0  # errors a minute
_NOT_COMPARED = ("connections",)  # shown, not compared


def newest_of_each(runs: Iterable[StoredSweep], wanted: Iterable[str]) -> StoredSweep | None:
    """Merge stored runs (newest first) into one: the newest result of each wanted group.

    A check that the newest run skipped is taken from an earlier one. `at` is the time of the oldest
    run used. Returns None if no run evaluated any of the groups.
    """
    missing, skipped = {*wanted}, set[_Identity]()
    taken, used = dict[_Identity, StoredCheck](), list[StoredSweep]()
    for run in runs:
        evaluated = {each.identity: each for each in run.checks if each.evaluated}
        fresh = {
            group
            for group, _ in evaluated
            if group in missing or (group == "account" and (group, group) not in taken)
        }
        found = {
            each: check for each, check in evaluated.items() if each[0] in fresh or each in skipped
        }
        skipped |= {each.identity for each in run.checks if each.group in fresh}
        skipped -= found.keys()
        missing -= fresh
        taken |= {each: check for each, check in found.items() if each not in taken}
        if any(group != "account" for group, _ in found):
            used.append(run)
        if not missing and not skipped:
            break
    if not used:
        return None
    oldest = min(used, key=lambda run: run.at)
    return replace(oldest, checks=tuple(taken.values()))


def changes(before: StoredSweep, after: Sweep, slower: float) -> tuple[Change, ...]:
    """Return what changed since a stored run, in the order of `after`.

    `slower`: the factor from which times count as changed. A group that only one of the runs
    evaluated is no change.
    """
    old_checks = {each.identity: each for each in before.checks if each.evaluated}
    now = [check for check in after.checks if check.status in EVALUATED]
    found: list[Change] = []
    for check in now:
        old = old_checks.get(check.key.identity)
        if old is not None:
            found += [
                *_value_changes(check, old),
                *_measurement_changes(check, old.numbers, slower),
            ]
    return (
        *found,
        *_appeared_or_vanished(old_checks, now, {check.key.identity for check in after.checks}),
    )


def _appeared_or_vanished(
    old_checks: Mapping[_Identity, StoredCheck], now: Sequence[Check], known: Set[_Identity]
) -> Iterable[Change]:
    """Yield changes of unhealthy checks that only one of the runs has.

    A failed read may have another name than the checks it would return.
    """
    old = [each for each in old_checks.values() if each.identity not in known]
    new = [check for check in now if check.key.identity not in old_checks]
    evaluated, evaluated_before = {check.group for check in now}, {group for group, _ in old_checks}
    for each in old:
        if each.status != "ok" and each.group in evaluated:
            yield Change(
                each.label,
                _stored_value(each),
                _join_values(
                    [_current_value(check) for check in new if _same_service(check, each)]
                ),
            )
    for check in new:
        before = [each for each in old if _same_service(check, each)]
        if (
            check.unhealthy
            and check.group in evaluated_before
            and all(each.status == "ok" for each in before)
        ):
            yield Change(
                _display_name(check),
                _join_values([_stored_value(each) for each in before]),
                _current_value(check),
                check.key,
            )


def _same_service(check: Check, old: StoredCheck) -> bool:
    """Whether both checks are of one group and not of different services."""
    services = {check.service, old.service} - {""}
    return check.group == old.group and len(services) < 2


def _join_values(values: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(values)) or "not there"


def _value_changes(check: Check, old: StoredCheck) -> Iterable[Change]:
    before, now = _stored_value(old), _current_value(check)
    same_image = check.key.kind == "image" and _image_digest(before) == _image_digest(now) != ""
    if before != now and not same_image:
        yield Change(_display_name(check), _stored_value(old), _current_value(check), check.key)


def _image_digest(value: str) -> str:
    """The digest in `TAG DIGEST`; the tag is left out if no release was recorded."""
    last = value.rpartition(" ")[2]
    return last if last.startswith("sha256:") else ""


def _current_value(check: Check) -> str:
    return _value_or_status(check.status, check.value)


def _stored_value(check: StoredCheck) -> str:
    return _value_or_status(check.status, check.value)


def _value_or_status(status: str, value: str) -> str:
    return value if value and status in ("ok", "failed") else status


def _display_name(check: Check) -> str:
    """Return the path for a page through the CDN, otherwise the check's name with its group."""
    if check.key.kind == "page" and check.key.layer == "cdn":
        return check.key.subject
    return check.name if check.group == "endpoints" else check.label


def _measurement_changes(check: Check, old: Mapping[str, float], slower: float) -> Iterable[Change]:
    for name, value in check.numbers.items():
        if name not in old or name in _NOT_COMPARED:
            continue
        before = float(old[name])
        late = max(check.numbers.get("late", 0.0), float(old.get("late", 0.0)))
        if name == "p50" and _differs(
            before, value, slower, _MIN_SLOWDOWN_S + late
        ):  # no time is more exact than the machine that took it
            yield Change("p50", format_latency(before), format_latency(value))
        if name == "errors/min" and _differs(before, value, slower, _MIN_RATE_CHANGE):
            yield Change(f"{check.name} errors/min", f"{before:.0f}", f"{value:.0f}")


def _differs(before: float, after: float, factor: float, floor: float) -> bool:
    low, high = sorted((before, after))
    return high - low >= floor and high >= factor * low


def as_document(sweep: Sweep) -> dict[str, Any]:
    """Return the JSON document of a sweep, as printed and as stored."""
    return {
        "healthy": sweep.healthy,
        "environment": sweep.environment,
        "at": sweep.at,
        "took_s": round(sweep.took_s, 3),
        "about": sweep.about,
        "checks": [_check_document(check) for check in sweep.checks],
        "findings": [findings.as_document(finding) for finding in causes(sweep.checks)],
        "against": sweep.against,
        "changes": [change.as_document() for change in sweep.changes],
    }


def _check_document(check: Check) -> dict[str, Any]:
    return {
        "group": check.group,
        "name": check.name,
        "status": check.status,
        "detail": check.detail,
        "took_s": round(check.took_s, 3),
        "value": check.value,
        "service": check.service,
        "cause": check.finding.cause if check.finding else "",
        "explained_by": check.explained_by.label if check.explained_by else "",
        "numbers": {name: round(value, 4) for name, value in check.numbers.items()},
        "patterns": list(check.patterns),
    }
