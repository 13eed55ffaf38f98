"""Probes of the AWS account, ECS services and target groups.

Causes are read only for unhealthy services and targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from ops.aws import ec2, ecs, elb, session
from ops.aws.facts import LoadBalancer, ServiceState, TaskState, target_group_name
from ops.core.findings import Finding, Unknown
from ops.core.parallel import Reads, try_call
from ops.ecs.observer import EcsObserver
from ops.ecs.rules.stop_diagnosis import find_cause, stop_finding
from ops.health.inputs import SweepInputs
from ops.health.model import Check, CheckKey
from ops.health.probe_runner import Probe, health_group
from ops.health.rules import services, targets

ACCOUNT = CheckKey("account", "account")
_MAX_STOPPED = 3


def account(inputs: SweepInputs) -> Iterable[Check]:
    """Check the AWS account of the credentials; with another one no result is meaningful."""
    found, expected = session.identity(inputs.platform.cloud), inputs.environment.account
    if found.account == expected:
        return [Check(ACCOUNT, "ok", f"{found.arn}", found.account)]
    what = (
        f"the credentials belong to account {found.account}, {inputs.platform.settings.name} is "
        f"{expected}"
    )
    fix = ("log in to the other account, or correct aws.profile and account in invoke.yaml",)
    detail = f"{found.account} ({found.arn}), expected {expected}"
    return [
        Check(
            ACCOUNT,
            "failed",
            detail,
            found.account,
            finding=Finding("wrong_account", what, "certain", fix=fix),
        )
    ]


@health_group("ecs", when_empty="nothing is configured")
def ecs_probes(inputs: SweepInputs) -> Iterator[Probe]:
    yield Probe((CheckKey("ecs", "cluster"),), partial(_cluster, inputs))
    for name in inputs.names:
        yield Probe(services.check_keys(name), partial(_service, inputs, name), name)


def _cluster(inputs: SweepInputs) -> Iterable[Check]:
    environment = inputs.environment
    status = ecs.cluster_status(inputs.platform.cloud, environment.cluster)
    check = services.cluster(
        environment.cluster,
        status,
        expect_stopped=environment.expect == "stopped",
        by_terraform=environment.terraform is not None,
    )
    return [check]


def _service(inputs: SweepInputs, name: str) -> Iterable[Check]:
    cloud, configured = inputs.platform.cloud, inputs.environment.services[name]
    with Reads() as reads:
        read = reads.submit(inputs.state, name)
        tasks = reads.submit(ecs.tasks, cloud, inputs.environment.cluster, configured.ecs_service)
        latest, release = reads.submit(inputs.latest, name), reads.submit(inputs.release, name)
    state = read.value
    facts = services.ServiceFacts(
        name,
        configured.ecs_service,
        configured.container,
        state,
        tasks.value,
        latest.value,
        release.value,
        cluster=inputs.environment.cluster,
        expect_stopped=inputs.environment.is_stopped(name),
        by_terraform=inputs.environment.terraform is not None,
    )
    if services.runs_other_image(facts):
        facts = replace(facts, other=try_call(partial(inputs.other_deployment, name)))
    if isinstance(state, ServiceState) and services.is_unhealthy(state, facts.tasks):
        facts = replace(facts, stopped=tuple(_stopped(inputs, name, state)))
    return services.checks(facts)


def _stopped(inputs: SweepInputs, name: str, state: ServiceState) -> Iterator[Finding]:
    """Diagnose the tasks of the newest deployment that stopped recently, newest first."""
    configured = inputs.environment.services[name]
    observer = EcsObserver(
        inputs.platform.cloud,
        inputs.environment.cluster,
        configured.ecs_service,
        configured.container,
    )
    tasks = try_call(observer.stopped)
    if isinstance(tasks, Unknown):
        return
    newest = sorted(
        (task for task in tasks if not _is_of_an_earlier_deployment(task, state)),
        key=lambda task: task.created_at.timestamp() if task.created_at else 0.0,
        reverse=True,
    )
    for task in newest[:_MAX_STOPPED]:
        why = find_cause(task, configured.container)
        if why.failure:
            lines = try_call(partial(observer.log, task))
            yield _explain_stop(inputs, name, task, lines, state.earlier_revision)


def _is_of_an_earlier_deployment(task: TaskState, state: ServiceState) -> bool:
    """Whether a task says nothing of how the service is now. Other starters are not compared."""
    by_ecs = task.started_by.startswith("ecs-svc/")
    return by_ecs and state.primary is not None and task.started_by != state.primary.id


def _explain_stop(
    inputs: SweepInputs,
    name: str,
    task: TaskState,
    lines: tuple[str, ...] | Unknown,
    earlier: str,
) -> Finding:
    configured = inputs.environment.services[name]
    log, problem = ((), lines.why) if isinstance(lines, Unknown) else (lines, "")
    why = find_cause(task, configured.container)
    return stop_finding(
        task,
        why,
        log,
        service=name,
        ecs_service=configured.ecs_service,
        log_problem=problem,
        aws=inputs.platform.cloud.program,
        earlier=earlier if configured.repository else "",
    )


@health_group("targets", when_empty="no service is configured")
def target_probes(inputs: SweepInputs) -> Iterator[Probe]:
    for name in inputs.names:
        yield Probe(
            (CheckKey("targets", "targets", name),), partial(_target_groups, inputs, name), name
        )


def _target_groups(inputs: SweepInputs, name: str) -> Iterable[Check]:
    key = CheckKey("targets", "targets", name)
    if inputs.environment.is_stopped(name):
        return [Check(key, "skipped", services.STOPPED, service=name)]
    state = inputs.state(name)
    if state is None:
        return [
            Check(
                key,
                "unknown",
                "ECS has no such service, so no target group is known",
                service=name,
            )
        ]
    return [_target_group(inputs, name, state, balancer) for balancer in state.load_balancers] or [
        Check(key, "skipped", "it is behind no load balancer", service=name)
    ]


def _target_group(
    inputs: SweepInputs, name: str, state: ServiceState, balancer: LoadBalancer
) -> Check:
    cloud = inputs.platform.cloud
    registered = {arn: try_call(partial(elb.targets, cloud, arn)) for arn in balancer.target_groups}
    arn = targets.serving_group(registered, _weights(inputs, balancer))
    found = registered[arn]
    facts = targets.GroupFacts(
        service=name,
        group=try_call(lambda: inputs.group(arn)),
        name=target_group_name(arn),
        targets=found,
        health_path=inputs.environment.services[name].health_path,
        security_groups=state.security_groups,
        aws=cloud.program,
    )
    if not isinstance(found, Unknown) and targets.may_be_blocked(found) and state.security_groups:
        ingress = try_call(lambda: ec2.ingress(cloud, state.security_groups))
        facts = replace(
            facts, ingress=ingress, balancer=try_call(lambda: ec2.balancer_groups(cloud, arn))
        )
    return targets.check(facts)


def _weights(inputs: SweepInputs, balancer: LoadBalancer) -> Mapping[str, int]:
    """The shares of production's traffic of a blue/green pair; empty if they are unknown."""
    if not (balancer.alternate and balancer.production_rule):
        return {}
    found = try_call(lambda: elb.rule_weights(inputs.platform.cloud, balancer.production_rule))
    return {} if isinstance(found, Unknown) else found
