"""Which deployment of a service is in flight, and what `--no-wait` leaves of a plan."""

from dataclasses import replace

import pytest

from ops.core.plan import Plan
from ops.deploy.rules.in_flight import in_flight, rolls_back
from ops.deploy.rules.plan import plan_release, start_only
from ops.deploy.rules.steps import UpdateService
from tests.deploy.test_plan import FACTS, SERVICE
from tests.ecs.stops import BACK, OLD_ONE, OURS, deployment, service

ROLLING = "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/9."
FAILED = deployment(status="ACTIVE", state="FAILED", desired=0)
ROLLBACK = deployment(BACK, reason=ROLLING)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (service(deployment(running=1), OLD_ONE), OURS),
        (service(deployment(state="COMPLETED", running=2)), None),
        (service(deployment(state="FAILED")), OURS),
        (service(ROLLBACK, FAILED), OURS),
        (service(ROLLBACK), BACK),
        (service(replace(ROLLBACK, rollout_state="COMPLETED"), FAILED), None),
        (service(deployment(state=None, running=2)), None),
        (service(deployment(state=None, running=1)), OURS),
        (service(deployment(state=None, running=2), OLD_ONE), OURS),
        (service(), None),
    ],
)
def test_the_deployment_in_flight(state, expected):
    """The PRIMARY that is not complete; while ECS rolls back, the deployment that failed."""
    found = in_flight(state)
    assert (found.id if found else None) == expected


def test_a_rollback_by_ecs_is_known_by_its_reason():
    assert rolls_back(ROLLBACK) and not rolls_back(deployment())


def test_no_wait_ends_with_the_update():
    """Nothing after the rollout is planned, and the plan says so; without one it is unchanged."""
    plan = start_only(plan_release(FACTS, SERVICE))
    assert isinstance(plan.steps[-1], UpdateService) and "--no-wait" in plan.already[-1]
    assert start_only(Plan(())) == Plan(())
