"""Read an incident's facts from a snapshot's JSON documents.

Live and replayed snapshots take the same way: AWS's raw answers, as JSON, through the converters of
`ops.aws`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ops.aws.cloudtrail import updates_of
from ops.aws.ecs import revision, service_state
from ops.aws.ecs_task_state import task_state
from ops.aws.elb import target_group_arns, to_target, to_target_group, to_weights
from ops.aws.facts import ServiceState, Target, TaskDefinition, TaskDefinitionArn
from ops.core.findings import Denial, Evidence, Finding, Unknown
from ops.diagnosis.facts import CheckFact, GroupFact, Incident, ServiceFact, parse_time
from ops.diagnosis.model import Document, EvidenceSnapshot
from ops.health.rules.targets import serving_group

_TIME_SUFFIXES = ("At", "Time", "Date", "Timestamp", "Since", "Until")


def read_incident(snapshot: EvidenceSnapshot) -> Incident:
    """Convert a snapshot. Documents that were not read become `Unknown` facts."""
    contents = {
        key: restore_times(each.content)
        for key, each in snapshot.documents.items()
        if not each.unknown
    }
    problems = {key: _unknown(each) for key, each in snapshot.documents.items() if each.unknown}
    services = tuple(
        _service(name, names, snapshot.subject["cluster"], contents, problems)
        for name, names in sorted(snapshot.subject.get("services", {}).items())
    )
    return Incident(
        snapshot.environment,
        _moment(snapshot.at),
        snapshot.subject,
        services,
        tuple(_checks(contents.get("sweep") or {})),
        contents,
        problems,
        snapshot.aws,
    )


def restore_times(content: Any, name: str = "") -> Any:
    """Convert ISO 8601 texts under names such as `createdAt` back to datetimes."""
    if isinstance(content, Mapping):
        return {key: restore_times(value, str(key)) for key, value in content.items()}
    if isinstance(content, list):
        return [restore_times(each, name) for each in content]
    if isinstance(content, str) and name.endswith(_TIME_SUFFIXES):
        return parse_time(content) or content
    return content


def _moment(text: str) -> datetime:
    """Raises ValueError for a text that is not ISO 8601."""
    found = parse_time(text)
    if found is None:
        raise ValueError(f"no time: {text}")
    return found


def _unknown(document: Document) -> Unknown:
    denied = Denial("the caller", document.denied) if document.denied else None
    return Unknown(document.unknown, denied)


def _service(
    name: str,
    names: Mapping[str, str],
    cluster: str,
    contents: Mapping[str, Any],
    problems: Mapping[str, Unknown],
) -> ServiceFact:
    ecs_service, container = names["ecs_service"], names["container"]
    raw: Mapping[str, Any] = (contents.get("ecs/services") or {}).get(ecs_service) or {}
    state: ServiceState | Unknown | None = problems.get("ecs/services")
    if raw and raw.get("status") != "INACTIVE":
        state = service_state(raw)
    tasks = (contents.get("ecs/tasks") or {}).get(ecs_service) or {}
    no_tasks = problems.get("ecs/tasks")
    definitions = contents.get("ecs/task-definitions") or {}
    return ServiceFact(
        name,
        ecs_service,
        container,
        state,
        _definition(definitions, _newest_revision(state), problems),
        _previous(definitions, state, contents.get("releases") or {}, name),
        no_tasks or tuple(map(task_state, tasks.get("running") or ())),
        no_tasks or tuple(map(task_state, tasks.get("stopped") or ())),
        _groups(raw, contents, problems),
        {
            task: tuple(lines)
            for task, lines in ((contents.get("logs/stopped") or {}).get(ecs_service) or {}).items()
        },
        tuple(updates_of(cluster, ecs_service, contents.get("cloudtrail/updates") or ())),
        raw,
    )


def _newest_revision(state: ServiceState | Unknown | None) -> str:
    if not isinstance(state, ServiceState):
        return ""
    return state.primary.task_definition if state.primary else state.task_definition


def _definition(
    definitions: Mapping[str, Any], arn: str, problems: Mapping[str, Unknown]
) -> TaskDefinition | Unknown | None:
    found = definitions.get(TaskDefinitionArn(arn).label)
    if found:
        return revision(found)
    if not arn:
        return None
    unread = Unknown(f"task definition {TaskDefinitionArn(arn).label} could not be read")
    return problems.get("ecs/task-definitions", unread)


def _previous(
    definitions: Mapping[str, Any],
    state: ServiceState | Unknown | None,
    releases: Mapping[str, Any],
    name: str,
) -> TaskDefinition | None:
    """The revision of the newest successful release, else of an older deployment that completed."""
    newest = TaskDefinitionArn(_newest_revision(state)).label
    released = [
        record.get("task_definition")
        for record in releases.get(name) or ()
        if record.get("verdict") == "succeeded"
    ]
    older = [state.earlier_revision] if isinstance(state, ServiceState) else []
    for arn in filter(None, (*released, *older)):
        label = TaskDefinitionArn(arn).label
        if label != newest and label in definitions:
            return revision(definitions[label])
    return None


def _groups(
    raw: Mapping[str, Any], contents: Mapping[str, Any], problems: Mapping[str, Unknown]
) -> tuple[GroupFact, ...] | Unknown:
    """The target group of each load balancer that serves, of the two of a blue/green pair."""
    missing = problems.get("elb/target-groups")
    if missing:
        return missing
    groups = contents.get("elb/target-groups") or {}
    health = contents.get("elb/targets") or {}
    found = []
    for balancer in raw.get("loadBalancers") or ():
        pair = {
            arn: _targets(health.get(arn), problems)
            for arn in target_group_arns(balancer)
            if arn in groups
        }
        if not pair:
            continue
        arn = serving_group(pair, _weights(balancer, contents))
        found.append(
            GroupFact(
                to_target_group(groups[arn]),
                pair[arn],
                balancer.get("containerPort", 0),
                balancer.get("containerName", ""),
                groups[arn],
            )
        )
    return tuple(found)


def _targets(
    found: Iterable[Mapping[str, Any]] | None, problems: Mapping[str, Unknown]
) -> tuple[Target, ...] | Unknown:
    if found is None:
        return problems.get("elb/targets", Unknown("the targets were not read"))
    return tuple(to_target(each["Target"], each["TargetHealth"]) for each in found)


def _weights(balancer: Mapping[str, Any], contents: Mapping[str, Any]) -> Mapping[str, int]:
    """The shares of production's traffic of a blue/green pair; empty if they are unknown."""
    wanted = (balancer.get("advancedConfiguration") or {}).get("productionListenerRule")
    rules = (
        rule
        for listeners in (contents.get("elb/listeners") or {}).values()
        for listener in listeners
        for rule in listener.get("Rules") or ()
    )
    return next(
        (
            to_weights(rule.get("Actions") or ())
            for rule in rules
            if wanted and rule.get("RuleArn") == wanted
        ),
        {},
    )


def _checks(sweep: Mapping[str, Any]) -> Iterable[CheckFact]:
    for each in sweep.get("checks") or ():
        yield CheckFact(
            each["group"],
            each.get("kind", ""),
            each["name"],
            each["status"],
            each.get("detail", ""),
            each.get("subject", ""),
            each.get("layer", ""),
            each.get("service", ""),
            read_finding(each["finding"]) if each.get("finding") else None,
            each.get("explained_by", ""),
        )


def read_finding(document: Mapping[str, Any]) -> Finding:
    """Read a finding's JSON document (`ops.core.findings.as_document`)."""
    return Finding(
        document["cause"],
        document["summary"],
        document["confidence"],
        tuple(
            Evidence(each["source"], each["text"], each.get("at", ""), each.get("count", 1))
            for each in document.get("evidence") or ()
        ),
        tuple(document.get("fix") or ()),
    )
