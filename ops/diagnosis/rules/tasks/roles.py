"""Causes in the roles of a task definition: trust, permissions, and the repository's policy."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.tasks.stops import (
    FailedStop,
    definition,
    event_evidence,
    recent_events,
    role_evidence,
    stop_evidence,
    troubled,
)

_ASSUME = re.compile(r"unable to assume the role '?(?P<role>arn:[^'\s)]+)'?")
_REFUSED = re.compile(
    r"(?:assumed-role/(?P<role>[^/\s]+)/\S+ )?is not authorized to perform:? "
    r"(?P<action>[a-z0-9-]+:\w+)(?: on resource: (?P<resource>\S+))?"
    r"(?P<why> (?:because|with an explicit deny)[^.\n]*?policy)?"
)
_DENIALS = ("secret_denied", "image_denied", "log_denied", "environment_file", "image_pull_failed")
_CONSEQUENCES = (*_DENIALS, "service_unsteady", "no_targets")
_PRINCIPAL = "ecs-tasks.amazonaws.com"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": _PRINCIPAL},
            "Action": "sts:AssumeRole",
        }
    ],
}


@dataclass(frozen=True)
class _Refusal:
    """An action that IAM refused to a role, in AWS's words."""

    role: str
    action: str
    resource: str
    why: str


@cause(
    "role_not_assumable",
    layer="role",
    symptoms="No task starts; a service event says: ECS was unable to assume the role.",
    cure=f"Let {_PRINCIPAL} assume the role (its trust policy), or correct its ARN.",
    explains=("service_unsteady", "no_targets", "target_unhealthy"),
)
def role_not_assumable(incident: Incident) -> Iterator[Candidate]:
    """A service event says that ECS cannot assume a role of the task definition."""
    for service in incident.services:
        for event in recent_events(service):
            found = _ASSUME.search(event.message)
            if found:
                yield _not_assumable(incident, service, found["role"], event_evidence(event))
                break


def _not_assumable(
    incident: Incident, service: ServiceFact, role: str, event: Evidence
) -> Candidate:
    known = incident.content("iam/roles") or {}
    name = role.rpartition("/")[2]
    trust = json.dumps(_TRUST, separators=(",", ":"))
    fix: tuple[str, ...] = (
        f"{incident.aws} iam update-assume-role-policy --role-name {name} "
        f"--policy-document {shlex.quote(trust)}",
    )
    why, found = "ECS may not assume the role", tuple[Evidence, ...]()
    because = "ECS's own event names the role; no task was started at all"
    if role in known and known[role] is None:
        why, fix = "the role does not exist", service.rollback
        found = (role_evidence(role, "NoSuchEntity"),)
    elif role in known:
        document = known[role].get("AssumeRolePolicyDocument") or {}
        if not _trusts(document):
            why = f"the role's trust policy does not name {_PRINCIPAL}"
        found = (role_evidence(role, "AssumeRolePolicyDocument:", json.dumps(document)),)
    return Candidate(
        Finding(
            "role_not_assumable",
            f"{service.name}: ECS cannot start tasks with the role {name}: {why}",
            "certain" if found else "likely",
            (event, *found),
            fix,
        ),
        service.name,
        because,
    )


def _trusts(document: Mapping[str, Any]) -> bool:
    return _PRINCIPAL in json.dumps(document.get("Statement") or [])


@cause(
    "role_permission_missing",
    layer="role",
    symptoms="Tasks stop with AccessDeniedException: … is not authorized to perform: …; or a pull "
    "gets 403 Forbidden although ECR has the tag.",
    cure="Allow the named action to the execution role.",
    explains=_CONSEQUENCES,
)
def role_permission_missing(incident: Incident) -> Iterator[Candidate]:
    """A stop reason names an action that the execution role lacks; or IAM says so of a pull."""
    for service, stops in troubled(incident):
        by_refusal: dict[_Refusal, list[FailedStop]] = {}
        for stop in stops:
            if refusal := _refusal(stop):
                by_refusal.setdefault(refusal, []).append(stop)
        for refusal, same in by_refusal.items():
            yield _lacks(incident, service, refusal, tuple(map(stop_evidence, same)))
        if not by_refusal and (pulls := [each for each in stops if _is_forbidden(each)]):
            yield from _pull_lacks(incident, service, tuple(map(stop_evidence, pulls)))


def _refusal(stop: FailedStop) -> _Refusal | None:
    """The refusal of a stop; KMS keys and other policies than the role's own have other causes."""
    found = _REFUSED.search(stop.text)
    if found is None or not found["role"] or found["action"].startswith("kms:"):
        return None
    why = (found["why"] or "").strip()
    if "resource-based" in why or "endpoint policy" in why:
        return None
    return _Refusal(found["role"], found["action"], (found["resource"] or "*").rstrip(":,"), why)


def _lacks(
    incident: Incident, service: ServiceFact, refusal: _Refusal, found: tuple[Evidence, ...]
) -> Candidate:
    what = f"{refusal.action} on {refusal.resource}"
    denied = "explicit deny" in refusal.why
    verb = "is explicitly denied" if denied else "lacks the permission"
    return Candidate(
        Finding(
            "role_permission_missing",
            f"{service.name}: the execution role {refusal.role} {verb} {what}",
            "certain",
            found,
            _permission_fix(incident, refusal, denied),
        ),
        service.name,
        "AWS's own answer names the role, the action and the resource",
    )


def _permission_fix(incident: Incident, refusal: _Refusal, denied: bool) -> tuple[str, ...]:
    if denied:  # another Allow would not help
        return (f"{incident.aws} iam list-role-policies --role-name {refusal.role}",)
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": refusal.action, "Resource": refusal.resource}],
    }
    document = shlex.quote(json.dumps(policy, separators=(",", ":")))
    name = f"allow-{refusal.action.replace(':', '-')}"
    return (
        f"{incident.aws} iam put-role-policy --role-name {refusal.role} --policy-name {name} "
        f"--policy-document {document}",
    )


def _pull_lacks(
    incident: Incident, service: ServiceFact, stops: tuple[Evidence, ...]
) -> Iterator[Candidate]:
    """By IAM's simulation, for a pull that ECR forbade of an image that it has."""
    revision = definition(service)
    role = str(revision.document.get("executionRoleArn") or "") if revision else ""
    if not role or not _has_images(incident, service):
        return
    for each in (incident.content("iam/pull-decisions") or {}).get(role) or ():
        if each["decision"] == "allowed":
            continue
        why = "with an explicit deny" if each["decision"] == "explicitDeny" else ""
        refusal = _Refusal(role.rpartition("/")[2], each["action"], each["resource"], why)
        seen = evidence(
            "SimulatePrincipalPolicy", each["action"], each["resource"], each["decision"]
        )
        yield _lacks(incident, service, refusal, (seen, *stops))


@cause(
    "repository_policy_denies",
    layer="role",
    symptoms="A pull gets 403 Forbidden although ECR has the tag and the role may pull; the "
    "repository has a policy.",
    cure="Correct the policy of the repository.",
    explains=_CONSEQUENCES,
)
def repository_policy_denies(incident: Incident) -> Iterator[Candidate]:
    """The repository's policy denies the execution role its images."""
    for service, stops in troubled(incident):
        pulls = [each for each in stops if _is_forbidden(each)]
        revision = definition(service)
        if not pulls or revision is None or not _has_images(incident, service):
            continue
        role = str(revision.document.get("executionRoleArn") or "")
        for known in _images(incident, service):
            denial = _denial(known.get("policy") or "", role)
            if denial:
                yield Candidate(
                    Finding(
                        "repository_policy_denies",
                        f"{service.name}: the policy of the repository {known['name']} denies "
                        f"{role.rpartition('/')[2] or 'the execution role'} its images",
                        "certain",
                        (
                            evidence(f"GetRepositoryPolicy {known['name']}", json.dumps(denial)),
                            *map(stop_evidence, pulls),
                        ),
                        (
                            f"{incident.aws} ecr get-repository-policy --repository-name "
                            f"{known['name']} --query policyText --output text",
                        ),
                    ),
                    service.name,
                    "ECR has the image, and an explicit Deny overrides what the role may do",
                )


def _denial(policy: str, role: str) -> Mapping[str, Any] | None:
    """The statement of a repository policy that denies pulls to this role, without conditions."""
    try:
        found = json.loads(policy).get("Statement") or [] if policy else []
    except (ValueError, AttributeError):
        return None
    statements = [found] if isinstance(found, dict) else found
    return next((each for each in statements if _denies_pulls(each, role)), None)


def _denies_pulls(statement: Mapping[str, Any], role: str) -> bool:
    principal, actions = statement.get("Principal"), statement.get("Action") or ()
    if isinstance(principal, Mapping):
        principal = principal.get("AWS")
    names = [principal] if isinstance(principal, str) else list(principal or ())
    pulls = {"ecr:*", "*", "ecr:batchgetimage", "ecr:getdownloadurlforlayer"}
    denied = [actions] if isinstance(actions, str) else actions
    return (
        statement.get("Effect") == "Deny"
        and not statement.get("Condition")
        and bool({"*", role} & set(names))
        and any(str(each).lower() in pulls for each in denied)
    )


def _is_forbidden(stop: FailedStop) -> bool:
    return stop.cause.code == "ECS-PULL-403"


def _images(incident: Incident, service: ServiceFact) -> list[Mapping[str, Any]]:
    found = incident.content("ecr/images") or {}
    revision = definition(service)
    named = [each.get("image", "") for each in revision.containers] if revision else []
    return [found[each] for each in named if each in found]


def _has_images(incident: Incident, service: ServiceFact) -> bool:
    """Whether ECR has all images of the service that it could be asked for."""
    images = _images(incident, service)
    return bool(images) and all(each.get("image") for each in images)
