"""The reads of AWS that `inv env.check` compares the configuration with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ops.aws import ecr, ecs, elb, rds, s3, secrets
from ops.aws.cloudwatch import logs
from ops.aws.facts import LogGroupRef, TargetGroup, TaskDefinition
from ops.cdn import cloudfront, invalidate
from ops.core.errors import ConfigError, Refused
from ops.core.findings import Unknown
from ops.core.parallel import try_call
from ops.environment.model import KeyComparison, WorldRead, absent, not_read, same
from ops.environment.rules import parts
from ops.environment.rules import service as service_rules
from ops.postgres.routes import session_tunnel

if TYPE_CHECKING:
    from ops.core.config.database import Database, DatabaseTunnel
    from ops.core.config.settings import Service, Settings, State
    from ops.platform import Platform


def reads(settings: Settings, connect: Callable[[], Platform]) -> Iterator[WorldRead]:
    """One read for each part of the environment that AWS has; `connect` is called by each."""
    environment = settings.environment

    def at(read: Callable[..., Iterable[KeyComparison]], *words: Any) -> Callable[[], Any]:
        return lambda: read(connect(), *words)

    yield WorldRead({"cluster": environment.cluster}, at(_cluster))
    for name, service in sorted(environment.services.items()):
        key = f"services.{name}"
        yield WorldRead(_service_keys(name, service), at(_service, name, service))
        if service.repository:
            repository = f"{key}.repository"
            yield WorldRead(
                {repository: service.repository}, at(_repository, repository, service.repository)
            )
        if service.log_group:
            group = f"{key}.log_group"
            yield WorldRead({group: service.log_group}, at(_log_group, group, service.log_group))
    if keys := parts.cdn_keys(environment):
        yield WorldRead(keys, at(_cdn))
    if environment.alb and (host := parts.host_name(environment.alb)):
        yield WorldRead({"alb": environment.alb}, at(_load_balancer, host))
    if environment.state:
        yield WorldRead({"state.bucket": environment.state.bucket}, at(_bucket, environment.state))
    database = environment.database
    if database and database.secret:
        yield WorldRead({"database.secret": database.secret}, at(_secret, database))
    if database and database.tunnel:
        key = f"database.tunnel.{'service' if database.tunnel.service else 'instance'}"
        target = database.tunnel.service or database.tunnel.instance
        yield WorldRead({key: target}, at(_tunnel, key, database.tunnel))
    if database and database.instance:
        yield WorldRead({"database.instance": database.instance}, at(_instance, database.instance))


def _cluster(platform: Platform) -> Iterator[KeyComparison]:
    name = platform.settings.environment.cluster
    status = ecs.cluster_status(platform.cloud, name)
    existing = try_call(lambda: ecs.cluster_names(platform.cloud)) if status is None else ()
    yield parts.cluster(name, status, () if isinstance(existing, Unknown) else existing)


def _service_keys(name: str, service: Service) -> dict[str, Any]:
    """What is unknown if the ECS service cannot be read."""
    values = {
        "ecs_service": service.ecs_service,
        "container": service.container,
        "container_port": service.container_port,
        "health_path": service.health_path,
        "endpoints": [page.path for page in service.endpoints],
    }
    return {f"services.{name}.{key}": value for key, value in values.items() if value}


def _service(platform: Platform, name: str, service: Service) -> Iterator[KeyComparison]:
    """The ECS service, the task definition that it runs, and its target groups."""
    cloud, cluster, key = platform.cloud, platform.settings.environment.cluster, f"services.{name}"
    state = ecs.service(cloud, cluster, service.ecs_service)
    if state is None:
        existing = try_call(lambda: ecs.service_names(cloud, cluster))
        own = f"{key}.ecs_service"
        yield service_rules.missing_service(own, service.ecs_service, cluster, existing)
        unread = Unknown(f"the ECS service {service.ecs_service} does not exist")
        for other, value in _service_keys(name, service).items():
            if other != own:
                yield not_read(other, value, unread)
        return
    yield same(f"{key}.ecs_service", service.ecs_service, f"cluster {cluster}")
    revision: TaskDefinition | Unknown | None
    revision = try_call(lambda: ecs.task_definition(cloud, state.task_definition))
    yield from service_rules.task_definition(key, service, revision)
    arns = [arn for each in state.load_balancers for arn in each.target_groups]
    groups = try_call(lambda: tuple(elb.target_groups(cloud, arns).values()) if arns else ())
    found: tuple[TargetGroup, ...] | Unknown = groups
    yield from service_rules.target_groups(key, service, state, found)


def _repository(platform: Platform, key: str, name: str) -> Iterator[KeyComparison]:
    if ecr.repository(platform.cloud, name) is None:
        yield absent(key, name, "ECR has no such repository")
    else:
        yield same(key, name, "ECR")


def _log_group(platform: Platform, key: str, name: str) -> Iterator[KeyComparison]:
    account = LogGroupRef.parse(name, "").account
    if logs.group_exists(platform.cloud, name):
        yield same(key, name, "CloudWatch Logs")
    elif account not in ("", platform.settings.environment.account):
        why = f"account {account} has no such group, or does not share it with this one"
        yield not_read(key, name, Unknown(why))
    else:
        yield absent(key, name, "CloudWatch Logs has no such group")


def _cdn(platform: Platform) -> Iterator[KeyComparison]:
    """The distribution that the `cdn` keys choose; one that does not exist is a difference."""
    environment = platform.settings.environment
    try:
        if environment.cdn.distribution:
            found = cloudfront.distribution(platform.cloud, environment.cdn.distribution)
        else:
            found = invalidate.find(platform)
    except Refused as refusal:
        key, value = next(iter(parts.cdn_keys(environment).items()))
        yield absent(key, value, f"{refusal.what}: {refusal.why}")
        return
    yield from parts.cdn(environment, found)


def _load_balancer(platform: Platform, host: str) -> Iterator[KeyComparison]:
    address = str(platform.settings.environment.alb)
    yield parts.load_balancer(address, host, elb.load_balancer_names(platform.cloud))


def _bucket(platform: Platform, state: State) -> Iterator[KeyComparison]:
    try:
        s3.keys(platform.cloud, state.bucket, state.prefix, 1)
    except Refused as missing:
        yield absent("state.bucket", state.bucket, f"S3: {missing.why}")
        return
    yield same("state.bucket", state.bucket, "S3")


def _secret(platform: Platform, database: Database) -> Iterator[KeyComparison]:
    yield parts.secret(database, secrets.keys(platform.cloud, str(database.secret)))


def _instance(platform: Platform, name: str) -> Iterator[KeyComparison]:
    try:
        found = rds.instance(platform.cloud, name)
    except ConfigError as missing:
        yield absent("database.instance", name, f"RDS: {missing.why}")
        return
    status = found.secret.status if found.secret else ""
    yield parts.instance(name, found.engine, found.status, status)


def _tunnel(platform: Platform, key: str, tunnel: DatabaseTunnel) -> Iterator[KeyComparison]:
    """The plugin on this machine, and ECS Exec on the service and in a running task."""
    try:
        session_tunnel.check(platform.settings, platform.cloud, tunnel)
    except Refused as missing:
        yield absent(key, tunnel.service or tunnel.instance, f"{missing.what}: {missing.why}")
        return
    yield same(key, tunnel.service or tunnel.instance, "Session Manager")
