"""Find the deployment of a service that is in flight (pure)."""

from __future__ import annotations

import re

from ops.aws.facts import Deployment, ServiceState

_ROLLING_BACK = re.compile(r"roll(?:ing|ed)[ -]?back", re.IGNORECASE)


def in_flight(service: ServiceState) -> Deployment | None:
    """The deployment to watch: the PRIMARY if it is not complete, or what ECS rolls back to it.

    None if no deployment is in flight. ECS has no rolloutState for some old services: then it is
    complete when all tasks run and no other deployment is left.
    """
    primary = service.primary
    if primary is None or _completed(service, primary):
        return None
    if not rolls_back(primary):
        return primary
    failed = (each for each in service.deployments if each.rollout_state == "FAILED")
    return next(failed, primary)


def rolls_back(deployment: Deployment) -> bool:
    """Whether ECS made this deployment to roll back another one."""
    return bool(_ROLLING_BACK.search(deployment.rollout_reason))


def _completed(service: ServiceState, primary: Deployment) -> bool:
    if primary.rollout_state is not None:
        return primary.rollout_state == "COMPLETED"
    alone = len(service.deployments) == 1 and not primary.pending
    return alone and primary.running == primary.desired == service.desired
