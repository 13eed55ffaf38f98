"""Diagnose a snapshot: all rules, then their order (`inv troubleshoot.*`)."""

from __future__ import annotations

from ops.core.text import format_error
from ops.diagnosis.facts import Incident
from ops.diagnosis.incident import read_incident
from ops.diagnosis.model import Candidate, Diagnosis, EvidenceSnapshot
from ops.diagnosis.rules import (  # modules register their causes when imported
    causes,
    from_checks,
    ranking,
    target_health,  # noqa: F401
    tasks,  # noqa: F401
)
from ops.diagnosis.rules.database import (
    blocking,  # noqa: F401
    clients,  # noqa: F401
    instance,  # noqa: F401
    network,  # noqa: F401
    symptoms,
)
from ops.diagnosis.rules.edge import (
    balancer,  # noqa: F401
    caching,  # noqa: F401
    health_checks,  # noqa: F401
    listeners,  # noqa: F401
    origin,  # noqa: F401
    ports,  # noqa: F401
)
from ops.diagnosis.rules.operator import (
    access,  # noqa: F401
    locks,  # noqa: F401
)
from ops.diagnosis.rules.rollout import (
    progress,  # noqa: F401
    reverted,  # noqa: F401
)
from ops.diagnosis.rules.rollouts import normal_rollouts


def _affected(incident: Incident) -> ranking.Affected:
    """The services that the database can affect: its clients, where they are known."""
    known = frozenset(each.name for each in symptoms.clients(incident))
    return {"database": known} if known else {}


def diagnose(snapshot: EvidenceSnapshot) -> Diagnosis:
    """Apply every rule to the snapshot. Reads nothing else, so a replay gives the same result."""
    incident = read_incident(snapshot)
    rollouts = normal_rollouts(incident)
    found: list[Candidate] = []
    broken = []
    for name, result in causes.candidates(incident):
        if isinstance(result, Candidate):
            if not from_checks.is_expected(result.finding.cause, result.service, rollouts):
                found.append(result)
        else:
            broken.append(f"{name}: {format_error(result)}")
    found += from_checks.from_checks(incident)  # after the rules, which know more of a cause
    return Diagnosis(
        snapshot,
        ranking.rank(found, from_checks.explained_by_sweep(incident), _affected(incident)),
        tuple(sorted({check.group for check in incident.checks}))
        + tuple(key for key in incident.contents if key != "sweep"),
        tuple(broken),
        tuple(rollouts.values()),
        tuple(check.label for check in from_checks.unexplained_checks(incident)),
    )
