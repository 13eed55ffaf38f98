"""Read the facts of a release by concurrent, read-only calls.

First the calls that need only the configuration, then those that depend on service, repository and
commit, then those that depend on the task definition. A failed call gives `Unknown`. The service's
tests run meanwhile in the calling thread, so that Ctrl-C stops them. With a tag nothing is built,
so checkout, engine and tests are not read.
"""

from __future__ import annotations

import platform as machine
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ops.aws.facts import (
    Identity,
    Image,
    Repository,
    ServiceState,
    Target,
    TargetGroup,
    TaskDefinition,
    TaskState,
)
from ops.cdn.facts import Distribution
from ops.core import ui
from ops.core.errors import OpsError, Unreachable
from ops.core.findings import Unknown
from ops.core.parallel import BackgroundCall, Read, Reads
from ops.core.redaction.redact import redact_lines
from ops.core.terminal.step import step
from ops.core.text import SHORT_ID_LENGTH, format_error
from ops.ecs.rules.task_definition_refs import Reference, log_groups, references
from ops.http.facts import Answer
from ops.preflight.facts import ReleaseFacts, SchemaRevision, TerraformFacts, TestRun
from ops.preflight.read_terraform import terraform_facts
from ops.preflight.rules.checks import validate_skip, validate_tag
from ops.terraform.facts import StateLock
from ops.tools.facts import AbsentContent, Checkout, Commit, EngineInfo, LocalImage

if TYPE_CHECKING:
    from ops.core.config.settings import Service
    from ops.platform import Platform

_T = TypeVar("_T")
_W = TypeVar("_W")
_TESTS_TIMEOUT_S = 900.0
_TAIL_LINES = 10


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
    with Reads() as reads:
        found = [reads.submit(_read_service, request) for request in requests]
    return [_require_facts(each.value) for each in found]


def _require_facts(facts: ReleaseFacts | Unknown) -> ReleaseFacts:
    if isinstance(facts, Unknown):  # every read is guarded already, so this is a bug
        raise OpsError("preflight could not read the facts", facts.why, "please report this")
    return facts


def _read_service(request: GatherRequest) -> ReleaseFacts:
    """Start each read when those that it depends on have ended, and combine the results."""
    with Reads() as reads:
        first = _submit_independent(request, reads)
        repository, checkout = first.repository.value, _value(first.checkout)
        image = _submit_image(request, reads, repository, checkout)
        state = first.state.value
        service = _submit_service(request, reads, state)
        revision = _value(service.revision, state)
        referenced = _submit_referenced(request, reads, revision)
    needed_for_image = checkout if isinstance(repository, Repository) else repository
    in_ecr, in_engine = _value(image.image, needed_for_image), _value(image.local)
    return ReleaseFacts(
        service=request.name,
        environment=request.platform.settings.name,
        requested_tag=request.tag,
        checkout=checkout,
        identity=first.identity.value,
        tools={"python": f"Python {machine.python_version()}"}
        | ({"git": first.git.value} if first.git else {}),
        tests=None,
        engine=_value(first.engine),
        local_image=in_engine,
        repository=repository,
        image=in_ecr,
        state=state,
        revision=revision,
        running=_value(service.running, state) or (),
        target_groups=_values(service.target_groups),
        targets=_flatten(_values(service.targets)),
        secrets={source: read.value for source, read in referenced.secrets.items()},
        log_groups={name: read.value for name, read in referenced.log_groups.items()},
        schema=first.schema.value,
        answers=first.answers.value,
        distribution=_value(first.distribution),
        state_locks=_value(first.state_locks),
        absent_content=_value(first.absent_content),
        terraform=_value(first.terraform),
        newest_tags=_newest_tags(request) if request.tag and in_ecr is None else (),
    )


def _newest_tags(request: GatherRequest) -> tuple[str, ...]:
    """The newest tags in ECR, to suggest one; none if they cannot be read."""
    from ops.aws import ecr

    try:
        found = ecr.images(request.platform.cloud, request.service.repository or "")
    except OpsError:
        return ()
    return tuple(each.tag for each in found)


def _value(read: Read[_T] | None, needed: object = None) -> _T | Unknown | None:
    """Return a read's value.

    If it was not made: the value that it depends on, if that is Unknown, else None.
    """
    if read is not None:
        return read.value
    return needed if isinstance(needed, Unknown) else None


def _values(reads: Iterable[Read[_T]]) -> tuple[_T, ...] | Unknown:
    """Return the values of all reads, or the first `Unknown` among them."""
    found: list[_T] = []
    for read in reads:
        value = read.value
        if isinstance(value, Unknown):
            return value
        found.append(value)
    return tuple(found)


def _flatten(values: tuple[tuple[_T, ...], ...] | Unknown) -> tuple[_T, ...] | Unknown:
    return (
        values if isinstance(values, Unknown) else tuple(item for value in values for item in value)
    )


@dataclass(frozen=True)
class _IndependentReads:
    """Reads that depend only on the configuration; None for those that are not needed."""

    identity: Read[Identity]
    repository: Read[Repository | None]
    state: Read[ServiceState | None]
    answers: Read[tuple[Answer, ...]]
    schema: Read[SchemaRevision | None]
    distribution: Read[Distribution] | None
    state_locks: Read[tuple[StateLock, ...]] | None
    absent_content: Read[AbsentContent] | None
    terraform: Read[TerraformFacts] | None
    git: Read[str] | None
    checkout: Read[Checkout] | None
    engine: Read[EngineInfo] | None


def _submit_independent(request: GatherRequest, reads: Reads) -> _IndependentReads:
    from ops.aws import ecr, ecs, session
    from ops.cdn import invalidate
    from ops.terraform import state_locks
    from ops.tools import docker, git, shell

    platform, service = request.platform, request.service
    cloud, settings = platform.cloud, platform.settings
    environment = settings.environment
    cached = service.invalidate and "cdn" not in request.skip
    by_terraform = environment.rollout == "terraform" and "terraform" not in request.skip
    locked = environment.rollout == "terraform" and "state-lock" not in request.skip
    building = request.tag is None
    return _IndependentReads(
        identity=reads.submit(session.identity, cloud),
        repository=reads.submit(ecr.repository, cloud, service.repository or ""),
        state=reads.submit(ecs.service, cloud, environment.cluster, service.ecs_service),
        answers=reads.submit(_probe_endpoints, request),
        schema=reads.submit(_schema, request),
        distribution=reads.submit(invalidate.find, platform) if cached else None,
        state_locks=reads.submit(state_locks.environment_locks, platform) if locked else None,
        absent_content=reads.submit(git.absent_content, settings.source, "HEAD", service.context)
        if building and "context" not in request.skip
        else None,
        terraform=reads.submit(terraform_facts, platform) if by_terraform else None,
        git=reads.submit(shell.version, "git", "--version") if building else None,
        checkout=reads.submit(
            git.checkout,
            settings.source,
            environment.branch,
            environment.remote,
            environment.tag_length,
        )
        if building
        else None,
        engine=reads.submit(lambda: docker.info(platform.engine)) if building else None,
    )


@dataclass(frozen=True)
class _ServiceReads:
    """Reads of what a service's state names; none for a service that is missing or unknown."""

    revision: Read[TaskDefinition | None] | None = None
    running: Read[tuple[TaskState, ...]] | None = None
    target_groups: tuple[Read[TargetGroup], ...] = ()
    targets: tuple[Read[tuple[Target, ...]], ...] = ()


def _submit_service(
    request: GatherRequest, reads: Reads, state: ServiceState | Unknown | None
) -> _ServiceReads:
    from ops.aws import ecs, elb

    if not isinstance(state, ServiceState):
        return _ServiceReads()
    cloud, cluster = request.platform.cloud, request.platform.settings.environment.cluster
    groups = dict.fromkeys(
        arn for balancer in state.load_balancers for arn in balancer.target_groups
    )
    return _ServiceReads(
        reads.submit(ecs.task_definition, cloud, state.task_definition),
        reads.submit(ecs.tasks, cloud, cluster, request.service.ecs_service),
        tuple(reads.submit(elb.target_group, cloud, arn) for arn in groups),
        tuple(reads.submit(elb.targets, cloud, arn) for arn in groups),
    )


@dataclass(frozen=True)
class _ImageReads:
    """Reads of the image in ECR and in the engine; none without a repository or a tag."""

    image: Read[Image | None] | None = None
    local: Read[LocalImage | None] | None = None


def _submit_image(
    request: GatherRequest,
    reads: Reads,
    repository: Repository | Unknown | None,
    checkout: Checkout | Unknown | None,
) -> _ImageReads:
    from ops.tools import docker

    tag = request.tag or (checkout.commit.short if isinstance(checkout, Checkout) else None)
    if not isinstance(repository, Repository) or tag is None:
        return _ImageReads()
    if request.tag is not None or not isinstance(checkout, Checkout):
        return _ImageReads(reads.submit(image, request, repository, tag))
    found = reads.submit(image_of_commit, request, repository, checkout.commit)
    name = f"{repository.uri}:{tag}"
    platform = request.platform
    return _ImageReads(found, reads.submit(lambda: docker.image(platform.engine, name)))


@dataclass(frozen=True)
class _ReferencedReads:
    """Reads of what a task definition references, by name."""

    secrets: Mapping[str, Read[frozenset[str] | None]]
    log_groups: Mapping[str, Read[bool]]


def _submit_referenced(
    request: GatherRequest, reads: Reads, revision: TaskDefinition | Unknown | None
) -> _ReferencedReads:
    from ops.aws.cloudwatch import logs

    if not isinstance(revision, TaskDefinition):
        return _ReferencedReads({}, {})
    cloud = request.platform.cloud
    wanted = {each.source: each for each in references(revision)}
    if "secrets" in request.skip:
        wanted = {}
    groups = {group.place: group for group in log_groups(revision)}
    return _ReferencedReads(
        {source: reads.submit(_secret, request, each) for source, each in wanted.items()},
        {
            place: reads.submit(
                logs.group_exists, cloud.in_region(group.region or cloud.region), group.name
            )
            for place, group in groups.items()
        },
    )


def with_revision(
    platform: Platform, facts: ReleaseFacts, revision: TaskDefinition, skip: frozenset[str]
) -> ReleaseFacts:
    """The facts with another task definition, and what that one references."""
    service = platform.settings.service(facts.service)
    request = GatherRequest(
        platform, facts.service, service, facts.requested_tag, skip, ui.progress
    )
    with Reads() as reads:
        found = _submit_referenced(request, reads, revision)
    return replace(
        facts,
        revision=revision,
        secrets={source: read.value for source, read in found.secrets.items()},
        log_groups={name: read.value for name, read in found.log_groups.items()},
    )


def _probe_endpoints(request: GatherRequest) -> tuple[Answer, ...]:
    """Request the configured endpoints at the site, or at the load balancer without a site.

    Raises Unreachable if this machine cannot be expected to reach them.
    """
    from ops.http import client
    from ops.tools import reachability

    environment = request.platform.settings.environment
    base = environment.site or environment.alb
    if not request.service.endpoints:
        return ()
    if not base:
        raise OpsError(f"environments.{request.platform.settings.name}.site is not configured")
    answers = client.probe_all(base, request.service.endpoints, authority=environment.site_ca)
    found = reachability.unreached(request.platform.cloud, base, answers)
    if found:
        raise Unreachable(f"pages at {base}", found.why, "run it from a network that reaches them")
    return answers


def _schema(request: GatherRequest) -> SchemaRevision | None:
    """Read the database's revision and the pending ones; None without a database or revisions."""
    from ops.database_task import connect
    from ops.postgres import credentials, facts, pending, tunnel

    settings = request.platform.settings
    configured = settings.environment.database
    if configured is None:
        return None
    if "migrations" in request.skip:
        raise OpsError("skipped")
    if facts.scripts_folder(settings.root, configured.migrations) is None:
        return None
    if tunnel.by_task_only(settings):
        revision, way = connect.read_revision(request.platform, request.say), "by an ECS task"
    else:
        secret = credentials.read(request.platform.cloud, configured)
        parameters = facts.connection_parameters(configured, secret)
        with tunnel.open_route(settings, lambda: request.platform.cloud, parameters) as route:
            revision, way = facts.revision_at(route.parameters), route.way
    after = pending.heads_after(revision, settings.root, configured.migrations)
    return SchemaRevision(revision, after, way)


def image(request: GatherRequest, repository: Repository, tag: str) -> Image | None:
    """Read the tag in ECR, with the commit and architecture from its configuration.

    Both are empty if the registry does not return the configuration; `--tag` works without them.
    """
    from ops.aws import ecr
    from ops.tools import registry

    found = ecr.image(request.platform.cloud, ecr.place_of(repository), tag)
    if found is None:
        return None
    try:
        token = ecr.token(request.platform.cloud, repository.uri)
        config = registry.configuration(repository, found.digest, token)
    except OpsError as problem:
        request.say(
            f"the configuration of {repository.name}:{tag} could not be read: "
            f"{format_error(problem)}"
        )
        return found
    return replace(
        found,
        revision=config.revision,
        architecture=config.architecture or None,
        architectures=config.architectures,
    )


def image_of_commit(request: GatherRequest, repository: Repository, commit: Commit) -> Image | None:
    """Read the image of a commit in ECR: with its tag, or tagged with another length of its id.

    Another machine may have pushed it with its own abbreviation. The commit's label decides; a tag
    that is no commit id is not considered, since it may be an image of another kind.
    """
    from ops.aws import ecr

    found = image(request, repository, commit.short)
    if found is not None:
        return found
    listed = ecr.images(request.platform.cloud, ecr.place_of(repository))
    tags = [tag for each in listed for tag in each.tags if len(tag) >= SHORT_ID_LENGTH]
    for tag in (tag for tag in tags if commit.full.startswith(tag)):
        candidate = image(request, repository, tag)
        if candidate is not None and candidate.revision == commit.full:
            return candidate
    return None


def _secret(request: GatherRequest, wanted: Reference) -> frozenset[str] | None:
    """Return the names of a secret's keys (a parameter has none), or None if it is missing."""
    from ops.aws import s3, secrets

    cloud = request.platform.cloud
    if wanted.is_file:
        return frozenset() if s3.exists(cloud, wanted.source) else None
    if not wanted.is_parameter:
        return secrets.keys(cloud, wanted.source)
    return frozenset() if secrets.parameter_exists(cloud, wanted.source) else None


def _print_output(line: str) -> None:
    ui.progress(redact_lines([f"  {ui.plain(line)}"])[0])


def run_tests(request: GatherRequest) -> TestRun | Unknown | None:
    """Run the service's tests in its build context; None if it has none.

    An interrupt is not caught.
    """
    from ops.tools import shell

    command = request.service.tests
    if not command:
        return None
    what = f"tests of {request.name}: {' '.join(command)}"
    ui.detail(what)
    try:
        with step(what):
            ended = shell.run(
                command,
                cwd=request.platform.settings.source / request.service.context,
                timeout=_TESTS_TIMEOUT_S,
                on_line=_print_output if ui.details_wanted() else None,
            )
    except OpsError as problem:
        return Unknown(format_error(problem))
    lines = [line for line in ui.plain(ended.stdout + ended.stderr).split("\n") if line.strip()]
    tail = redact_lines(lines[-_TAIL_LINES:])
    return TestRun(tuple(command), ended.exit_code, "\n".join(tail))
