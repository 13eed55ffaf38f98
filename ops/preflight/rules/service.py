"""Preflight checks of the ECS service, its tasks, and its task definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.aws.facts import Image, LogGroupRef, ServiceState, TaskDefinition, TaskDefinitionArn
from ops.core.findings import Unknown
from ops.core.text import format_count
from ops.ecs.rules.task_definition_refs import LogGroup, Reference, log_groups, references
from ops.preflight.facts import ReleaseFacts
from ops.preflight.rules.image import is_same_commit
from ops.preflight.rules.registry import preflight_check
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
from ops.tools.facts import Checkout, EngineInfo, LocalImage

if TYPE_CHECKING:
    from ops.core.config.settings import Environment

_CONTROLLERS = {"CODE_DEPLOY": "CodeDeploy", "EXTERNAL": "an external controller"}
_ARCHITECTURE_ALIASES = {"x86_64": "amd64", "aarch64": "arm64"}


@preflight_check(
    "service",
    section="service",
    subject="the ECS service and its rollouts",
    needs=("credentials",),
    skippable=False,
)
def service(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that the ECS service exists, is ACTIVE, and is deployed by ECS."""
    state, name = facts.state, service_config(facts, environment).ecs_service
    if isinstance(state, Unknown):
        advice = f"fix this, then inv preflight{_create(environment)}"
        return refuse_unknown(f"ECS service {name}", state, advice)
    if state is None:
        return refuse(
            f"cluster {environment.cluster} has no service {name} (MISSING)",
            f"correct {config_key(facts, 'ecs_service')} or "
            f"environments.{facts.environment}.cluster{_create(environment)}",
        )
    if state.status != "ACTIVE":
        gone = state.status in ("DRAINING", "INACTIVE")
        return refuse(
            f"{name} is {state.status}; expected: ACTIVE",
            "wait until it is deleted, then create it again"
            if gone
            else f"inv {facts.service}.status, and ECS's documentation on this status",
        )
    if state.controller != "ECS":
        return refuse(
            f"{name} is deployed by {_CONTROLLERS.get(state.controller, state.controller)} "
            f"(deploymentController {state.controller}); ECS refuses UpdateService for it",
            "deploy it there, or create the service again with deploymentController ECS",
        )
    return _active_service(facts, state, environment)


def _create(environment: Environment) -> str:
    """The advice for what does not exist yet, or was taken down."""
    return "; if Terraform has to create it: inv tf.plan" if environment.terraform else ""


def _active_service(
    facts: ReleaseFacts, state: ServiceState, environment: Environment
) -> CheckResult:
    counts = f"{state.running} of {state.desired} tasks run"
    moving = [deployment for deployment in state.deployments if deployment.is_under_way]
    if moving and facts.action == "restart":
        return warn(
            f"a rollout is in progress ({moving[0].id}, {moving[0].running} of "
            f"{moving[0].desired}): nothing is restarted until it ends",
            f"inv {facts.service}.watch",
        )
    if moving:
        return warn(
            f"a rollout is in progress ({moving[0].id}, {moving[0].running} of "
            f"{moving[0].desired}): another image would supersede it",
            "wait for it, unless your deploy must supersede it",
        )
    if state.desired == 0:
        return warn(
            "its desired count is 0: no task would start, so nothing could be verified",
            "raise the desired count first",
        )
    if isinstance(facts.revision, TaskDefinition) and facts.revision.status == "INACTIVE":
        return warn(
            f"it runs {facts.revision.label}, which is INACTIVE: a rollback registers a copy of it",
            f"inv {facts.service}.deploy moves it to an ACTIVE revision",
        )
    if state.bake_s >= environment.deploy_timeout:
        return warn(
            f"its {state.strategy} deployments bake for {state.bake_s:g} s, "
            f"longer than deploy_timeout ({environment.deploy_timeout:g} s): the deploy "
            f"waits for that too",
            "--timeout DURATION stops waiting earlier, and leaves the rollout to ECS",
        )
    return ok(
        f"{state.name} is ACTIVE, {counts}, on {TaskDefinitionArn(state.task_definition).label}"
    )


@preflight_check(
    "container",
    section="service",
    subject="the configured container in the task definition",
    needs=("credentials", "service"),
    skippable=False,
)
def container(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    revision, name = task_definition(facts), service_config(facts, environment).container
    if isinstance(revision, Unknown):
        return refuse_unknown(
            "the service's task definition", revision, "fix this, then inv preflight"
        )
    if revision.container(name) is None:
        names = tuple(str(each.get("name")) for each in revision.containers)
        return refuse(
            f"{revision.label} has no container {name}; it has {join_limited(names)}",
            f"correct {config_key(facts, 'container')}",
        )
    return ok(f"{name} in {revision.label}")


@preflight_check(
    "fields",
    section="service",
    subject="fields of the task definition that this version's SDK does not know",
    needs=("credentials", "service"),
)
def fields(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that a copy of the task definition would be complete; Terraform makes none."""
    revision = task_definition(facts)
    if isinstance(revision, Unknown):
        return unknown(revision.why)
    if not revision.newer_fields:
        return ok(f"all of {revision.label} are known")
    if environment.rollout == "terraform" or facts.action == "restart":
        return ok(f"not needed: no copy of {revision.label} is registered")
    return refuse(
        f"{revision.label} has {join_limited(revision.newer_fields)}, newer than the installed "
        f"AWS SDK: the new revision would lose it",
        "update boto3 in this tool's requirements",
    )


@preflight_check(
    "tasks",
    section="service",
    subject="the service's running tasks and their targets",
    needs=("credentials", "service"),
)
def tasks(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check that running tasks and their targets are readable; verification needs them.

    Unreadable tasks are a refusal: otherwise the failure would show only after the rollout.
    """
    if isinstance(facts.running, Unknown):
        allow = "allow ecs:ListTasks and ecs:DescribeTasks"
        advice = (
            f"{allow if facts.running.denied else 'run it again'}, or --skip tasks (the deploy "
            f"ends as unproven)"
        )
        return refuse_unknown(
            "the running tasks, needed to verify a deploy,", facts.running, advice
        )
    if isinstance(facts.targets, Unknown):
        return unknown(
            f"targets: {facts.targets.why}",
            "allow elasticloadbalancing:DescribeTargetHealth" if facts.targets.denied else "",
        )
    tasks = format_count(len(facts.running), "task")
    return ok(f"readable: {tasks}, {format_count(len(facts.targets), 'target')}")


@preflight_check(
    "architecture",
    section="service",
    subject="CPU of task definition, image and engine",
    needs=("credentials", "service", "image", "engine"),
)
def architecture(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    """Check the CPU architecture; Fargate reports a mismatch late, as `exec format error`."""
    if not isinstance(facts.revision, TaskDefinition):
        return unknown("the task definition is not known")
    wanted = _architecture(facts.revision.architecture)
    if isinstance(facts.image, Image):
        return _image_architecture(wanted, facts.image, facts)
    if stale := _local_image_mismatch(facts, wanted):
        return stale
    if not isinstance(facts.engine, EngineInfo):
        return unknown("the engine did not answer")
    here = _architecture(facts.engine.architecture)
    if here != wanted:
        return warn(
            f"the task definition wants {wanted}, the engine is {here}: it builds for "
            f"{wanted} only if it can emulate it",
            "build on a machine of that kind if it fails",
        )
    return ok(f"{wanted}: task definition and engine agree")


def _image_architecture(wanted: str, found: Image, facts: ReleaseFacts) -> CheckResult:
    if not found.architecture:
        return unknown(
            f"the configuration of image {facts.tag} names no architecture or could not be "
            f"read; wanted: {wanted}"
        )
    built = [_architecture(each) for each in found.architectures or (found.architecture,)]
    if wanted not in built:
        return refuse(
            f"image {facts.tag} is for {join_limited(tuple(built))}; the task definition wants "
            f"{wanted}",
            "build it again for that platform, from a new commit",
        )
    return ok(f"{wanted}: task definition and image agree")


def _local_image_mismatch(facts: ReleaseFacts, wanted: str) -> CheckResult | None:
    """Refuse a local image of this commit built for another platform: it would be pushed."""
    local = facts.local_image
    if (
        not isinstance(local, LocalImage)
        or not isinstance(facts.checkout, Checkout)
        or _architecture(local.architecture) == wanted
    ):
        return None
    if not is_same_commit(facts.checkout.commit.full, local.revision):
        return None
    return refuse(
        f"the engine holds this commit’s image for {_architecture(local.architecture)}; the task "
        f"definition wants {wanted}",
        f"docker rmi {local.id}",
    )


def _architecture(architecture: str) -> str:
    """Return `amd64` for `X86_64`, `arm64` for `aarch64`."""
    word = architecture.lower().split("/")[0]
    return _ARCHITECTURE_ALIASES.get(word, word)


@preflight_check(
    "secrets",
    section="service",
    subject="the task definition's secrets, their JSON keys, its execution role",
    needs=("credentials", "service"),
)
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
            f"{revision.label} has no executionRoleArn, which is needed to read its secrets and "
            f"to pull its image",
            "give the task definition an execution role",
        )
    unread = {
        reference.source: fact.why
        for reference in wanted
        if isinstance(fact := facts.secrets.get(reference.source, Unknown("not read")), Unknown)
    }
    if unread:
        return unknown("; ".join(f"{source}: {why}" for source, why in unread.items()))
    return ok(f"{len(wanted)} resolved, with their keys" if wanted else "none are used")


def _missing_reference(facts: ReleaseFacts, reference: Reference) -> str:
    """Describe what is missing of a reference, without its value; empty if nothing is."""
    found = facts.secrets.get(reference.source, Unknown("not read"))
    if isinstance(found, Unknown):
        return ""
    if found is None:
        return f"{reference.variable}: there is no {reference.kind} {reference.source}"
    if reference.key and reference.key not in found:
        return (
            f"{reference.variable}: secret {reference.source} has no key {reference.key}; it "
            f"has {join_limited(sorted(found)) or 'none'}"
        )
    return ""


@preflight_check(
    "log-group",
    section="service",
    subject="the task definition's log groups",
    needs=("credentials", "service"),
)
def log_group(facts: ReleaseFacts, environment: Environment) -> CheckResult:
    revision, wanted = task_definition(facts), service_config(facts, environment).log_group
    if isinstance(revision, Unknown):
        return unknown(revision.why)
    groups = log_groups(revision)
    missing = tuple(
        group.place
        for group in groups
        if facts.log_groups.get(group.place) is False and not group.created
    )
    if missing:
        return refuse(
            f"CloudWatch Logs has no group {join_limited(missing)}: tasks could not start",
            "create it, or correct the task definition",
        )
    unread = [
        f"{group.place}: {fact.why}"
        for group in groups
        if isinstance(fact := facts.log_groups.get(group.place), Unknown)
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
    if wanted and found != LogGroupRef.parse(wanted, "").name:
        return warn(
            f"{name} logs to {found}; configured is {wanted}",
            f"correct {config_key(facts, 'log_group')}",
        )
    return ok(found)
