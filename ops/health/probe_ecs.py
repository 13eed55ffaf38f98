"""The probes of ECS and of the target groups; why something is ill is asked only where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from ops.aws import ec2, ecs, elb, session
from ops.aws.facts import LoadBalancer, ServiceState, TaskState
from ops.core.findings import Finding, Unknown
from ops.core.parallel import gather, try_call
from ops.ecs.observer import EcsObserver
from ops.ecs.rules.stop_diagnosis import find_cause, stop_finding
from ops.health.inputs import SweepInputs
from ops.health.model import Check
from ops.health.probe_runner import Probe
from ops.health.rules import services, targets

STOPPED_SHOWN = 3


def account(looks: SweepInputs) -> Iterable[Check]:
    """Whose credentials these are: with another account's everything else would be a riddle."""
    found, expected = session.identity(looks.platform.cloud), looks.environment.account
    if found.account == expected:
        return [Check("account", "account", "ok", f"{found.arn}", found.account)]
    what = (
        f"the credentials belong to account {found.account}, {looks.platform.settings.name} is "
        f"{expected}"
    )
    fix = ("log in to the other account, or correct aws.profile and account in invoke.yaml",)
    detail = f"{found.account} ({found.arn}), expected {expected}"
    return [
        Check(
            "account",
            "account",
            "failed",
            detail,
            found.account,
            finding=Finding("wrong_account", what, "certain", fix=fix),
        )
    ]


def ecs_probes(looks: SweepInputs) -> Iterator[Probe]:
    cloud, cluster = looks.platform.cloud, looks.environment.cluster
    yield Probe(
        "ecs", "cluster", lambda: [services.cluster(cluster, ecs.cluster_status(cloud, cluster))]
    )
    for name in looks.names:
        yield Probe(
            "ecs", f"{name} tasks", partial(service, looks, name), services.names(name), name
        )


def service(looks: SweepInputs, name: str) -> Iterable[Check]:
    cloud, configured = looks.platform.cloud, looks.environment.services[name]
    seen = gather(
        state=lambda: looks.state(name),
        tasks=lambda: ecs.tasks(cloud, looks.environment.cluster, configured.ecs_service),
        latest=lambda: looks.latest(name),
        release=lambda: looks.release(name),
    )
    state, tasks = seen["state"], seen["tasks"]
    facts = services.ServiceFacts(
        name,
        configured.ecs_service,
        configured.container,
        state,  # type: ignore[arg-type]
        tasks,  # type: ignore[arg-type]
        seen["latest"],  # type: ignore[arg-type]
        seen["release"],  # type: ignore[arg-type]
        cluster=looks.environment.cluster,
        aws=cloud.program,
    )
    if isinstance(state, ServiceState) and services.unhealthy_tasks(state, facts.tasks):
        facts = replace(facts, stopped=tuple(stopped(looks, name)))
    return services.checks(facts)


def stopped(looks: SweepInputs, name: str) -> Iterator[Finding]:
    """Why the service's tasks stopped lately, the newest first: what a failed deploy says of
    them.
    """
    configured = looks.environment.services[name]
    observer = EcsObserver(
        looks.platform.cloud,
        looks.environment.cluster,
        configured.ecs_service,
        configured.container,
    )
    found = try_call(observer.stopped)
    if isinstance(found, Unknown):
        return
    newest = sorted(
        found,
        key=lambda task: task.created_at.timestamp() if task.created_at else 0.0,
        reverse=True,
    )
    for task in newest[:STOPPED_SHOWN]:
        why = find_cause(task, configured.container)
        if why.failure:
            yield explained(looks, name, task, try_call(partial(observer.log, task)))


def explained(
    looks: SweepInputs, name: str, task: TaskState, lines: tuple[str, ...] | Unknown
) -> Finding:
    configured = looks.environment.services[name]
    known, problem = ((), lines.why) if isinstance(lines, Unknown) else (lines, "")
    why = find_cause(task, configured.container)
    return stop_finding(
        task,
        why,
        known,
        service=name,
        ecs_service=configured.ecs_service,
        log_problem=problem,
        aws=looks.platform.cloud.program,
    )


def target_probes(looks: SweepInputs) -> Iterator[Probe]:
    for name in looks.names:
        yield Probe("targets", f"{name} targets", partial(target_groups, looks, name), service=name)


def target_groups(looks: SweepInputs, name: str) -> Iterable[Check]:
    state = looks.state(name)
    if state is None:
        return [
            Check(
                "targets",
                f"{name} targets",
                "unknown",
                "ECS has no such service, so no target group is known",
                service=name,
            )
        ]
    return [target_group(looks, name, state, balancer) for balancer in state.load_balancers] or [
        Check(
            "targets", f"{name} targets", "skipped", "it is behind no load balancer", service=name
        )
    ]


def target_group(
    looks: SweepInputs, name: str, state: ServiceState, balancer: LoadBalancer
) -> Check:
    cloud = looks.platform.cloud
    registered = {arn: try_call(partial(elb.targets, cloud, arn)) for arn in balancer.target_groups}
    arn = targets.serving(registered)
    found = registered[arn]
    facts = targets.GroupFacts(
        service=name,
        group=try_call(lambda: looks.group(arn)),
        name=arn.split(":targetgroup/")[-1].split("/")[0],
        targets=found,
        health_path=looks.environment.services[name].health_path,
        security_groups=state.security_groups,
        aws=cloud.program,
    )
    if not isinstance(found, Unknown) and targets.unknown_targets(found) and state.security_groups:
        let = try_call(lambda: ec2.ingress(cloud, state.security_groups))
        facts = replace(
            facts, ingress=let, balancer=try_call(lambda: ec2.balancer_groups(cloud, arn))
        )
    return targets.check(facts)
