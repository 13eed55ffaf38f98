"""Application Auto Scaling of ECS services: limits, one-time schedules, scaling activities.

Emulates what changes a service's desired count: a count beyond the scalable target's limits is set
to the limit, a scheduled action `at(TIME)` sets the limits when its time has come, and each change
is a scaling activity (DescribeScalingActivities, which moto lacks). Differs from AWS: `cron` and
`rate` schedules, time zones, scaling policies and suspended states are stored and otherwise
ignored, and a change takes effect at the scheduler's next tick.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse

from ops.sandbox.aws.ecs.model import Service, utc_now
from ops.sandbox.aws.overrides import replace
from ops.sandbox.contracts import ACCOUNT, REGION

_DIMENSION = "ecs:service:DesiredCount"


@dataclass
class Scaling:
    """The scaling activities of all services, newest first."""

    activities: list[dict[str, Any]] = field(default_factory=list)

    def install(self) -> None:
        scaling = self

        def describe_scaling_activities(response: Any) -> str:
            return scaling.describe(response)

        replace(
            ApplicationAutoScalingResponse,
            "describe_scaling_activities",
            describe_scaling_activities,
        )

    def describe(self, response: Any) -> str:
        wanted = response._get_param("ResourceId")
        found = [each for each in self.activities if wanted in (None, each["ResourceId"])]
        return json.dumps({"ScalingActivities": found[: response._get_param("MaxResults") or 50]})

    def apply(self, service: Service) -> None:
        """Run the service's due schedules, then keep its desired count within the limits."""
        resource = f"service/{service.cluster}/{service.name}"
        backend = applicationautoscaling_backends[ACCOUNT][REGION]
        target = (backend.targets.get(_DIMENSION) or {}).get(resource)
        if target is None:
            return
        causes = [self._run(target, each) for each in self._due(backend, resource)]
        low, high = int(target.min_capacity or 0), int(target.max_capacity or 0)
        count = min(max(service.desired_count, low), high)
        if count != service.desired_count:
            limit = "maximum" if count == high else "minimum"
            self._record(resource, count, [*causes, f"{limit} capacity was set to {count}"])
            service.desired_count = count
            service.announced_steady = False

    def _due(self, backend: Any, resource: str) -> list[Any]:
        now = datetime.now(UTC)
        return [
            each
            for each in list(backend.scheduled_actions)
            if each.resource_id == resource
            and getattr(each, "ran", "") != each.schedule
            and (at := _time(each.schedule)) is not None
            and at <= now
        ]

    def _run(self, target: Any, action: Any) -> str:
        action.ran = action.schedule  # one that is made again, or gets another time, runs again
        wanted = action.scalable_target_action
        low, high = _capacities(wanted)
        target.min_capacity = target.min_capacity if low is None else low
        target.max_capacity = target.max_capacity if high is None else high
        return f"scheduled action name {action.scheduled_action_name} was triggered"

    def _record(self, resource: str, count: int, causes: list[str]) -> None:
        now = utc_now().timestamp()
        activity = {
            "ActivityId": str(uuid.uuid4()),
            "ServiceNamespace": "ecs",
            "ResourceId": resource,
            "ScalableDimension": _DIMENSION,
            "Description": f"Setting desired count to {count}.",
            "Cause": "; ".join(causes),
            "StartTime": now,
            "EndTime": now,
            "StatusCode": "Successful",
            "StatusMessage": f"Successfully set desired count to {count}. Change successfully "
            "fulfilled by ecs.",
        }
        self.activities.insert(0, activity)


def _capacities(action: Any) -> tuple[int | None, int | None]:
    """The limits of a scheduled action, which moto stores as it received them, or as an object."""
    if isinstance(action, dict):
        return action.get("MinCapacity"), action.get("MaxCapacity")
    return getattr(action, "min_capacity", None), getattr(action, "max_capacity", None)


def _time(schedule: str) -> datetime | None:
    """The time of `at(yyyy-mm-ddThh:mm:ss)`, in UTC; None for another schedule."""
    if not schedule.startswith("at("):
        return None
    try:
        return datetime.fromisoformat(schedule[3:-1]).replace(tzinfo=UTC)
    except ValueError:
        return None
