"""ELBv2: targets from the health table, and the listener rules for the edge.

moto keeps load balancers, listeners, rules and target groups, but reports every registered address
as healthy. Differs from ELB: rules match by path pattern (a rule with other conditions never
matches), the first load balancer's first listener answers, `forward` with several target groups
takes the first, and the deregistration delay is `Timing.deregistration_delay`, not the group's
attribute.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any

from moto.elbv2.exceptions import TargetGroupNotFoundError
from moto.elbv2.models import elbv2_backends
from moto.elbv2.responses import ELBV2Response

from ops.sandbox.aws.overrides import answer
from ops.sandbox.aws.targets import TargetTable
from ops.sandbox.contracts import ACCOUNT, FIXED, REDIRECT, REGION, Timing


@dataclass(frozen=True)
class TargetGroup:
    """The settings of a target group that a health check needs."""

    arn: str
    name: str
    port: int
    path: str
    health_port: str  # "traffic-port" or a number
    codes: str  # matcher: 200, 200-299, 200,301
    healthy_after: int
    unhealthy_after: int


def _backend() -> Any:
    return elbv2_backends[ACCOUNT][REGION]


def target_group(arn: str) -> TargetGroup | None:
    """Return moto's current target group, or None."""
    found = _backend().target_groups.get(arn)
    if found is None:
        return None
    matcher = getattr(found, "matcher", None) or {}
    return TargetGroup(
        arn=arn,
        name=found.name,
        port=int(found.port),
        path=found.health_check_path or "/",
        health_port=str(found.health_check_port or "traffic-port"),
        codes=str(matcher.get("HttpCode", "200")),
        healthy_after=int(found.healthy_threshold_count),
        unhealthy_after=int(found.unhealthy_threshold_count),
    )


class ElbAnswers:
    """The target calls of the ELBv2 API over one health table."""

    def __init__(self, table: TargetTable, timing: Timing) -> None:
        self.table = table
        self.timing = timing

    def install(self) -> None:
        for action in ("register_targets", "deregister_targets", "describe_target_health"):
            answer(ELBV2Response, action, getattr(self, action))

    def register_targets(self, response: Any) -> dict[str, Any]:
        group = self._group(response)
        for each in response._get_param("Targets", []):
            self.table.register(group.arn, each["Id"], int(each.get("Port", group.port)))
        return {}

    def deregister_targets(self, response: Any) -> dict[str, Any]:
        group = self._group(response)
        for each in response._get_param("Targets", []):
            for target in self.table.of(group.arn):
                if target.address == each["Id"] and target.port == int(
                    each.get("Port", target.port)
                ):
                    self.table.deregister(*target.key, self.timing.deregistration_delay)
        return {}

    def describe_target_health(self, response: Any) -> dict[str, Any]:
        group = self._group(response)
        known = self.table.states(group.arn)
        asked = response._get_param("Targets", [])
        if not asked:
            return {
                "TargetHealthDescriptions": [
                    _health(group, t.address, t.port, t.state, t.reason, t.description)
                    for t in known
                ]
            }
        found = []
        for each in asked:
            port = int(each.get("Port", group.port))
            match = [t for t in known if t.address == each["Id"] and t.port == port]
            found += [
                _health(group, t.address, t.port, t.state, t.reason, t.description) for t in match
            ] or [
                _health(
                    group,
                    each["Id"],
                    port,
                    "unused",
                    "Target.NotRegistered",
                    "Target is not registered to the target group",
                )
            ]
        return {"TargetHealthDescriptions": found}

    @staticmethod
    def _group(response: Any) -> TargetGroup:
        found = target_group(response._get_param("TargetGroupArn"))
        if found is None:
            raise TargetGroupNotFoundError()
        return found


def _health(
    group: TargetGroup,
    address: str,
    port: int,
    state: str,
    reason: str | None,
    description: str | None,
) -> dict[str, Any]:
    health = {"State": state, "Reason": reason, "Description": description}
    return {
        "Target": {"Id": address, "Port": port, "AvailabilityZone": "us-east-1a"},
        "HealthCheckPort": str(port) if group.health_port == "traffic-port" else group.health_port,
        "TargetHealth": {name: value for name, value in health.items() if value is not None},
    }


def route(path: str) -> str | None:
    """Return the ARN of the target group that the listener's rules select for `path`.

    The lowest priority number wins; None if nothing forwards the path.
    """
    for balancer in list(_backend().load_balancers.values()):
        for listener in list(balancer.listeners.values()):
            rules = sorted(
                listener._non_default_rules.values(), key=lambda each: int(each.priority)
            )
            chosen = next((each for each in rules if _matches(each, path)), None)
            return _forward(chosen.actions if chosen is not None else listener.default_actions)
    return None


def _matches(rule: Any, path: str) -> bool:
    """Match an ALB pattern, case-sensitively: `*` any characters, `?` one."""
    patterns = []
    for condition in rule.conditions:
        if condition.get("Field") != "path-pattern":
            return False
        patterns.append(
            condition.get("Values")
            or (condition.get("PathPatternConfig") or {}).get("Values")
            or []
        )
    return bool(patterns) and all(
        any(fnmatch.fnmatchcase(path, each.replace("[", "[[]")) for each in values)
        for values in patterns
    )


def _forward(actions: list[Any]) -> str | None:
    for action in actions:
        data = action.data if hasattr(action, "data") else action
        if data.get("Type") == "fixed-response":
            return _fixed(data.get("FixedResponseConfig") or {})
        if data.get("Type") == "redirect":
            return _redirect(data.get("RedirectConfig") or {})
        if data.get("Type") != "forward":
            continue
        groups = (data.get("ForwardConfig") or {}).get("TargetGroups") or []
        arn = data.get("TargetGroupArn") or (groups[0].get("TargetGroupArn") if groups else None)
        return str(arn) if arn else None
    return None


def _fixed(config: dict[str, Any]) -> str:
    kind = config.get("ContentType") or "text/plain"
    return f"{FIXED}{config.get('StatusCode', '200')} {kind} {config.get('MessageBody') or ''}"


def idle_timeout() -> float | None:
    """Return the first load balancer's idle timeout in seconds; None if it was never set."""
    for balancer in list(_backend().load_balancers.values()):
        found = balancer.attrs.get("idle_timeout.timeout_seconds")
        return float(found) if found else None
    return None


def names() -> set[str]:
    """Return the DNS names of all load balancers, in lower case."""
    return {str(each.dns_name).lower() for each in list(_backend().load_balancers.values())}


def certificates(port: int) -> list[str] | None:
    """Return the certificates (ARNs) of the listeners on `port`; None without a listener."""
    found = [
        listener
        for balancer in list(_backend().load_balancers.values())
        for listener in list(balancer.listeners.values())
        if str(listener.port) == str(port)
    ]
    if not found:
        return None
    return [arn for listener in found for arn in getattr(listener, "certificates", None) or ()]


def _redirect(config: dict[str, Any]) -> str:
    code = str(config.get("StatusCode", "HTTP_302")).removeprefix("HTTP_")
    return (
        f"{REDIRECT}{code} {config.get('Host') or '#{host}'} "
        f"{config.get('Path') or '/#{path}'} {config.get('Query', '#{query}')}"
    )
