"""Rollouts that were taken back: by the circuit breaker, an alarm, or a Terraform apply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from ops.aws.facts import Event, ServiceState, ServiceUpdate, TaskDefinitionArn, TaskState
from ops.core.findings import Evidence, Finding
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause

_FOLLOWS = ("not_the_release", "several_images", "wrong_body", "service_unsteady")
_FAILED = re.compile(r"\(deployment (ecs-svc/\d+)\) deployment failed: (.+?)\.?$")
_BACK_TO = re.compile(r"rolling back to deployment (ecs-svc/\d+)")
_RECENT = timedelta(hours=1)
_MAX_TASKS = 2  # stopped tasks that are quoted
_TERRAFORM = "terraform"


@dataclass(frozen=True)
class _Rollback:
    """A deployment that ECS failed and rolled back; `why` as its event words it."""

    service: ServiceFact
    state: ServiceState
    deployment: str
    why: str
    events: tuple[Event, Event]

    @property
    def tasks(self) -> list[TaskState]:
        """The stopped tasks of the failed deployment, newest first."""
        return [each for each in self.service.stopped_tasks if each.started_by == self.deployment][
            :_MAX_TASKS
        ]

    @property
    def revision(self) -> str:
        """The revision that failed, or "" if its tasks are forgotten."""
        failed = self.state.deployment(self.deployment)
        arns = [failed.task_definition] if failed else [t.task_definition for t in self.tasks]
        return TaskDefinitionArn(arns[0]).label if arns else ""

    def evidence(self) -> Iterator[Evidence]:
        for each in self.events:
            at = each.at.isoformat() if each.at else ""
            yield evidence(f"DescribeServices {self.state.name} event", each.message, at=at)
        for task in self.tasks:
            codes = [each for each in task.containers if each.exit_code is not None]
            exits = ", ".join(f"{each.name} exit code {each.exit_code}" for each in codes)
            yield evidence(f"DescribeTasks {task.id}", task.stopped_reason, exits)
            for line in self.service.logs.get(task.id, ())[-1:]:
                yield evidence(f"log of task {task.id}", line)


def _rollbacks(incident: Incident) -> Iterator[_Rollback]:
    """Services whose present deployment is ECS's own rollback of another one."""
    for service in incident.services:
        state = service.state
        if not isinstance(state, ServiceState) or state.primary is None:
            continue
        recent = [
            event
            for event in state.events
            if event.at is not None and incident.at - event.at <= _RECENT
        ]
        back = [(event, found[1]) for event in recent if (found := _BACK_TO.search(event.message))]
        failed = [(event, found) for event in recent if (found := _FAILED.search(event.message))]
        if not back or not failed or back[0][1] != state.primary.id:
            continue
        event, found = failed[0]
        yield _Rollback(service, state, found[1], found[2], (event, back[0][0]))


def _candidate(each: _Rollback, name: str, by: str, because: str, *fix: str) -> Candidate:
    what = each.revision or each.deployment
    finding = Finding(
        name,
        f"{each.service.name}: the rollout of {what} was rolled back by {by}: {each.why}",
        "certain",
        tuple(each.evidence()),
        (*fix, f"inv {each.service.name}.releases"),
    )
    return Candidate(finding, each.service.name, because)


@cause(
    "rollout_reverted_by_breaker",
    layer="release",
    symptoms="The release does not run; an event says: deployment failed: tasks failed to start.",
    cure="Correct why the tasks failed, then deploy again.",
    explains=_FOLLOWS,
)
def rollout_reverted_by_breaker(incident: Incident) -> Iterator[Candidate]:
    """The deployment circuit breaker rolled the newest deployment back."""
    for each in _rollbacks(incident):
        if "alarm" not in each.why:
            because = "the present deployment is ECS's rollback, and nobody deployed since"
            logs = f"inv {each.service.name}.logs --since 1h"
            by = "the circuit breaker"
            yield _candidate(each, "rollout_reverted_by_breaker", by, because, logs)


@cause(
    "rollout_reverted_by_alarm",
    layer="release",
    symptoms="The release does not run; an event says: deployment failed: alarm detected.",
    cure="See the named alarms; correct the release, or the alarm's threshold.",
    explains=_FOLLOWS,
)
def rollout_reverted_by_alarm(incident: Incident) -> Iterator[Candidate]:
    """A CloudWatch alarm of the service rolled the newest deployment back."""
    for each in _rollbacks(incident):
        if "alarm" in each.why:
            alarms = (each.service.raw.get("deploymentConfiguration") or {}).get("alarms") or {}
            names = " ".join(alarms.get("alarmNames") or ())
            describe = f"{incident.aws} cloudwatch describe-alarms --alarm-names {names}"
            because = "the event names an alarm: the tasks themselves started"
            by = f"its alarms ({names})" if names else "an alarm"
            fix = (describe,) if names else ()
            yield _candidate(each, "rollout_reverted_by_alarm", by, because, *fix)


@cause(
    "rollout_reverted_by_terraform",
    layer="release",
    symptoms="An older revision runs than was released; CloudTrail: UpdateService by Terraform.",
    cure="Let Terraform ignore task_definition of the service, or deploy by Terraform only.",
    explains=("service_unsteady", "not_the_release", "several_images", "wrong_body"),
)
def rollout_reverted_by_terraform(incident: Incident) -> Iterator[Candidate]:
    """A Terraform apply set the service back to the revision that its state knows."""
    for service in incident.services:
        updates = [each for each in service.updates if each.revision]
        state = service.state
        if len(updates) < 2 or not isinstance(state, ServiceState) or not _by_terraform(updates[0]):
            continue
        applied, before = updates[0], next((e for e in updates if not _by_terraform(e)), None)
        if before is None:
            continue
        older, newer = TaskDefinitionArn(applied.revision), TaskDefinitionArn(before.revision)
        if not _older(older, newer):
            continue
        if TaskDefinitionArn(state.task_definition).label != older.label:
            continue
        finding = Finding(
            "rollout_reverted_by_terraform",
            f"{service.name}: Terraform set the service back to {older.label}, after "
            f"{newer.label} was deployed",
            "certain",
            (_update_evidence(applied), _update_evidence(before)),
            ("inv tf.drift", f"inv {service.name}.releases"),
        )
        because = "the last change of the service came from Terraform, and names an older revision"
        yield Candidate(finding, service.name, because)


def _older(revision: TaskDefinitionArn, than: TaskDefinitionArn) -> bool:
    numbers = revision.revision, than.revision
    return (
        revision.family == than.family
        and numbers[0] is not None
        and numbers[1] is not None
        and numbers[0] < numbers[1]
    )


def _by_terraform(update: ServiceUpdate) -> bool:
    return _TERRAFORM in update.agent.lower()


def _update_evidence(update: ServiceUpdate) -> Evidence:
    revision = TaskDefinitionArn(update.revision).label
    text = f"UpdateService {revision} by {update.user or '?'} with {update.agent}"
    return evidence("CloudTrail LookupEvents", text, at=update.at.isoformat())
