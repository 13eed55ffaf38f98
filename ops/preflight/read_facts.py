"""The single looks of a gathering, and which depends on which: configuration → service, repository,
commit → task definition.
"""

from __future__ import annotations

import platform as machine
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ops.aws.facts import Image, Repository, ServiceState, TaskDefinition, TaskState
from ops.core import ui
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.core.parallel import gather, reason
from ops.core.redaction.redact import redact_lines
from ops.ecs.rules.task_definition_refs import Reference, log_groups, references
from ops.preflight.facts import ReleaseFacts, SchemaRevision, TestRun
from ops.tools.facts import Checkout

if TYPE_CHECKING:
    from ops.core.config.settings import Service
    from ops.platform import Platform

TESTS_TIMEOUT_S = 900.0
TAIL_LINES = 10
ServiceReads = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class GatherRequest:
    """What a gathering is about."""

    platform: Platform
    name: str
    service: Service
    tag: str | None
    skip: frozenset[str]
    say: Callable[[str], None]


def read_service(asked: GatherRequest) -> ReleaseFacts:
    """The three waves, put together."""
    first = gather(**independent_reads(asked))
    second = gather(**dependent_reads(asked, first))
    third = gather(**task_definition_reads(asked, second["revision"]))
    wanted, groups = references_of(second["revision"])
    return ReleaseFacts(
        service=asked.name,
        environment=asked.platform.settings.name,
        requested_tag=asked.tag,
        checkout=first.get("checkout"),
        identity=first["identity"],
        tools={"python": f"Python {machine.python_version()}"}
        | ({"git": first["git"]} if "git" in first else {}),
        tests=None,
        engine=first.get("engine"),
        local_image=second.get("local_image"),
        repository=first["repository"],
        image=second["image"],
        state=first["state"],
        revision=second["revision"],
        running=second["running"],
        target_groups=collect(second, "group"),
        targets=flatten(collect(second, "targets")),
        secrets={
            reference.source: third[f"secret {reference.source}"]
            for reference in wanted
            if f"secret {reference.source}" in third
        },
        log_groups={name: third[f"log group {name}"] for name in groups},
        schema=first["schema"],
        answers=first["answers"],
        distribution=first.get("distribution"),
        state_locks=first.get("state_locks"),
    )


def independent_reads(asked: GatherRequest) -> ServiceReads:
    """What depends on nothing but the configuration."""
    from ops.aws import ecr, ecs, session
    from ops.cdn import invalidate
    from ops.terraform import unlock
    from ops.tools import docker, git, shell

    platform, environment = asked.platform, asked.platform.settings.environment
    looks: ServiceReads = {
        "identity": partial(session.identity, platform.cloud),
        "repository": partial(ecr.repository, platform.cloud, asked.service.repository),
        "state": partial(
            ecs.service, platform.cloud, environment.cluster, asked.service.ecs_service
        ),
        "answers": partial(probe_endpoints, asked),
        "schema": partial(schema, asked),
    }
    if asked.service.invalidate and "cdn" not in asked.skip:
        looks["distribution"] = partial(invalidate.find, platform)
    if environment.rollout == "terraform" and "state-lock" not in asked.skip:
        looks["state_locks"] = partial(unlock.of_environment, platform)
    if asked.tag is None:
        looks["git"] = partial(shell.version, "git", "--version")
        looks["checkout"] = partial(
            git.checkout, platform.settings.source, environment.branch, environment.remote
        )
        looks["engine"] = lambda: docker.info(platform.engine)
    return looks


def dependent_reads(asked: GatherRequest, first: dict[str, Any]) -> ServiceReads:
    """What the service, the repository and the commit lead to."""
    return service_reads(asked, first["state"]) | image_reads(
        asked, first["repository"], first.get("checkout")
    )


def service_reads(asked: GatherRequest, state: ServiceState | Unknown | None) -> ServiceReads:
    from ops.aws import ecs, elb

    if not isinstance(state, ServiceState):
        return {"revision": lambda: require_known(state), "running": lambda: first_unknown(state)}
    cloud, cluster = asked.platform.cloud, asked.platform.settings.environment.cluster
    looks: ServiceReads = {
        "revision": partial(ecs.task_definition, cloud, state.task_definition),
        "running": partial(ecs.tasks, cloud, cluster, asked.service.ecs_service),
    }
    for arn in dict.fromkeys(
        arn for balancer in state.load_balancers for arn in balancer.target_groups
    ):
        looks[f"group {arn}"] = partial(elb.target_group, cloud, arn)
        looks[f"targets {arn}"] = partial(elb.targets, cloud, arn)
    return looks


def image_reads(
    asked: GatherRequest,
    repository: Repository | Unknown | None,
    checkout: Checkout | Unknown | None,
) -> ServiceReads:
    from ops.tools import docker

    tag = asked.tag or (checkout.commit.short if isinstance(checkout, Checkout) else None)
    if not isinstance(repository, Repository):
        return {"image": lambda: require_known(repository)}
    if tag is None:
        return {"image": lambda: require_known(checkout)}
    looks: ServiceReads = {"image": partial(image, asked, repository, tag)}
    if asked.tag is None:
        looks["local_image"] = lambda: docker.image(
            asked.platform.engine, f"{repository.uri}:{tag}"
        )
    return looks


def task_definition_reads(
    asked: GatherRequest, revision: TaskDefinition | Unknown | None
) -> ServiceReads:
    """What the task definition names."""
    from ops.aws import logs

    wanted, groups = references_of(revision)
    looks: ServiceReads = {
        f"log group {name}": partial(logs.group_exists, asked.platform.cloud, name)
        for name in groups
    }
    if "secrets" not in asked.skip:
        looks |= {f"secret {each.source}": partial(secret, asked, each) for each in wanted}
    return looks


def references_of(
    revision: TaskDefinition | Unknown | None,
) -> tuple[tuple[Reference, ...], tuple[str, ...]]:
    if not isinstance(revision, TaskDefinition):
        return (), ()
    return references(revision), tuple(dict.fromkeys(group.name for group in log_groups(revision)))


def require_known(fact: object) -> None:
    """An `Unknown` carried on to what depends on it; None where the thing is not there, so what
    depends on it is not either.
    """
    if isinstance(fact, Unknown):
        raise NotRead(fact.why)


def first_unknown(fact: object) -> tuple[TaskState, ...]:
    """No tasks of a service that is not there; an `Unknown` carried on."""
    require_known(fact)
    return ()


class NotRead(OpsError):
    """A look that was not taken because the one before it failed; its reason is that one's."""


def collect(found: dict[str, Any], kind: str) -> tuple[Any, ...] | Unknown:
    """All values of one kind, or the first `Unknown` among them: half a list would look like a
    whole one.
    """
    values = tuple(value for name, value in found.items() if name.startswith(f"{kind} "))
    return next((value for value in values if isinstance(value, Unknown)), values)


def flatten(values: tuple[Any, ...] | Unknown) -> tuple[Any, ...] | Unknown:
    return (
        values if isinstance(values, Unknown) else tuple(item for value in values for item in value)
    )


def probe_endpoints(asked: GatherRequest) -> Any:
    """The configured endpoints, at the site's address (at the load balancer's where no site is
    configured).
    """
    from ops.http import client

    environment = asked.platform.settings.environment
    base = environment.site or environment.alb
    if not asked.service.endpoints:
        return ()
    if not base:
        raise NotRead(f"environments.{asked.platform.settings.name}.site is not configured")
    return client.probe_all(base, asked.service.endpoints)


def schema(asked: GatherRequest) -> SchemaRevision | None:
    """The database's revision, and the revisions of this project that it has not seen; None where
    the environment has no database.
    """
    from ops.aws import secrets
    from ops.postgres import facts, pending, tunnel

    settings = asked.platform.settings
    configured = settings.environment.database
    if configured is None:
        return None
    if "migrations" in asked.skip:
        raise NotRead("skipped")
    secret = secrets.value(asked.platform.cloud, configured.secret) if configured.secret else {}
    with tunnel.open_route(settings, facts.connection(configured, secret)) as parameters:
        revision = facts.revision_at(parameters)
    return SchemaRevision(revision, pending.heads_after(revision, settings.root))


def image(asked: GatherRequest, repository: Repository, tag: str) -> Image | None:
    """The tag in ECR, with the commit and the architecture that its configuration names.

    Where the registry does not show the configuration these two stay unsaid: the image is there,
    and `--tag` needs no more."""
    from ops.aws import ecr
    from ops.tools import registry

    found = ecr.image(asked.platform.cloud, repository.name, tag)
    if found is None:
        return None
    try:
        said = registry.configuration(repository, found.digest, ecr.token(asked.platform.cloud))
    except OpsError as problem:
        asked.say(
            f"the configuration of {repository.name}:{tag} could not be read: {reason(problem)}"
        )
        return found
    return replace(found, revision=said.revision, architecture=said.architecture or None)


def secret(asked: GatherRequest, wanted: Reference) -> frozenset[str] | None:
    """The names of a secret's keys; None where there is no such secret. A parameter has no keys."""
    from ops.aws import secrets

    if not wanted.is_parameter:
        return secrets.keys(asked.platform.cloud, wanted.source)
    return frozenset() if secrets.parameter_exists(asked.platform.cloud, wanted.source) else None


def run_tests(asked: GatherRequest) -> TestRun | Unknown | None:
    """Run the service's tests, in its build context; None where it has none. An interrupt goes
    through.
    """
    from ops.tools import shell

    command = asked.service.tests
    if not command:
        return None
    asked.say(f"tests of {asked.name}: {' '.join(command)}")
    try:
        ended = shell.run(
            command,
            cwd=asked.platform.settings.source / asked.service.context,
            timeout=TESTS_TIMEOUT_S,
        )
    except OpsError as problem:
        return Unknown(reason(problem))
    lines = [line for line in ui.plain(ended.stdout + ended.stderr).split("\n") if line.strip()]
    tail = redact_lines(lines[-TAIL_LINES:])
    return TestRun(tuple(command), ended.exit_code, "\n".join(tail))
