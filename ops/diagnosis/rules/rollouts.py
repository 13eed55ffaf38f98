"""Rollouts and runs in progress in which nothing failed: what checks report is expected."""

from __future__ import annotations

from datetime import timedelta

from ops.aws.facts import ServiceState
from ops.core.findings import Unknown
from ops.core.text import format_duration
from ops.diagnosis.facts import Incident, ServiceFact

# What checks find while old and new tasks run side by side, and is gone when the rollout ends.
EXPECTED = (
    "service_unsteady",
    "not_the_release",
    "several_images",
    "wrong_body",
    "no_targets",
    "release_not_invalidated",
    "stale_cache",
    "cache_not_invalidated",
)
_DEFAULT_LIMIT_S = 900.0


def normal_rollout(incident: Incident, service: ServiceFact) -> str:
    """Describe the service's rollout in progress, or "" if there is none or something failed.

    A rollout is normal while no task of its deployment has failed or stopped, and it has not taken
    longer than `deploy_timeout` and its bake time.
    """
    state = service.state
    if not isinstance(state, ServiceState) or isinstance(service.stopped, Unknown):
        return ""
    primary = state.primary
    if primary is None or primary.rollout_state != "IN_PROGRESS" or primary.failed:
        return ""
    if service.recent_stops or primary.created_at is None:
        return ""
    limit_s = float(incident.subject.get("deploy_timeout") or _DEFAULT_LIMIT_S) + state.bake_s
    age = incident.at - primary.created_at
    if age > timedelta(seconds=limit_s):
        return ""
    baking = state.bake_s and primary.running == primary.desired
    what = "bakes" if baking else "is in progress"
    running = f"{primary.running} of {primary.desired} tasks run, none failed"
    took = format_duration(max(age.total_seconds(), 0.0))
    return f"{service.name}: deployment {primary.id} {what} for {took}: {running}"


def run_at_work(incident: Incident, service: ServiceFact) -> str:
    """Describe the run of this tool that holds the service's lock, or "" without one.

    Between the end of a rollout and its record, the run still verifies it. "" too if a task of the
    newest deployment has failed.
    """
    state = service.state
    primary = state.primary if isinstance(state, ServiceState) else None
    if primary is None or primary.failed or primary.rollout_state == "FAILED":
        return ""
    if isinstance(service.stopped, Unknown) or service.recent_stops:
        return ""
    for lock in incident.content("locks") or ():
        if lock["name"] == service.name and not lock["expired"]:
            who = f"{lock['owner']} on {lock['host']}"
            return f"{service.name}: {who} holds its lock ({lock['reason']}); nothing failed"
    return ""


def normal_rollouts(incident: Incident) -> dict[str, str]:
    """Service → the description of its normal rollout, or of the run that works on it."""
    found = {
        each.name: normal_rollout(incident, each) or run_at_work(incident, each)
        for each in incident.services
    }
    return {name: text for name, text in found.items() if text}
