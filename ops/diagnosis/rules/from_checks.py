"""Causes that the health sweep found, and what it says of their order.

`ops.health.rules` and `ops.ecs.rules.stop_reasons` find them;
`ops.diagnosis.rules.known_causes` documents them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ops.aws.facts import ServiceState
from ops.core.findings import Evidence, Unknown
from ops.diagnosis.facts import CheckFact, Incident
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules import known_causes  # noqa: F401 - registers them
from ops.diagnosis.rules.operator.locks import state_lock_is_normal
from ops.diagnosis.rules.rollouts import EXPECTED, normal_rollouts

_BEHIND_TASKS = ("endpoints", "targets", "cdn")  # groups of checks that need tasks which serve


def from_checks(incident: Incident) -> Iterable[Candidate]:
    """Yield the finding of every failed check that has one."""
    return tuple(_findings(incident))


def _findings(incident: Incident) -> Iterator[Candidate]:
    rollouts = normal_rollouts(incident)
    for check in incident.checks:
        if check.kind == "state lock" and state_lock_is_normal(incident):
            continue  # of the deploy that is at work
        if check.finding is None or check.status not in ("failed", "unknown"):
            continue
        if is_expected(check.finding.cause, check.service, rollouts):
            continue
        if check.finding.cause == "not_the_release" and _is_released(incident, check.service):
            continue  # the check read the records before the release was recorded
        finding = check.finding
        if not finding.evidence:
            finding = replace(finding, evidence=(Evidence(check.label, check.detail),))
        if check.service not in finding.summary:  # the check's own label names it
            finding = replace(finding, summary=f"{check.service}: {finding.summary}")
        yield Candidate(finding, check.service, f"the check {check.label} found it")


def _is_released(incident: Incident, name: str) -> bool:
    """Whether all running tasks have the image of the newest successful release."""
    service, records = incident.service(name), (incident.content("releases") or {}).get(name) or ()
    newest = next((each for each in records if each.get("verdict") == "succeeded"), None)
    if service is None or newest is None or isinstance(service.running, Unknown):
        return False
    states = (task.container(service.container) for task in service.running)
    digests = {state.digest for state in states if state}
    return digests == {newest.get("digest")} and None not in digests


def is_expected(cause: str, service: str, rollouts: Mapping[str, str]) -> bool:
    """Whether a cause is only what a normal rollout of the service looks like."""
    return cause in EXPECTED and _rolls_out(service, rollouts)


def _rolls_out(service: str, rollouts: Mapping[str, str]) -> bool:
    """Whether the service, or any for a check of none, is in a normal rollout."""
    return service in rollouts or (not service and bool(rollouts))


def unexplained_checks(incident: Incident) -> tuple[CheckFact, ...]:
    """Failed or unknown checks that a normal rollout does not explain."""
    rollouts = normal_rollouts(incident)
    return tuple(
        check
        for check in incident.checks
        if check.status in ("failed", "unknown")
        and not (
            _rolls_out(check.service, rollouts)
            and (check.finding is None or check.finding.cause in EXPECTED)
        )
    )


def _still_serves(incident: Incident, check: CheckFact) -> bool:
    """Whether a check of ECS failed although the service runs its desired number of tasks."""
    service = incident.service(check.service)
    state = service.state if service else None
    return (
        check.group == "ecs"
        and isinstance(state, ServiceState)
        and (state.running >= state.desired > 0)
    )


def explained_by_sweep(incident: Incident) -> dict[tuple[str, str], tuple[str, str]]:
    """Identity of a cause → that of the cause which explains it, by the sweep's own rules.

    Tasks that cannot start explain no page and no target while enough other tasks serve.
    """
    by_label = {check.label: check for check in incident.checks}
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for check in incident.checks:
        above = by_label.get(check.explained_by)
        if not check.finding or not above or not above.finding:
            continue
        if check.group not in _BEHIND_TASKS or not _still_serves(incident, above):
            found[(check.finding.cause, check.service)] = (above.finding.cause, above.service)
    return found
