"""Checks of ECS services: tasks, deployment, image, revision (runbook 5, "ECS Tasks")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ops.aws.facts import ServiceState, TaskDefinition, TaskDefinitionArn, TaskState, image_tag
from ops.core.findings import Evidence, Finding, Unknown
from ops.core.text import format_count, short_digest
from ops.ecs.rules.image_match import image_mismatch, missing_container
from ops.health.model import Check, CheckKey, Kind
from ops.health.rules.deployments import OtherDeployment
from ops.state.model import ReleaseRecord

STOPPED = "expect: stopped"  # why a check of a service that is meant to be down is skipped


@dataclass(frozen=True)
class ServiceFacts:
    """Facts about one service.

    `latest`: the family's newest ACTIVE revision. `release`: the newest record of a successful
    release, or None. `other`: the deployment that runs instead of it, if it is healthy and has no
    record. `stopped`: causes of stopped tasks, read only if the service is unhealthy.
    `expect_stopped`: whether the service is meant to have no tasks, or not to exist.
    `by_terraform`: whether Terraform is configured, which may have created it.
    """

    name: str
    ecs_service: str
    container: str
    state: ServiceState | Unknown | None
    tasks: tuple[TaskState, ...] | Unknown
    latest: TaskDefinition | Unknown | None
    release: ReleaseRecord | Unknown | None
    stopped: tuple[Finding, ...] = ()
    cluster: str = ""
    other: OtherDeployment | Unknown | None = None
    expect_stopped: bool = False
    by_terraform: bool = False


_CREATE = "if Terraform has to create it: inv tf.plan"


def cluster(
    name: str, status: str | None, *, expect_stopped: bool = False, by_terraform: bool = False
) -> Check:
    """Check that the cluster is ACTIVE, or gone in an environment that is meant to be down."""
    if status == "ACTIVE":
        return Check(CheckKey("ecs", "cluster"), "ok", f"{name} is ACTIVE", "ACTIVE")
    if expect_stopped:
        detail = f"{name} is {status or 'not there'}, as expected ({STOPPED})"
        return Check(CheckKey("ecs", "cluster"), "ok", detail, status or "not there")
    found = Finding(
        "cluster_not_active",
        f"cluster {name} is {status or 'not there'}",
        "certain",
        fix=("correct cluster in invoke.yaml", *([_CREATE] if by_terraform else [])),
    )
    return Check(
        CheckKey("ecs", "cluster"),
        "failed",
        f"{name} is {status or 'not there'}, expected ACTIVE",
        status or "not there",
        finding=found,
    )


_SERVICE_CHECKS: tuple[Kind, ...] = ("tasks", "deployment", "image", "revision")


def check_keys(service: str) -> tuple[CheckKey, ...]:
    """Return the keys of the service's checks."""
    return tuple(CheckKey("ecs", kind, service) for kind in _SERVICE_CHECKS)


def _unknown_checks(service: str, fact: Unknown) -> tuple[Check, ...]:
    return tuple(Check.unread(key, fact, service=service) for key in check_keys(service))


def checks(facts: ServiceFacts) -> tuple[Check, ...]:
    """Check tasks, deployment, image, and task definition revision."""
    name, state = facts.name, facts.state
    if isinstance(state, Unknown):
        return _unknown_checks(name, state)
    if state is None and facts.expect_stopped:
        return _none_expected(facts)
    if state is None:
        why = f"ECS has no service {facts.ecs_service}"
        correct = "correct ecs_service in invoke.yaml"
        fix = (correct, _CREATE if facts.by_terraform else "inv preflight")
        found = Finding("service_missing", why, "certain", (), fix)
        return (
            Check(
                CheckKey("ecs", "tasks", name),
                "failed",
                why,
                "missing",
                service=name,
                finding=found,
            ),
            *_unknown_checks(name, Unknown(why))[1:],
        )
    if facts.expect_stopped:
        return (
            _no_tasks(facts, state),
            _deployment(facts, state),
            Check(CheckKey("ecs", "image", name), "skipped", STOPPED, service=name),
            _revision(facts, state),
        )
    return (
        _tasks(facts, state),
        _deployment(facts, state),
        _image(facts, state),
        _revision(facts, state),
    )


def _none_expected(facts: ServiceFacts) -> tuple[Check, ...]:
    """The checks of a service that is meant to be down, and that ECS does not have."""
    tasks, *others = check_keys(facts.name)
    detail = f"ECS has no service {facts.ecs_service}, as expected ({STOPPED})"
    return (
        Check(tasks, "ok", detail, "stopped", service=facts.name),
        *(Check(key, "skipped", STOPPED, service=facts.name) for key in others),
    )


def is_unhealthy(state: ServiceState, tasks: Sequence[TaskState] | Unknown) -> bool:
    """Whether the causes of stopped tasks are worth reading."""
    unhealthy = not isinstance(tasks, Unknown) and any(task.health == "UNHEALTHY" for task in tasks)
    unfinished = any(each.failed or each.rollout_state == "FAILED" for each in state.deployments)
    return state.running < state.desired or unhealthy or unfinished


def runs_other_image(facts: ServiceFacts) -> bool:
    """Whether running tasks have another image than the last recorded release."""
    release, tasks = facts.release, facts.tasks
    if not isinstance(release, ReleaseRecord) or isinstance(tasks, Unknown):
        return False
    wrong = image_mismatch(tasks, facts.container, release.digest or None, 0)
    return isinstance(wrong, str)


def _no_tasks(facts: ServiceFacts, state: ServiceState) -> Check:
    """Check that a service that is meant to be down has no tasks."""
    key, value = CheckKey("ecs", "tasks", facts.name), f"{state.running}/{state.desired}"
    if state.status != "ACTIVE":
        return _failed(facts, key, f"the service is {state.status}, expected ACTIVE", state.status)
    if state.desired or state.running or state.pending:
        detail = f"{value} run, expected none ({STOPPED})"
        return _failed(facts, key, detail, f"{value} expected none")
    return Check(key, "ok", f"scaled to 0, as expected ({STOPPED})", "stopped", service=facts.name)


def _tasks(facts: ServiceFacts, state: ServiceState) -> Check:
    key = CheckKey("ecs", "tasks", facts.name)
    value = f"{state.running}/{state.desired}"
    if state.status != "ACTIVE":
        return _failed(facts, key, f"the service is {state.status}, expected ACTIVE", state.status)
    if isinstance(facts.tasks, Unknown):
        return Check.unread(key, facts.tasks, service=facts.name)
    unhealthy = [task.id for task in facts.tasks if task.health == "UNHEALTHY"]
    if unhealthy:
        return _failed(
            facts,
            key,
            f"{value} run, UNHEALTHY by the container's own check: {', '.join(unhealthy)}",
            f"{value} unhealthy",
        )
    if not state.desired:
        return _failed(
            facts,
            key,
            f"scaled to 0 ({state.running} run), expected at least one task",
            f"{value} scaled to 0",
            _scaled_to_zero(facts, state),
        )
    if state.running < state.desired:
        pending = f", {state.pending} pending" if state.pending else ""
        return _failed(facts, key, f"{state.running} run{pending}, expected {state.desired}", value)
    listed = sum(task.status == "RUNNING" for task in facts.tasks)
    if listed < state.desired:
        states = sorted({task.status for task in facts.tasks} - {"RUNNING"})
        why = (
            f"ECS counts {state.running} running tasks; of those that it lists, {listed} are "
            f"RUNNING, others {', '.join(states)}"
            if states
            else f"ECS counts {state.running} tasks and lists {listed}: "
            f"{state.desired - listed} could not be read"
        )
        return Check(key, "unknown", why, service=facts.name)
    over = (
        f" (and {state.running - state.desired} that are leaving)"
        if state.running > state.desired
        else ""
    )
    return Check(key, "ok", f"{value} run{over}", value, service=facts.name)


def _deployment(facts: ServiceFacts, state: ServiceState) -> Check:
    key = CheckKey("ecs", "deployment", facts.name)
    primary = state.primary
    if primary is None:
        return Check(key, "unknown", "ECS shows no primary deployment", service=facts.name)
    state_said = primary.rollout_state or "no rollout state"
    number = len(state.deployments)
    reason = f" ({primary.rollout_reason.rstrip('.')})" if primary.rollout_reason else ""
    shown = f"{format_count(number, 'deployment')}, {state_said}{reason}"
    if len(state.deployments) > 1 or primary.rollout_state not in ("COMPLETED", None):
        return _failed(
            facts,
            key,
            f"{shown}, expected one that is COMPLETED",
            f"{len(state.deployments)} {state_said}",
        )
    return Check(key, "ok", shown, f"1 {state_said}", service=facts.name)


def _image(facts: ServiceFacts, state: ServiceState) -> Check:
    """Check that all tasks run the last release's digest, or one digest without a record."""
    key = CheckKey("ecs", "image", facts.name)
    release = facts.release
    for fact in (facts.tasks, release):
        if isinstance(fact, Unknown):
            return Check.unread(key, fact, service=facts.name)
    assert not isinstance(facts.tasks, Unknown)
    assert not isinstance(release, Unknown)
    digests = {
        each.digest
        for task in facts.tasks
        if task.status == "RUNNING" and (each := task.container(facts.container))
    }
    if not any(
        task.status == "RUNNING" for task in facts.tasks
    ):  # "every task has it" is no word for none
        return Check(key, "unknown", "no task is running, so no image is known", service=facts.name)
    if release is None:
        return _image_without_record(facts, key, digests)
    tag, digest = release.tag or "?", release.digest or None
    short = image_mismatch(facts.tasks, facts.container, digest, state.desired)
    if isinstance(short, Unknown):
        return Check.unread(key, short, service=facts.name)
    if short is None:
        return Check(
            key,
            "ok",
            f"every task has {tag}, the last release",
            f"{tag} {short_digest(digest or '')}",
            service=facts.name,
        )
    if isinstance(facts.other, Unknown):
        return Check.unread(key, facts.other, service=facts.name)
    if facts.other is not None and len(digests) == 1 and None not in digests:
        return _image_of_other(facts, key, facts.other, next(iter(digests)) or "", tag)
    runs = _other_running_tag(
        facts.tasks, facts.container, digest
    )  # deploying it changes nothing: it is proved and recorded
    fix = (
        f"inv {facts.name}.releases",
        *((f"inv {facts.name}.deploy --tag {runs}",) if runs else ()),
    )
    detail = f"{short}, the last release is {tag}"
    found = Finding(
        "not_the_release",
        f"{facts.name}: {detail}",
        "certain",
        (Evidence("DescribeTasks", short),),
        fix,
    )
    return Check(key, "failed", detail, "not the release", service=facts.name, finding=found)


def _image_of_other(
    facts: ServiceFacts, key: CheckKey, other: OtherDeployment, digest: str, released: str
) -> Check:
    """The image of a healthy deployment that no record has: whose it is, without advice."""
    assert not isinstance(facts.tasks, Unknown)
    runs = _other_running_tag(facts.tasks, facts.container, None)
    named = f"{runs} ({short_digest(digest)})" if runs else short_digest(digest)
    detail = f"every task has {named}, {other}; the last recorded release is {released}"
    value = f"{runs or '?'} {short_digest(digest)} unrecorded"
    return Check(key, "ok", detail, value, service=facts.name)


def _other_running_tag(tasks: Sequence[TaskState], container: str, but: str | None) -> str:
    """Return the tag of running tasks with another digest than `but`; empty if ambiguous."""
    found = [
        state
        for task in tasks
        if task.status == "RUNNING" and (state := task.container(container)) and state.digest != but
    ]
    tags = {image_tag(state.image) for state in found}
    return tags.pop() if len(tags) == 1 else ""


def _image_without_record(facts: ServiceFacts, key: CheckKey, digests: set[str | None]) -> Check:
    if not digests and not isinstance(facts.tasks, Unknown):
        running = [task for task in facts.tasks if task.status == "RUNNING"]
        missing = missing_container(running, facts.container)
        why = f"the tasks have {missing}; correct services.{facts.name}.container"
        return Check(key, "unknown", why, service=facts.name)
    if None in digests:
        why = "ECS shows no image digest of a task, and no release is recorded"
        return Check(key, "unknown", why, service=facts.name)
    if len(digests) == 1:
        digest = next(iter(digests)) or ""
        return Check(
            key,
            "ok",
            f"every task has {short_digest(digest)}…; no release is recorded",
            short_digest(digest),
            service=facts.name,
        )
    found = Finding(
        "several_images",
        f"tasks of {facts.name} run {len(digests)} images",
        "certain",
        fix=(f"inv {facts.name}.status",),
    )
    detail = (
        f"{len(digests)} images run, expected one: "
        f"{', '.join(sorted(each or '?' for each in digests))}"
    )
    return Check(key, "failed", detail, "several", service=facts.name, finding=found)


def _revision(facts: ServiceFacts, state: ServiceState) -> Check:
    """Compare the service's revision with the family's latest.

    A different one is reported but ok: it is expected after a rollback.
    """
    key, latest = CheckKey("ecs", "revision", facts.name), facts.latest
    runs = TaskDefinitionArn(state.task_definition).label
    if isinstance(latest, Unknown):
        return Check.unread(key, latest, service=facts.name)
    if latest is None:
        return Check(
            key,
            "unknown",
            f"the family of {runs} has no ACTIVE revision",
            service=facts.name,
        )
    same = latest.arn == state.task_definition
    detail = (
        f"{runs}, the family's latest"
        if same
        else f"{runs}; the family's latest is {latest.label}, which does not run"
    )
    return Check(
        key,
        "ok",
        detail,
        runs if same else f"{runs} (latest {latest.label})",
        service=facts.name,
    )


def _scaled_to_zero(facts: ServiceFacts, state: ServiceState) -> Finding:
    """The finding for a desired count of 0; a DAEMON service has one task for each instance."""
    shown = Evidence(f"DescribeServices {facts.ecs_service}", "desiredCount 0")
    daemon = f"register a container instance in cluster {facts.cluster}, or set expect: stopped"
    fix = daemon if state.scheduling == "DAEMON" else f"inv {facts.name}.scale --count 1"
    return Finding(
        "scaled_to_zero",
        f"{facts.name} is scaled to 0: nothing of it runs",
        "certain",
        (shown,),
        (fix,),
    )


def _failed(
    facts: ServiceFacts, key: CheckKey, detail: str, value: str, cause: Finding | None = None
) -> Check:
    unsteady = Finding(
        "service_unsteady", f"{facts.name}: {detail}", "likely", (), (f"inv {facts.name}.status",)
    )
    found = cause or (facts.stopped[0] if facts.stopped else unsteady)
    return Check(key, "failed", detail, value, service=facts.name, finding=found)
