"""Compare a service's configuration with its ECS service, task definition and target groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from ops.aws.facts import EcrUri, LogGroupRef, ServiceState, TargetGroup, TaskDefinition
from ops.core.findings import Unknown
from ops.ecs.rules.task_definition_refs import log_driver, log_options, ports
from ops.environment.model import KeyComparison, absent, compare, not_read, same
from ops.terraform.rules.attribute_diff import split_image

if TYPE_CHECKING:
    from ops.core.config.settings import Service


def nearest(name: str, existing: Sequence[str]) -> tuple[str, ...]:
    """Existing names like the configured one; all of them if they are few."""
    return tuple(existing) if len(existing) <= 5 else tuple(get_close_matches(name, existing))


def image_repository(image: str) -> str:
    """The repository of an image reference: without registry, tag and digest."""
    name = split_image(image)[0]
    first, slash, rest = name.partition("/")
    has_registry = slash and ("." in first or ":" in first or first == "localhost")
    return rest if has_registry else name


def missing_service(
    key: str, name: str, cluster: str, existing: Sequence[str] | Unknown
) -> KeyComparison:
    """The ECS service does not exist; with the services of the cluster, if they could be listed."""
    near = () if isinstance(existing, Unknown) else nearest(name, existing)
    return absent(key, name, f"the cluster {cluster} has no such service", near)


def task_definition(
    key: str, service: Service, revision: TaskDefinition | Unknown | None
) -> Iterator[KeyComparison]:
    """Compare container, port, log group and repository with the task definition that runs."""
    if isinstance(revision, Unknown) or revision is None:
        unread = revision or Unknown("the service's task definition does not exist")
        for name in ("container", "repository", "container_port", "log_group"):
            if (value := getattr(service, name)) is not None:
                yield not_read(f"{key}.{name}", value, unread)
        return
    source = f"task definition {revision.label}"
    names = [str(each.get("name", "")) for each in revision.containers]
    yield compare(f"{key}.container", service.container, names, source)
    container = revision.container(service.container)
    if container is None and len(revision.containers) == 1:
        container = revision.containers[0]  # renamed; its other values still count
    if container is None:
        unread = Unknown(f"{source} has no container {service.container}")
        for name in ("repository", "container_port", "log_group"):
            if (value := getattr(service, name)) is not None:
                yield not_read(f"{key}.{name}", value, unread)
        return
    image = str(container.get("image", ""))
    if service.repository is not None:
        by_name = image_repository(service.repository) == service.repository
        repository = image_repository(image) if by_name else split_image(image)[0]
        if (place := EcrUri.parse(repository)) and place == EcrUri.parse(service.repository):
            repository = service.repository  # by another of its hosts
        yield compare(f"{key}.repository", service.repository, repository, source)
    if service.container_port is not None:
        found = ports(container)
        yield compare(f"{key}.container_port", service.container_port, found, source)
    if service.log_group is not None:
        group = log_options(container).get("awslogs-group")
        if group is None:
            driver = log_driver(container) or "no log driver"
            yield absent(f"{key}.log_group", service.log_group, f"{source} uses {driver}")
        else:
            if LogGroupRef.parse(service.log_group, "").name == group:
                group = service.log_group  # by its ARN
            yield compare(f"{key}.log_group", service.log_group, group, source)


def target_groups(
    key: str,
    service: Service,
    state: ServiceState,
    groups: Sequence[TargetGroup] | Unknown,
) -> Iterator[KeyComparison]:
    """Compare health check path and port with the service's target groups."""
    pages = [page.path for page in service.endpoints]
    if not state.load_balancers:
        why = f"the service {state.name} has no target group"
        if service.health_path is not None:
            yield absent(f"{key}.health_path", service.health_path, why)
        if pages:
            yield absent(f"{key}.endpoints", pages, why)
        return
    if isinstance(groups, Unknown):
        if service.health_path is not None:
            yield not_read(f"{key}.health_path", service.health_path, groups)
        if pages:
            yield not_read(f"{key}.endpoints", pages, groups)
        return
    names = ", ".join(each.name for each in groups)
    if service.health_path is not None:
        found = [each.health_path for each in groups]
        yield compare(f"{key}.health_path", service.health_path, found, f"target group {names}")
    if pages:
        yield same(f"{key}.endpoints", pages, f"target group {names}")
    if service.container_port is not None:
        own = [each.port for each in state.load_balancers if each.container == service.container]
        if own and service.container_port not in own:
            source = f"the load balancer of {state.name}"
            yield compare(f"{key}.container_port", service.container_port, own, source)
