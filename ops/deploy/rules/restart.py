"""Plan a restart from facts alone: a new deployment of the revision that runs (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.aws.facts import Image, ServiceState, TaskDefinition
from ops.core.errors import Refused
from ops.core.findings import Unknown
from ops.core.plan import Plan
from ops.deploy.rules.in_flight import in_flight
from ops.deploy.rules.steps import RestartService, VerifyRelease, WatchDeployment
from ops.preflight.facts import ReleaseFacts

if TYPE_CHECKING:
    from ops.core.config.settings import Service


def plan_restart(facts: ReleaseFacts, service: Service) -> Plan:
    """The steps of a restart.

    Raises Refused if a fact could not be read, a deployment is in flight, or no task should run.
    """
    state, revision, name = facts.state, facts.revision, facts.service
    for what, fact in (("service", state), ("task definition", revision)):
        if isinstance(fact, Unknown):
            raise Refused(f"the {what} could not be read", fact.why, "inv preflight")
    if not isinstance(state, ServiceState) or not isinstance(revision, TaskDefinition):
        what = "the service or its task definition does not exist"
        raise Refused(what, "nothing can be restarted without it", "inv preflight")
    if deployment := in_flight(state):
        why = f"{deployment.id} to {deployment.task_definition.rsplit('/', 1)[-1]} is not complete"
        how = f"inv {name}.watch, then inv {name}.restart"
        raise Refused(f"a deployment of {name} is in flight", why, how)
    if not state.desired or state.primary is None:
        why = "its desired count is 0"
        raise Refused(f"no task of {name} can be restarted", why, f"inv {name}.scale --count N")
    container = revision.container(service.container) or {}
    digest = facts.image.digest if isinstance(facts.image, Image) else None
    restart = RestartService(
        image=str(container.get("image", "")),
        last_healthy=None,
        no_rollback=False,
        service=state.name,
        desired=state.desired,
        revision=revision.label,
        replaces=state.primary.id,
    )
    # left to the circuit breaker where there is one, since there is no undo of ours
    watch = WatchDeployment(state.name, no_rollback=True)
    return Plan((restart, watch, VerifyRelease(name, digest, len(service.endpoints))))
