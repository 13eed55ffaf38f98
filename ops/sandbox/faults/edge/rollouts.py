"""Faults of rollouts: taken back by ECS or Terraform, stuck, started too slowly, scaled to zero.

All are caused by API calls. `TerraformRevert` makes Terraform's call with its user agent. Differs
from AWS: no Terraform runs for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultState, SandboxHandles
from ops.sandbox.faults.services import BadRevision, ServiceFault

_ALARM = "dev-davidshaevel-backend-errors"
_TERRAFORM = "HashiCorp Terraform/1.9.8 (+https://www.terraform.io)"
_DIMENSION = "ecs:service:DesiredCount"
LOOPBACK = """
import os
os.environ["HOST"] = "127.0.0.1"
import server
server.Server.allow_reuse_port = True  # the sandbox's tasks share the machine's loopback
server.main()
"""
SLOW_START = """
import time
print('{"level": "info", "message": "loading 4000 templates"}', flush=True)
time.sleep(60)
import server
server.main()
"""


@dataclass(frozen=True)
class EarlyKill(BadRevision):
    """The new revision starts slowly, and the service has no grace period."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        grace = probes.service(handles, self.spec)["healthCheckGracePeriodSeconds"]
        return {**super().prepare(handles), "grace": grace}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        self._update(handles, healthCheckGracePeriodSeconds=0)
        return super().inject(handles, state)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether ECS stopped a task of the new revision for its health checks."""
        return any(
            each.get("stoppedReason", "").startswith("Task failed ELB health checks")
            for each in probes.stopped_tasks(handles, self.spec, state["made"])
        )

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self._update(handles, healthCheckGracePeriodSeconds=state["grace"])
        super().remove(handles, state)


@dataclass(frozen=True)
class RolledBack(BadRevision):
    """A new revision whose deployment ECS fails and rolls back: by its breaker, or an alarm."""

    by_alarm: bool = False

    def prepare(self, handles: SandboxHandles) -> FaultState:
        found = probes.service(handles, self.spec)["deploymentConfiguration"]
        kept = ("deploymentCircuitBreaker", "alarms")
        before = {"alarms": {"alarmNames": [], "enable": False, "rollback": False}, **found}
        return {**super().prepare(handles), "config": {name: before[name] for name in kept}}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        if self.by_alarm:
            self._ring(handles)
            alarms = {"alarmNames": [_ALARM], "enable": True, "rollback": True}
            self._update(handles, deploymentConfiguration={"alarms": alarms})
        else:
            breaker = {"enable": True, "rollback": True}
            self._update(handles, deploymentConfiguration={"deploymentCircuitBreaker": breaker})
        return super().inject(handles, state)

    @staticmethod
    def _ring(handles: SandboxHandles) -> None:
        handles.clients.cloudwatch.put_metric_alarm(
            AlarmName=_ALARM,
            Namespace="AWS/ApplicationELB",
            MetricName="HTTPCode_Target_5XX_Count",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=5,
            ComparisonOperator="GreaterThanThreshold",
        )
        handles.clients.cloudwatch.set_alarm_state(
            AlarmName=_ALARM, StateValue="ALARM", StateReason="Threshold Crossed"
        )

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Until it is mended: the rollback itself has taken the revision back."""
        return True

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether the service runs the earlier revision again, by a rollback."""
        found = probes.service(handles, self.spec)
        back = any("rolling back to deployment" in each["message"] for each in found["events"][:20])
        return (
            back and found["taskDefinition"] == state["before"] and len(found["deployments"]) == 1
        )

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self._update(handles, deploymentConfiguration=state["config"])
        if self.by_alarm:
            handles.clients.cloudwatch.delete_alarms(AlarmNames=[_ALARM])
        super().remove(handles, state)
        self._update(handles, forceNewDeployment=True)  # what was released before is so again


@dataclass(frozen=True)
class TerraformRevert(BadRevision):
    """A new revision was rolled out, and a Terraform apply set the one of its state again."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        made = super().inject(handles, state)
        self._as_terraform(handles, state["before"])
        return made

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = probes.service(handles, self.spec)["taskDefinition"]
        return bool(found == state["before"])

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.at_rest(handles, self.spec)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self._update(handles, taskDefinition=state["before"])  # no longer Terraform's word
        if "made" in state:
            handles.clients.ecs.deregister_task_definition(taskDefinition=state["made"])

    def _as_terraform(self, handles: SandboxHandles, revision: str) -> None:
        client = handles.clients.ecs

        def agent(request: Any, **_: Any) -> None:
            request.headers["User-Agent"] = _TERRAFORM

        client.meta.events.register("before-sign.ecs.UpdateService", agent, "terraform")
        try:
            self._update(handles, taskDefinition=revision)
        finally:
            client.meta.events.unregister("before-sign.ecs.UpdateService", agent, "terraform")


class Stuck(ServiceFault):
    """A rollout of a service that may have neither fewer nor more tasks than desired."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        config = probes.service(handles, self.spec)["deploymentConfiguration"]
        names = ("minimumHealthyPercent", "maximumPercent")
        return {"before": {name: config[name] for name in names}}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        config = {"minimumHealthyPercent": 100, "maximumPercent": 100}
        self._update(handles, deploymentConfiguration=config, forceNewDeployment=True)
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        config = probes.service(handles, self.spec)["deploymentConfiguration"]
        return bool(config["maximumPercent"] == 100)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        events = probes.service(handles, self.spec)["events"]
        return any("was unable to stop or start tasks" in each["message"] for each in events[:5])

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self._update(handles, deploymentConfiguration=state["before"])


class ScheduledToZero(ServiceFault):
    """A scheduled action of Application Auto Scaling set the service's capacity to 0."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        return {"desired": probes.service(handles, self.spec)["desiredCount"]}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        scaling, of = handles.clients.autoscaling, self._resource()
        scaling.register_scalable_target(**of, MinCapacity=1, MaxCapacity=4)
        scaling.put_scheduled_action(
            **of,
            ScheduledActionName="night",
            Schedule="at(2026-01-01T20:00:00)",
            ScalableTargetAction={"MinCapacity": 0, "MaxCapacity": 0},
        )
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        targets = handles.clients.autoscaling.describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[self._resource()["ResourceId"]]
        )["ScalableTargets"]
        return bool(targets)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = probes.service(handles, self.spec)
        return bool(found["desiredCount"] == 0 and found["runningCount"] == 0)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        scaling, of = handles.clients.autoscaling, self._resource()
        if self.is_present(handles, state):
            scaling.delete_scheduled_action(**of, ScheduledActionName="night")
            scaling.deregister_scalable_target(**of)
        self._update(handles, desiredCount=state["desired"])

    def _resource(self) -> dict[str, str]:
        from ops.sandbox.seed.names import CLUSTER

        return {
            "ServiceNamespace": "ecs",
            "ResourceId": f"service/{CLUSTER}/{self.spec.service}",
            "ScalableDimension": _DIMENSION,
        }
