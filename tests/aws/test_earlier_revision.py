"""The revision that a service ran before, by its deployments."""

from __future__ import annotations

import pytest

from ops.aws.ecs import service_state

FAMILY = "arn:aws:ecs:us-east-1:123456789012:task-definition/backend"


@pytest.mark.parametrize(
    ("deployments", "expected"),
    [
        ([("PRIMARY", 3, "IN_PROGRESS"), ("ACTIVE", 2, "COMPLETED")], "backend:2"),
        # a rollout that was superseded is not what was healthy
        (
            [
                ("PRIMARY", 4, "IN_PROGRESS"),
                ("ACTIVE", 3, "IN_PROGRESS"),
                ("ACTIVE", 2, "COMPLETED"),
            ],
            "backend:2",
        ),
        ([("PRIMARY", 3, "IN_PROGRESS"), ("ACTIVE", 2, "FAILED")], ""),
        ([("PRIMARY", 2, "IN_PROGRESS"), ("ACTIVE", 2, "COMPLETED")], ""),  # a restart
        ([("PRIMARY", 2, "COMPLETED")], ""),
        ([], ""),
    ],
)
def test_the_newest_completed_deployment_of_another_revision(
    deployments: list[tuple[str, int, str]], expected: str
) -> None:
    rows = [
        {
            "id": f"ecs-svc/{place}",
            "status": status,
            "taskDefinition": f"{FAMILY}:{number}",
            "rolloutState": rollout,
            "desiredCount": 1,
            "runningCount": 1,
            "pendingCount": 0,
        }
        for place, (status, number, rollout) in enumerate(deployments)
    ]
    document = {"serviceName": "backend", "status": "ACTIVE", "taskDefinition": f"{FAMILY}:9"}
    counts = {"desiredCount": 1, "runningCount": 1, "pendingCount": 0}
    state = service_state(
        {**document, **counts, "deployments": rows, "events": [], "loadBalancers": []}
    )
    assert state.earlier_revision == expected
