"""Preflight checks of the platform: account, ECS service, task definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.aws.facts import ServiceState, TaskDefinition
from ops.core.findings import Unknown
from ops.ecs.rules.task_definition_refs import LogGroup, Reference, log_groups, references
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.result import (
    CheckResult,
    config_key,
    join_limited,
    ok,
    refuse,
    refuse_unknown,
    service_config,
    task_definition,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

_IN_PROGRESS = "IN_PROGRESS"
_CONTROLLERS = {"CODE_DEPLOY": "CodeDeploy", "EXTERNAL": "an external controller"}


def credentials(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the credentials belong to the configured account (STS GetCallerIdentity)."""
    if isinstance(facts.identity, Unknown):
        return refuse_unknown("whose credentials these are", facts.identity, _login(environment))
    found = facts.identity
    if found.account != environment.account:
        ours_is = f"environment {facts.environment} is account {environment.account}"
        return refuse(
            f"they belong to account {found.account} ({found.arn}); {ours_is}",
            _other_credentials(facts, environment),
        )
    return ok(f"account {found.account}, {environment.region}, as {found.arn}")


def _login(environment: Environment) -> str:
    if environment.overlay:
        return environment.overlay_hint or f"correct {environment.overlay}"
    if environment.aws.profile:
        return f"aws sso login --profile {environment.aws.profile}"
    return "AWS_PROFILE=NAME inv …, or aws sso login"


def _other_credentials(facts: ReleaseFacts, environment: Environment) -> str:
    if environment.overlay:
        return _login(environment)
    profile = f"environments.{facts.environment}.aws.profile"
    return (
        f"correct {profile} ({environment.aws.profile})"
        if environment.aws.profile
        else f"AWS_PROFILE=NAME inv …, or set {profile}"
    )


def state_lock(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check whether the Terraform state is locked; a lock is only a warning.

    An apply cannot run with it, but a deploy without changes can. A killed Terraform leaves its
    lock.
    """
    if facts.state_locks is None:
        return ok("not needed: ECS rolls out, and nothing is applied")
    if isinstance(facts.state_locks, Unknown):
        return unknown(facts.state_locks.why)
    if not facts.state_locks:
        return ok("nobody holds Terraform's state")
    first = facts.state_locks[0]
    advice = (
        f"wait for it (--lock-wait DURATION); if its owner is dead: inv tf.unlock --id {first.id}"
    )
    return warn(f"Terraform's state is locked: {first.describe()}", advice)


def migrations(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    schema = facts.schema
    if environment.database is None or schema is None:
        return ok(f"environments.{facts.environment} has no database")
    if isinstance(schema, Unknown):
        return unknown(schema.why)
    if schema.pending:
        return warn(
            f"{len(schema.pending)} pending: {join_limited(schema.pending)}",
            "inv db.upgrade first, if the new code needs them",
        )
    return ok("none pending")


def service(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the ECS service exists, is ACTIVE, and is deployed by ECS."""
    state, name = facts.state, service_config(facts, environment).ecs_service
    if isinstance(state, Unknown):
        return refuse_unknown(
            f"ECS service {name}", state, "correct what it says, then inv preflight"
        )
    if state is None:
        return refuse(
            f"cluster {environment.cluster} has no service {name} (MISSING)",
            f"correct {config_key(facts, 'ecs_service')} or "
            f"environments.{facts.environment}.cluster",
        )
    if state.status != "ACTIVE":
        return refuse(
            f"{name} is {state.status}; allowed: ACTIVE",
            "wait until it is gone, then create it anew",
        )
    if state.controller != "ECS":
        return refuse(
            f"{name} is deployed by {_CONTROLLERS.get(state.controller, state.controller)} "
            f"(deploymentController {state.controller}); ECS refuses UpdateService for it",
            "deploy it there, or create the service again with deploymentController ECS",
        )
    return _active_service(facts, state, environment)


def _active_service(
    facts: ReleaseFacts, state: ServiceState, environment: Environment
) -> CheckResult:
    counts = f"{state.running} of {state.desired} tasks run"
    moving = [
        deployment for deployment in state.deployments if deployment.rollout_state == _IN_PROGRESS
    ]
    if moving:
        return warn(
            f"a rollout is under way ({moving[0].id}, {moving[0].running} of "
            f"{moving[0].desired}): another image would supersede it",
            "wait for it, unless yours must overtake it",
        )
    if state.desired == 0:
        return warn(
            "its desired count is 0: no task would start, so nothing could be proved",
            "raise the desired count first",
        )
    if isinstance(facts.revision, TaskDefinition) and facts.revision.status == "INACTIVE":
        return warn(
            f"it runs {facts.revision.label}, which is INACTIVE: a rollback registers a copy of it",
            "this deploy moves it to an ACTIVE revision",
        )
    if state.bake_s >= environment.deploy_timeout:
        return warn(
            f"its {state.strategy} deployments bake for {state.bake_s:g} s, "
            f"longer than deploy_timeout ({environment.deploy_timeout:g} s): the deploy "
            f"waits for that too",
            "--timeout DURATION stops waiting earlier, and leaves the rollout to ECS",
        )
    return ok(f"{state.name} is ACTIVE, {counts}, on {state.task_definition.rsplit('/', 1)[-1]}")


def container(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    revision, name = task_definition(facts), service_config(facts, environment).container
    if isinstance(revision, Unknown):
        return refuse_unknown(
            "the service's task definition", revision, "correct what it says, then inv preflight"
        )
    if revision.container(name) is None:
        names = tuple(
            str(each.get("name")) for each in revision.document.get("containerDefinitions", ())
        )
        return refuse(
            f"{revision.label} has no container {name}; it has {join_limited(names)}",
            f"correct {config_key(facts, 'container')}",
        )
    return ok(f"{name} in {revision.label}")


def tasks(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that running tasks and their targets are readable; verification needs them.

    Unreadable tasks are a refusal: otherwise the failure would show only after the rollout.
    """
    if isinstance(facts.running, Unknown):
        advice = (
            "have ecs:ListTasks and ecs:DescribeTasks allowed, or --skip tasks (the deploy "
            "ends as unproven)"
        )
        return refuse_unknown(
            "the running tasks, by which a deploy is proved,", facts.running, advice
        )
    if isinstance(facts.targets, Unknown):
        return unknown(
            f"targets: {facts.targets.why}",
            "have elasticloadbalancing:DescribeTargetHealth allowed",
        )
    return ok(f"readable: {len(facts.running)} tasks, {len(facts.targets)} targets")


def secrets(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the task definition's secrets, their keys and the execution role exist.

    The execution role reads them, not the task role; ECS stops at the first missing one
    (ResourceInitializationError).
    """
    revision = task_definition(facts)
    if isinstance(revision, Unknown):
        return unknown(revision.why)
    wanted = references(revision)
    wrong = tuple(
        text for text in (_missing_reference(facts, reference) for reference in wanted) if text
    )
    if wrong:
        return refuse(
            f"{len(wrong)} of {len(wanted)} cannot be resolved: {'; '.join(wrong)}",
            "create what is missing, or correct the task definition",
        )
    if not revision.document.get("executionRoleArn") and (
        wanted or "FARGATE" in revision.document.get("requiresCompatibilities", ())
    ):
        return refuse(
            f"{revision.label} has no executionRoleArn: nobody may read its secrets or "
            f"pull its image",
            "give the task definition an execution role",
        )
    unread = {
        reference.source: fact.why
        for reference in wanted
        if isinstance(
            fact := facts.secrets.get(reference.source, Unknown("not looked at")), Unknown
        )
    }
    if unread:
        return unknown("; ".join(f"{source}: {why}" for source, why in unread.items()))
    return ok(f"{len(wanted)} resolved, with their keys" if wanted else "none are used")


def _missing_reference(facts: ReleaseFacts, reference: Reference) -> str:
    """Describe what is missing of a reference, without its value; empty if nothing is."""
    found = facts.secrets.get(reference.source, Unknown("not looked at"))
    if isinstance(found, Unknown):
        return ""
    if found is None:
        return (
            f"{reference.variable}: there is no "
            f"{'parameter' if reference.is_parameter else 'secret'} {reference.source}"
        )
    if reference.key and reference.key not in found:
        return (
            f"{reference.variable}: secret {reference.source} has no key {reference.key}; it "
            f"has {join_limited(sorted(found)) or 'none'}"
        )
    return ""


def log_group(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    revision, wanted = task_definition(facts), service_config(facts, environment).log_group
    if isinstance(revision, Unknown):
        return unknown(revision.why)
    groups = log_groups(revision)
    missing = tuple(
        group.name
        for group in groups
        if facts.log_groups.get(group.name) is False and not group.created
    )
    if missing:
        return refuse(
            f"CloudWatch Logs has no group {join_limited(missing)}: tasks could not start",
            "create it, or correct the task definition",
        )
    unread = [
        f"{group.name}: {fact.why}"
        for group in groups
        if isinstance(fact := facts.log_groups.get(group.name), Unknown)
    ]
    if unread:
        return unknown("; ".join(unread))
    return _container_log_group(facts, service_config(facts, environment).container, groups, wanted)


def _container_log_group(
    facts: ReleaseFacts, name: str, groups: tuple[LogGroup, ...], wanted: str | None
) -> CheckResult:
    found = next((group.name for group in groups if group.container == name), None)
    if found is None:
        return warn(
            f"container {name} does not log to CloudWatch Logs, so a failure cannot show "
            f"its last lines",
            "give it the awslogs driver",
        )
    if wanted and found != wanted:
        return warn(
            f"{name} logs to {found}; configured is {wanted}",
            f"correct {config_key(facts, 'log_group')}",
        )
    return ok(found)
