"""Rules of rollouts: taken back, stuck, without effect, on documents as AWS sends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ops.diagnosis.diagnose import diagnose
from ops.diagnosis.model import Document, EvidenceSnapshot
from tests.diagnosis.edge_world import edge_world
from tests.diagnosis.incidents import AT, REVISION, SUBJECT, causes, find, stopped

Documents = dict[str, Any]
Change = Callable[[Documents], None]
BEFORE = "2026-11-28T02:50:00+00:00"
OLDER = REVISION.replace(":7", ":6")
RESOURCE = "service/dev/dev-backend"


def service(documents: Documents) -> dict[str, Any]:
    found: dict[str, Any] = documents["ecs/services"]["dev-backend"]
    return found


def rolled_back(
    why: str = "tasks failed to start", at: str = BEFORE, to: str = "ecs-svc/1"
) -> Change:
    def change(documents: Documents) -> None:
        messages = (
            f"(service dev-backend) rolling back to deployment {to}.",
            f"(service dev-backend) (deployment ecs-svc/9) deployment failed: {why}.",
        )
        service(documents)["events"] = [
            {"id": str(number), "createdAt": at, "message": message}
            for number, message in enumerate(messages)
        ]
        dead = stopped("d", "Essential container in task exited", "EssentialContainerExited", 1)
        documents["ecs/tasks"]["dev-backend"]["stopped"] = [
            {**dead, "startedBy": "ecs-svc/9", "taskDefinitionArn": REVISION.replace(":7", ":8")}
        ]
        documents["logs/stopped"]["dev-backend"] = {"d": ["cannot start: NO_SUCH is not set"]}

    return change


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("tasks failed to start", "rollout_reverted_by_breaker"),
        ("alarm detected", "rollout_reverted_by_alarm"),
    ],
)
def test_a_rollback_of_ecs_is_named_with_its_reason(why: str, cause: str) -> None:
    documents = edge_world()
    rolled_back(why)(documents)
    service(documents)["deploymentConfiguration"] = {"alarms": {"alarmNames": ["errors"]}}
    found = find(documents)
    assert causes(found) == [cause]
    finding = found.roots[0].candidate.finding
    assert "dev-backend:8" in finding.summary and why in finding.evidence[0].text
    texts = [each.text for each in finding.evidence]
    assert "cannot start: NO_SUCH is not set" in texts
    assert "Essential container in task exited backend exit code 1" in texts


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(rolled_back(at="2026-11-28T01:00:00+00:00"), id="two hours ago"),
        pytest.param(rolled_back(to="ecs-svc/5"), id="deployed again since"),
        pytest.param(lambda d: service(d).update(events=[]), id="no event"),
        pytest.param(lambda d: d.pop("ecs/services"), id="unknown services"),
    ],
)
def test_an_earlier_rollback_is_no_cause(change: Change) -> None:
    documents = edge_world()
    rolled_back()(documents)
    change(documents)
    assert causes(find(documents)) == []


def update(
    revision: str, agent: str, at: str = AT, *, cluster: str = "dev", **detail: Any
) -> dict[str, Any]:
    request = {"service": "dev-backend", "cluster": cluster, "taskDefinition": revision}
    call = {"userAgent": agent, "requestParameters": request, **detail}
    return {"EventTime": at, "Username": "ci", "CloudTrailEvent": json.dumps(call)}


TERRAFORM = "APN/1.0 HashiCorp/1.0 Terraform/1.9.5 (+https://www.terraform.io)"
BOTO = "Boto3/1.40 md/Botocore#1.40"
NEWER = REVISION.replace(":7", ":8")


def test_a_terraform_apply_after_a_deploy_is_named() -> None:
    documents = edge_world()
    documents["cloudtrail/updates"] = [update(REVISION, TERRAFORM), update(NEWER, BOTO, BEFORE)]
    found = find(documents)
    assert causes(found) == ["rollout_reverted_by_terraform"]
    assert "dev-backend:8 was deployed" in found.roots[0].candidate.finding.summary


@pytest.mark.parametrize(
    "updates",
    [
        pytest.param([update(REVISION, TERRAFORM), update(OLDER, BOTO)], id="forward"),
        pytest.param([update(REVISION, BOTO), update(NEWER, BOTO)], id="our rollback"),
        pytest.param([update(OLDER, TERRAFORM), update(NEWER, BOTO)], id="deployed since"),
        pytest.param(
            [update(REVISION, TERRAFORM, errorCode="X"), update(NEWER, BOTO)], id="denied"
        ),
        pytest.param([{"CloudTrailEvent": "no JSON"}, {}], id="unreadable"),
        pytest.param(
            [update(REVISION, TERRAFORM, cluster="prod"), update(NEWER, BOTO, cluster="prod")],
            id="a service of that name in another cluster",
        ),
    ],
)
def test_other_updates_are_no_revert(updates: list[Any]) -> None:
    documents = edge_world()
    documents["cloudtrail/updates"] = updates
    assert causes(find(documents)) == []


def stuck(low: int = 100, high: int = 100, **primary: Any) -> Change:
    def change(documents: Documents) -> None:
        found = service(documents)
        old = found["deployments"][0]
        new = {
            **old,
            "id": "ecs-svc/2",
            "runningCount": 0,
            "rolloutState": "IN_PROGRESS",
            **primary,
        }
        found["deployments"] = [new, {**old, "status": "ACTIVE"}]
        found["deploymentConfiguration"] = {"minimumHealthyPercent": low, "maximumPercent": high}

    return change


@pytest.mark.parametrize(("low", "high"), [(100, 100), (51, 100), (100, 149)])
def test_percentages_without_room_explain_a_rollout_without_progress(low: int, high: int) -> None:
    documents = edge_world()
    stuck(low, high)(documents)
    assert causes(find(documents)) == ["deployment_stuck"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(stuck(100, 200), id="it may start"),
        pytest.param(stuck(50, 100), id="it may stop"),
        pytest.param(stuck(pendingCount=1), id="a task starts"),
        pytest.param(stuck(failedTasks=1), id="a task failed"),
        pytest.param(stuck(rolloutState="COMPLETED"), id="completed"),
        pytest.param(lambda d: None, id="no rollout"),
    ],
)
def test_a_rollout_with_progress_is_not_stuck(change: Change) -> None:
    documents = edge_world()
    change(documents)
    assert causes(find(documents)) == []


def pinned(documents: Documents, *ignores: str, registered: str = BEFORE) -> list[str]:
    """The causes for a service of Terraform whose newest revision is 8, while 7 runs."""
    documents["terraform/services"] = {"aws_ecs_service.backend": {"ignores": list(ignores)}}
    documents["ecs/newest-revisions"] = {
        "dev-backend": {"taskDefinitionArn": NEWER, "registeredAt": registered}
    }
    found = {key: Document(key, key, AT, value) for key, value in documents.items()}
    subject = {**SUBJECT, "rollout": "terraform"}
    return causes(diagnose(EvidenceSnapshot("dev", AT, 1.0, subject, found)))


@pytest.mark.parametrize(
    "ignores", [("task_definition",), ("desired_count", "task_definition"), ("all",)]
)
def test_a_service_whose_revision_terraform_ignores_is_pinned(ignores: tuple[str, ...]) -> None:
    assert pinned(edge_world(), *ignores) == ["service_pinned"]


def test_ignoring_another_attribute_or_a_moment_ago_pins_nothing() -> None:
    assert pinned(edge_world(), "desired_count") == []
    assert pinned(edge_world(), "task_definition", registered=AT) == []
    documents = edge_world()
    stuck(100, 200, pendingCount=1)(documents)
    assert pinned(documents, "task_definition") == []


def activity(count: int, at: str = AT) -> dict[str, Any]:
    return {
        "Description": f"Setting desired count to {count}.",
        "Cause": "scheduled action name night was triggered",
        "StartTime": at,
    }


def scaled(maximum: int, *activities: dict[str, Any], scheduled: bool = True) -> dict[str, Any]:
    action = {
        "ScheduledActionName": "night",
        "Schedule": "cron(0 20 * * ? *)",
        "ScalableTargetAction": {"MinCapacity": 0, "MaxCapacity": 0},
    }
    return {
        "dev-backend": {
            "target": {"ResourceId": RESOURCE, "MinCapacity": 0, "MaxCapacity": maximum},
            "scheduled": [action] if scheduled else [],
            "activities": list(activities),
        }
    }


def test_a_schedule_that_stops_every_task_is_named() -> None:
    documents = edge_world()
    service(documents).update(desiredCount=0, runningCount=0)
    documents["autoscaling"] = scaled(0, activity(0))
    found = find(documents)
    assert causes(found) == ["scaled_to_zero_by_schedule"]
    assert "scheduled action night" in found.roots[0].candidate.finding.summary


@pytest.mark.parametrize(
    ("desired", "scaling"),
    [(2, scaled(4, activity(2))), (0, scaled(4, activity(2))), (0, {}), (2, scaled(4))],
)
def test_another_desired_count_is_not_the_schedules(desired: int, scaling: Documents) -> None:
    documents = edge_world()
    service(documents).update(desiredCount=desired)
    documents["autoscaling"] = scaling
    assert causes(find(documents)) == []


def test_a_count_that_goes_both_ways_in_one_rollout_is_named() -> None:
    documents = edge_world()
    stuck(100, 200, pendingCount=1, createdAt=BEFORE)(documents)
    times = [f"2026-11-28T02:5{minute}:00+00:00" for minute in range(1, 4)]
    counts = [activity(count, at) for count, at in zip((4, 2, 4), times, strict=True)]
    documents["autoscaling"] = scaled(4, *counts)
    assert causes(find(documents)) == ["autoscaling_fights_rollout"]
    documents["autoscaling"] = scaled(4, *counts[:1])
    assert causes(find(documents)) == []
