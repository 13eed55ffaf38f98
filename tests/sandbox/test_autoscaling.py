"""Application Auto Scaling: one-time schedules set a service's desired count, each of them once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto.applicationautoscaling.models import ApplicationAutoscalingBackend

from ops.sandbox.aws import Aws
from ops.sandbox.aws.ecs.model import Service
from tests.sandbox.aws_platform import client_of

TARGET = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/web/shop",
    "ScalableDimension": "ecs:service:DesiredCount",
}


@pytest.fixture
def scaling(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client, with a schedule that sets the capacity to 0 and has run.

    The service has no cluster, agent or tasks: nothing but its count is needed.
    """
    monkeypatch.setattr(
        ApplicationAutoscalingBackend, "_ecs_service_exists_for_target", lambda self, arn: True
    )
    client = client_of(aws, "application-autoscaling")
    client.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=4)
    schedule(client, "at(2026-01-01T20:00:00)")
    assert desired(aws) == 0
    yield client
    client.delete_scheduled_action(**TARGET, ScheduledActionName="night")


def schedule(client: Any, at: str) -> None:
    client.put_scheduled_action(
        **TARGET,
        ScheduledActionName="night",
        Schedule=at,
        ScalableTargetAction={"MinCapacity": 0, "MaxCapacity": 0},
    )


def desired(aws: Aws) -> int:
    """The count of a service of two tasks after the scheduler's next tick."""
    service = Service("shop", "", "web", "", "", 2, {})
    aws.cloud.scaling.apply(service)
    return service.desired_count


def test_a_schedule_runs_once(aws: Aws, scaling: Any) -> None:
    """A later change of the limits holds; the change of the count is a scaling activity."""
    scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=4)
    assert desired(aws) == 2
    newest = scaling.describe_scaling_activities(
        ServiceNamespace="ecs", ResourceId=TARGET["ResourceId"]
    )["ScalingActivities"][0]
    assert newest["Cause"] == (
        "scheduled action name night was triggered; maximum capacity was set to 0"
    )


def test_a_schedule_that_is_made_again_runs_again(aws: Aws, scaling: Any) -> None:
    scaling.delete_scheduled_action(**TARGET, ScheduledActionName="night")
    scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=4)
    assert desired(aws) == 2
    schedule(scaling, "at(2026-01-01T20:00:00)")
    assert desired(aws) == 0


def test_a_schedule_with_another_time_runs_again(aws: Aws, scaling: Any) -> None:
    scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=4)
    schedule(scaling, "at(2026-01-02T20:00:00)")
    assert desired(aws) == 0
