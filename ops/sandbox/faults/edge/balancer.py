"""Faults of the load balancer: a rule that takes a path, time-outs, codes of health checks.

All are caused by API calls, as an operator's mistake would be. `SlowHealthPath` delays what every
target answers. Differs from AWS: the delay is the edge's and the health checker's, the tasks
themselves are as fast as before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles
from ops.sandbox.faults.services import ServiceFault

_IDLE = "idle_timeout.timeout_seconds"


def _balancer(handles: SandboxHandles) -> str:
    balancers = handles.clients.elb.describe_load_balancers()["LoadBalancers"]
    return str(balancers[0]["LoadBalancerArn"])


@dataclass(frozen=True)
class ListenerRule(FaultInjector):
    """CreateRule of the highest priority for `path`.

    `group` names the target group that it forwards to; without it, the rule answers 503 itself.
    `page` is a page that it takes, `status` what that then answers.
    """

    path: str
    page: str
    status: int
    group: str = ""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        found = handles.clients.elb.describe_listeners(LoadBalancerArn=_balancer(handles))
        return {"listener": found["Listeners"][0]["ListenerArn"]}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        condition = {"Field": "path-pattern", "Values": [self.path]}
        made = handles.clients.elb.create_rule(
            ListenerArn=state["listener"],
            Priority=1,
            Conditions=[condition],
            Actions=[self._action(handles)],
        )
        handles.cdn.forget("/*")
        return {"rule": made["Rules"][0]["RuleArn"]}

    def _action(self, handles: SandboxHandles) -> dict[str, Any]:
        if self.group:
            groups = handles.clients.elb.describe_target_groups(Names=[self.group])["TargetGroups"]
            return {"Type": "forward", "TargetGroupArn": groups[0]["TargetGroupArn"]}
        answer = {
            "StatusCode": str(self.status),
            "ContentType": "text/plain",
            "MessageBody": "Down for maintenance",
        }
        return {"Type": "fixed-response", "FixedResponseConfig": answer}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.page) == self.status

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        rules = handles.clients.elb.describe_rules(ListenerArn=state["listener"])["Rules"]
        return any(each["RuleArn"] == state.get("rule") for each in rules)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            handles.clients.elb.delete_rule(RuleArn=state["rule"])

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.page) == 200


@dataclass(frozen=True)
class HealthCodes(ServiceFault):
    """ModifyTargetGroup to a matcher that the application's answer does not match."""

    codes: str

    def prepare(self, handles: SandboxHandles) -> FaultState:
        found = probes.target_group(handles, self.spec)
        return {"group": found["TargetGroupArn"], "before": found["Matcher"]}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        self._match(handles, state, {"HttpCode": self.codes})
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = probes.target_group(handles, self.spec)
        return bool(found["Matcher"]["HttpCode"] == self.codes)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.none_healthy(handles, self.spec)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        if self.is_present(handles, state):
            self._match(handles, state, state["before"])

    @staticmethod
    def _match(handles: SandboxHandles, state: FaultState, matcher: dict[str, str]) -> None:
        handles.clients.elb.modify_target_group(TargetGroupArn=state["group"], Matcher=matcher)


@dataclass(frozen=True)
class SlowHealthPath(ServiceFault):
    """The application needs `seconds` for its health path, longer than the health check waits."""

    path: str
    seconds: float

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.edge_faults.set_delay(self.path, self.seconds)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.none_healthy(handles, self.spec)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.edge_faults.set_delay(self.path, 0.0)


@dataclass(frozen=True)
class IdleTimeout(FaultInjector):
    """An idle timeout of a second, and a page for which the application needs `seconds`."""

    path: str
    seconds: float

    def prepare(self, handles: SandboxHandles) -> FaultState:
        balancer = _balancer(handles)
        found = handles.clients.elb.describe_load_balancer_attributes(LoadBalancerArn=balancer)
        known = {each["Key"]: each["Value"] for each in found["Attributes"]}
        return {"balancer": balancer, "before": known.get(_IDLE, "60")}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        self._set(handles, state, "1")
        handles.edge_faults.set_delay(self.path, self.seconds)
        handles.cdn.forget(self.path)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        began = time.monotonic()
        late = probes.status(handles, self.path, self.seconds + 5) == 504
        return late and time.monotonic() - began < self.seconds

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        self._set(handles, state, state["before"])
        handles.edge_faults.set_delay(self.path, 0.0)
        handles.cdn.forget(self.path)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return probes.status(handles, self.path) == 200

    @staticmethod
    def _set(handles: SandboxHandles, state: FaultState, seconds: str) -> None:
        handles.clients.elb.modify_load_balancer_attributes(
            LoadBalancerArn=state["balancer"], Attributes=[{"Key": _IDLE, "Value": seconds}]
        )
