"""Causes in the rules of listeners: a path that a rule sends elsewhere, or answers itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.edge.pages import PageAnswer, failing_paths, pages

_PUBLIC_PORTS = (80, 443)
_FOLLOWS = ("page_failing", "page_slow", "wrong_body", "wrong_content_type", "wrong_status")
_GROUP_NAME = re.compile(r":targetgroup/([^/]+)/")


@dataclass(frozen=True)
class Chosen:
    """The rule that a listener selects for a path.

    `certain` is False if a condition of it, or of a rule before it, cannot be decided here.
    """

    listener: Mapping[str, Any]
    rule: Mapping[str, Any]
    certain: bool = True

    @property
    def actions(self) -> Sequence[Mapping[str, Any]]:
        """The actions after authentication: what is done with the request."""
        return [
            each
            for each in self.rule.get("Actions") or ()
            if not str(each.get("Type", "")).startswith("authenticate-")
        ]

    @property
    def type(self) -> str:
        return str(self.actions[-1].get("Type", "")) if self.actions else ""

    @property
    def groups(self) -> tuple[str, ...]:
        """ARNs of the target groups that get requests."""
        found = []
        for action in self.actions:
            several = (action.get("ForwardConfig") or {}).get("TargetGroups") or ()
            found += [each["TargetGroupArn"] for each in several if each.get("Weight", 1) != 0]
            if not several and action.get("TargetGroupArn"):
                found.append(action["TargetGroupArn"])
        return tuple(dict.fromkeys(found))

    @property
    def evidence(self) -> Evidence:
        """The rule's priority, conditions and action, as DescribeRules returned them."""
        port = self.listener.get("Port", "?")
        conditions = "; ".join(map(_condition, self.rule.get("Conditions") or ()))
        target = ", ".join(map(group_name, self.groups)) or _fixed(self.actions)
        text = f"priority {self.rule.get('Priority')} {conditions} {self.type} {target}"
        return evidence(f"DescribeRules listener {port}", " ".join(text.split()))


def group_name(arn: str) -> str:
    found = _GROUP_NAME.search(arn)
    return found[1] if found else arn


def _condition(condition: Mapping[str, Any]) -> str:
    return f"{condition.get('Field')} {' '.join(_values(condition))}"


def _fixed(actions: Sequence[Mapping[str, Any]]) -> str:
    config = (actions[-1].get("FixedResponseConfig") or {}) if actions else {}
    return str(config.get("StatusCode", ""))


def _values(condition: Mapping[str, Any]) -> list[str]:
    for name in ("PathPatternConfig", "HostHeaderConfig", "HttpRequestMethodConfig"):
        if (condition.get(name) or {}).get("Values"):
            return list(condition[name]["Values"])
    return list(condition.get("Values") or ())


def choose(listener: Mapping[str, Any], host: str, path: str) -> Chosen | None:
    """The rule for GET of `path` at `host`: the lowest priority that matches; None without one."""
    certain = True
    for rule in sorted(listener.get("Rules") or (), key=_priority):
        matches = _matches(rule, host, path)
        if matches is None:
            certain = False
        elif matches:
            return Chosen(listener, rule, certain)
    return None


def _priority(rule: Mapping[str, Any]) -> float:
    text = str(rule.get("Priority", "default"))
    return float(text) if text.isdecimal() else float("inf")


def _matches(rule: Mapping[str, Any], host: str, path: str) -> bool | None:
    """Whether all conditions hold; None if that depends on more than host, path and method."""
    undecided = False
    for condition in rule.get("Conditions") or ():
        field, values = condition.get("Field"), _values(condition)
        if field == "path-pattern" and values:
            holds = any(_like(path, each) for each in values)
        elif field == "host-header" and values:
            holds = any(_like(host.lower(), each.lower()) for each in values)
        elif field == "http-request-method" and values:
            holds = "GET" in values
        else:
            undecided = True
            continue
        if not holds:
            return False
    return None if undecided else True


def _like(text: str, pattern: str) -> bool:
    """Match an ALB pattern: `*` any characters, `?` one."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def public_listeners(incident: Incident) -> Iterator[Mapping[str, Any]]:
    """HTTP and HTTPS listeners on the ports of the site, of load balancers that face it."""
    port = urlsplit(incident.subject.get("alb") or "").port
    wanted = {*_PUBLIC_PORTS, port}
    for listeners in (incident.content("elb/listeners") or {}).values():
        for listener in listeners:
            if listener.get("Protocol") in ("HTTP", "HTTPS") and listener.get("Port") in wanted:
                yield listener


@cause(
    "listener_rule_captures",
    layer="balancer",
    symptoms="A path answers with another service's page, or with its 404.",
    cure="Correct the listener rule's path, host or priority (Terraform).",
    explains=(*_FOLLOWS, "target_unhealthy", "no_targets"),
)
def listener_rule_captures(incident: Incident) -> Iterator[Candidate]:
    """A rule of higher priority forwards the path to another target group."""
    for service, path, chosen in _captured(incident, "forward"):
        other = ", ".join(map(group_name, chosen.groups))
        finding = Finding(
            "listener_rule_captures",
            f"{service.name}: the listener forwards {path} to {other} instead of "
            f"{', '.join(_own_names(service))}",
            "certain" if chosen.certain else "likely",
            (chosen.evidence, *_answers(incident, service, path)),
            _fix(incident, chosen),
        )
        because = "the rule comes first in priority, and the page that it leads to fails its check"
        yield Candidate(finding, service.name, because)


@cause(
    "fixed_response",
    layer="balancer",
    symptoms="A page answers the text of a listener rule, such as a maintenance page.",
    cure="Delete the rule, or give it a lower priority (Terraform).",
    explains=(*_FOLLOWS, "target_unhealthy", "no_targets"),
)
def fixed_response(incident: Incident) -> Iterator[Candidate]:
    """A rule answers the path by itself; no task is asked."""
    for service, path, chosen in _captured(incident, "fixed-response"):
        status = _fixed(chosen.actions)
        answers = [
            page
            for page in pages(incident, service=service.name)
            if page.path == path and str(page.status) == status
        ]
        finding = Finding(
            "fixed_response",
            f"{service.name}: a listener rule answers {path} with {status} itself",
            "certain" if chosen.certain and answers else "likely",
            (chosen.evidence, *(page.evidence("server") for page in answers)),
            _fix(incident, chosen),
        )
        because = "the status is the rule's own, and the tasks are not asked"
        yield Candidate(finding, service.name, because)


def _captured(incident: Incident, kind: str) -> Iterator[tuple[ServiceFact, str, Chosen]]:
    """Failing paths that no public listener sends to their service, with a rule of this kind."""
    host = urlsplit(incident.subject.get("site") or "").hostname or ""
    listeners = list(public_listeners(incident))
    for service in incident.services:
        own = {each.group.arn for each in service.target_groups} | _alternates(service)
        for path in sorted(failing_paths(incident, service.name)) if own else ():
            chosen = [each for one in listeners if (each := choose(one, host, path))]
            if any(own & set(each.groups) for each in chosen):
                continue
            yield from ((service, path, each) for each in chosen if each.type == kind)


def _alternates(service: ServiceFact) -> set[str]:
    """The other target groups of blue/green deployments."""
    return {
        arn
        for each in service.raw.get("loadBalancers") or ()
        if (arn := (each.get("advancedConfiguration") or {}).get("alternateTargetGroupArn"))
    }


def _own_names(service: ServiceFact) -> list[str]:
    return [each.group.name for each in service.target_groups]


def _answers(incident: Incident, service: ServiceFact, path: str) -> Iterator[Evidence]:
    for page in pages(incident, service=service.name):
        if page.path == path:
            yield page.evidence("server", "content-type")


def _fix(incident: Incident, chosen: Chosen) -> tuple[str, ...]:
    arn, default = chosen.rule.get("RuleArn", ""), chosen.rule.get("IsDefault")
    if default or not arn:
        return ("inv tf.drift",)
    return ("inv tf.drift", f"{incident.aws} elbv2 describe-rules --rule-arns {arn}")


def redirects_to_https(incident: Incident, page: PageAnswer) -> Chosen | None:
    """The rule of a public HTTP listener that redirects the page to HTTPS, if there is one."""
    host = urlsplit(incident.subject.get("site") or "").hostname or ""
    for listener in public_listeners(incident):
        chosen = choose(listener, host, page.path) if listener.get("Protocol") == "HTTP" else None
        if chosen is None or chosen.type != "redirect":
            continue
        config = chosen.actions[-1].get("RedirectConfig") or {}
        if str(config.get("Protocol", "")).upper() == "HTTPS":
            return chosen
    return None
