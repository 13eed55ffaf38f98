"""Read the facts of a release, in three waves of concurrent, read-only calls.

First the calls that need only the configuration, then those that depend on service, repository and
commit, then those that depend on the task definition. A failed call gives `Unknown`. The service's
tests run meanwhile in the calling thread, so that Ctrl-C stops them. With a tag nothing is built,
so checkout, engine and tests are not read.
"""

from __future__ import annotations

import platform as machine
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ops.aws.facts import Image, Repository, ServiceState, TaskDefinition, TaskState
from ops.core import ui
from ops.core.errors import OpsError
from ops.core.findings import Unknown
from ops.core.parallel import BackgroundCall, gather
from ops.core.redaction.redact import redact_lines
from ops.core.text import format_error
from ops.ecs.rules.task_definition_refs import Reference, log_groups, references
from ops.preflight.facts import ReleaseFacts, SchemaRevision, TestRun
from ops.preflight.rules.checks import validate_skip, validate_tag
from ops.tools.facts import Checkout

if TYPE_CHECKING:
    from ops.core.config.settings import Service
    from ops.platform import Platform

_T = TypeVar("_T")
_W = TypeVar("_W")
_TESTS_TIMEOUT_S = 900.0
_TAIL_LINES = 10
_Reads = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class GatherRequest:
    """The scope of one service's reads."""

    platform: Platform
    name: str
    service: Service
    tag: str | None
    skip: frozenset[str]
    say: Callable[[str], None]


def release_facts(
    platform: Platform,
    service: str,
    tag: str | None,
    *,
    say: Callable[[str], None] = ui.progress,
    skip: frozenset[str] = frozenset(),
    tests: bool = True,
) -> ReleaseFacts:
    """Read the facts of a release of `service`.

    The tests are not run if `tests` is False or "tests" is in `skip`; their fact is then None.
    Raises ConfigError for an unknown service, an invalid tag, or a check that cannot be skipped. A
    failed read raises nothing.
    """
    return all_facts(platform, (service,), tag, say=say, skip=skip, tests=tests)[service]


def all_facts(
    platform: Platform,
    services: tuple[str, ...],
    tag: str | None = None,
    *,
    say: Callable[[str], None] = ui.progress,
    skip: frozenset[str] = frozenset(),
    tests: bool = True,
) -> dict[str, ReleaseFacts]:
    """Read the facts of several services concurrently; run their tests one after the other."""
    validate_skip(skip)
    if tag is not None:
        validate_tag(tag)
    requests = [
        GatherRequest(platform, name, platform.settings.service(name), tag, skip, say)
        for name in services
    ]
    wanted = tests and tag is None and "tests" not in skip
    found, ran = run_alongside(
        lambda: _read_all(requests),
        lambda: [run_tests(each) if wanted else None for each in requests],
    )
    return {facts.service: replace(facts, tests=run) for facts, run in zip(found, ran, strict=True)}


def run_alongside(reads: Callable[[], _T], work: Callable[[], _W]) -> tuple[_T, _W]:
    """Run `reads` in a thread and `work` in this one, so that Ctrl-C stops `work`.

    Raises the error of either.
    """
    reading = BackgroundCall(reads, "reads")
    done = work()
    return reading.result(), done


def _read_all(requests: list[GatherRequest]) -> list[ReleaseFacts]:
    found: dict[str, Any] = gather(**{each.name: partial(_read_service, each) for each in requests})
    for facts in found.values():
        if isinstance(facts, Unknown):  # every read is guarded already, so this is a bug
            raise OpsError("preflight could not read the facts", facts.why, "please report this")
    return list(found.values())


def _read_service(request: GatherRequest) -> ReleaseFacts:
    """Run the three waves and combine their results."""
    first = gather(**_independent_reads(request))
    second = gather(**_dependent_reads(request, first))
    third = gather(**_task_definition_reads(request, second["revision"]))
    wanted, groups = _references_of(second["revision"])
    return ReleaseFacts(
        service=request.name,
        environment=request.platform.settings.name,
        requested_tag=request.tag,
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
        target_groups=_collect(second, "group"),
        targets=_flatten(_collect(second, "targets")),
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


def _independent_reads(request: GatherRequest) -> _Reads:
    """Return the reads that depend only on the configuration."""
    from ops.aws import ecr, ecs, session
    from ops.cdn import invalidate
    from ops.terraform import state_locks
    from ops.tools import docker, git, shell

    platform, environment = request.platform, request.platform.settings.environment
    reads: _Reads = {
        "identity": partial(session.identity, platform.cloud),
        "repository": partial(ecr.repository, platform.cloud, request.service.repository),
        "state": partial(
            ecs.service, platform.cloud, environment.cluster, request.service.ecs_service
        ),
        "answers": partial(_probe_endpoints, request),
        "schema": partial(_schema, request),
    }
    if request.service.invalidate and "cdn" not in request.skip:
        reads["distribution"] = partial(invalidate.find, platform)
    if environment.rollout == "terraform" and "state-lock" not in request.skip:
        reads["state_locks"] = partial(state_locks.environment_locks, platform)
    if request.tag is None:
        reads["git"] = partial(shell.version, "git", "--version")
        reads["checkout"] = partial(
            git.checkout, platform.settings.source, environment.branch, environment.remote
        )
        reads["engine"] = lambda: docker.info(platform.engine)
    return reads


def _dependent_reads(request: GatherRequest, first: dict[str, Any]) -> _Reads:
    """Return the reads that depend on service, repository and commit."""
    return _service_reads(request, first["state"]) | _image_reads(
        request, first["repository"], first.get("checkout")
    )


def _service_reads(request: GatherRequest, state: ServiceState | Unknown | None) -> _Reads:
    from ops.aws import ecs, elb

    if not isinstance(state, ServiceState):
        return {"revision": lambda: _require_known(state), "running": lambda: _no_tasks(state)}
    cloud, cluster = request.platform.cloud, request.platform.settings.environment.cluster
    reads: _Reads = {
        "revision": partial(ecs.task_definition, cloud, state.task_definition),
        "running": partial(ecs.tasks, cloud, cluster, request.service.ecs_service),
    }
    for arn in dict.fromkeys(
        arn for balancer in state.load_balancers for arn in balancer.target_groups
    ):
        reads[f"group {arn}"] = partial(elb.target_group, cloud, arn)
        reads[f"targets {arn}"] = partial(elb.targets, cloud, arn)
    return reads


def _image_reads(
    request: GatherRequest,
    repository: Repository | Unknown | None,
    checkout: Checkout | Unknown | None,
) -> _Reads:
    from ops.tools import docker

    tag = request.tag or (checkout.commit.short if isinstance(checkout, Checkout) else None)
    if not isinstance(repository, Repository):
        return {"image": lambda: _require_known(repository)}
    if tag is None:
        return {"image": lambda: _require_known(checkout)}
    reads: _Reads = {"image": partial(image, request, repository, tag)}
    if request.tag is None:
        reads["local_image"] = lambda: docker.image(
            request.platform.engine, f"{repository.uri}:{tag}"
        )
    return reads


def _task_definition_reads(
    request: GatherRequest, revision: TaskDefinition | Unknown | None
) -> _Reads:
    """Return the reads of what the task definition references."""
    from ops.aws import logs

    wanted, groups = _references_of(revision)
    reads: _Reads = {
        f"log group {name}": partial(logs.group_exists, request.platform.cloud, name)
        for name in groups
    }
    if "secrets" not in request.skip:
        reads |= {f"secret {each.source}": partial(_secret, request, each) for each in wanted}
    return reads


def _references_of(
    revision: TaskDefinition | Unknown | None,
) -> tuple[tuple[Reference, ...], tuple[str, ...]]:
    if not isinstance(revision, TaskDefinition):
        return (), ()
    return references(revision), tuple(dict.fromkeys(group.name for group in log_groups(revision)))


def _require_known(fact: object) -> None:
    """Raise _NotRead for an `Unknown` fact, with its reason."""
    if isinstance(fact, Unknown):
        raise _NotRead(fact.why)


def _no_tasks(fact: object) -> tuple[TaskState, ...]:
    """Return no tasks for a missing service; raise _NotRead for an unknown one."""
    _require_known(fact)
    return ()


class _NotRead(OpsError):
    """A read was not made because the one it depends on failed."""


def _collect(found: dict[str, Any], kind: str) -> tuple[Any, ...] | Unknown:
    """Return all values of one kind, or the first `Unknown` among them."""
    values = tuple(value for name, value in found.items() if name.startswith(f"{kind} "))
    return next((value for value in values if isinstance(value, Unknown)), values)


def _flatten(values: tuple[Any, ...] | Unknown) -> tuple[Any, ...] | Unknown:
    return (
        values if isinstance(values, Unknown) else tuple(item for value in values for item in value)
    )


def _probe_endpoints(request: GatherRequest) -> Any:
    """Request the configured endpoints at the site, or at the load balancer without a site."""
    from ops.http import client

    environment = request.platform.settings.environment
    base = environment.site or environment.alb
    if not request.service.endpoints:
        return ()
    if not base:
        raise _NotRead(f"environments.{request.platform.settings.name}.site is not configured")
    return client.probe_all(base, request.service.endpoints)


def _schema(request: GatherRequest) -> SchemaRevision | None:
    """Read the database's revision and the pending ones; None without a database."""
    from ops.aws import secrets
    from ops.postgres import facts, pending, tunnel

    settings = request.platform.settings
    configured = settings.environment.database
    if configured is None:
        return None
    if "migrations" in request.skip:
        raise _NotRead("skipped")
    secret = secrets.value(request.platform.cloud, configured.secret) if configured.secret else {}
    with tunnel.open_route(settings, facts.connection_parameters(configured, secret)) as parameters:
        revision = facts.revision_at(parameters)
    return SchemaRevision(revision, pending.heads_after(revision, settings.root))


def image(request: GatherRequest, repository: Repository, tag: str) -> Image | None:
    """Read the tag in ECR, with the commit and architecture from its configuration.

    Both are empty if the registry does not return the configuration; `--tag` works without them.
    """
    from ops.aws import ecr
    from ops.tools import registry

    found = ecr.image(request.platform.cloud, repository.name, tag)
    if found is None:
        return None
    try:
        config = registry.configuration(repository, found.digest, ecr.token(request.platform.cloud))
    except OpsError as problem:
        request.say(
            f"the configuration of {repository.name}:{tag} could not be read: "
            f"{format_error(problem)}"
        )
        return found
    return replace(found, revision=config.revision, architecture=config.architecture or None)


def _secret(request: GatherRequest, wanted: Reference) -> frozenset[str] | None:
    """Return the names of a secret's keys (a parameter has none), or None if it is missing."""
    from ops.aws import secrets

    if not wanted.is_parameter:
        return secrets.keys(request.platform.cloud, wanted.source)
    return frozenset() if secrets.parameter_exists(request.platform.cloud, wanted.source) else None


def run_tests(request: GatherRequest) -> TestRun | Unknown | None:
    """Run the service's tests in its build context; None if it has none.

    An interrupt is not caught.
    """
    from ops.tools import shell

    command = request.service.tests
    if not command:
        return None
    request.say(f"tests of {request.name}: {' '.join(command)}")
    try:
        ended = shell.run(
            command,
            cwd=request.platform.settings.source / request.service.context,
            timeout=_TESTS_TIMEOUT_S,
        )
    except OpsError as problem:
        return Unknown(format_error(problem))
    lines = [line for line in ui.plain(ended.stdout + ended.stderr).split("\n") if line.strip()]
    tail = redact_lines(lines[-_TAIL_LINES:])
    return TestRun(tuple(command), ended.exit_code, "\n".join(tail))
