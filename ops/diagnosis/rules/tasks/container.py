"""Causes in the containers: a missing variable, a side container, a health check's program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ops.aws.facts import ContainerState, TaskDefinition
from ops.core.findings import Evidence, Finding, Unknown
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.tasks.stops import FailedStop, definition, stop_evidence, troubled
from ops.ecs.rules.stop_diagnosis import responsible_container

_CONSEQUENCES = ("service_unsteady", "target_unhealthy", "target_port", "no_targets", "log_errors")
_NAME = r"(?P<name>[A-Z][A-Z0-9]*_[A-Z0-9_]*|[A-Z][A-Z0-9]{3,})"
_MISSING = tuple(
    re.compile(pattern)
    for pattern in (
        rf"KeyError: ['\"]{_NAME}['\"]",
        rf"[Mm]issing (?:required )?(?:environment|env) (?:variable|var)s?:? ['\"`]?{_NAME}\b",
        rf"[Ee]nvironment variable ['\"`]?{_NAME}['\"`]? (?:is |was )?"
        r"(?:not |undefined|missing|required|empty)",
        rf"['\"`]?\b(?:process\.env\.)?{_NAME}['\"`]? (?:environment variable )?"
        r"(?:is|was|must be) (?:not set|not defined|undefined|missing|required|set\b)",
        rf"required key {_NAME} missing value",
        rf"\b{_NAME}: (?:parameter not set|unbound variable)",
        rf"Could not resolve placeholder ['\"]{_NAME}['\"]",
        rf"Set the {_NAME} environment variable",
    )
)
_FETCHERS = ("curl", "wget")  # that slim images lack
_KILLED = (137, 143)
_LEVELS = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL")


@cause(
    "environment_missing",
    layer="container",
    symptoms="A container exits at start; its log names a variable that is not set.",
    cure="Set the variable in the task definition (environment or secrets), or: inv "
    "SERVICE.rollback",
    explains=("container_exited", *_CONSEQUENCES),
)
def environment_missing(incident: Incident) -> Iterator[Candidate]:
    """The log of a container that exited names a variable that its definition does not set."""
    for service, stops in troubled(incident):
        revision = definition(service)
        if revision is None:
            continue
        by_name: dict[str, list[Evidence]] = {}
        for stop in stops:
            if not stop.cause.reason.by_itself or stop.cause.exit_code in (None, 0, *_KILLED):
                continue
            for line in service.logs.get(stop.task.id, ()):
                name = _missing_name(line)
                if name and name not in _names(revision):
                    container = stop.cause.container or service.container
                    by_name.setdefault(name, []).append(evidence(f"log of {container}", line))
        for name, lines in by_name.items():
            yield _missing_variable(service, revision, name, lines)


def _missing_variable(
    service: ServiceFact, revision: TaskDefinition, name: str, lines: Sequence[Evidence]
) -> Candidate:
    previous = service.previous
    had = previous is not None and name in _names(previous)
    compared = (
        (evidence(f"DescribeTaskDefinition {previous.label}", f"sets {name}"),)
        if previous and had
        else ()
    )
    lacks = evidence(
        f"DescribeTaskDefinition {revision.label}",
        f"sets {', '.join(sorted(_names(revision))) or 'no variable'}",
    )
    before = f", which {previous.label} set" if previous and had else ""
    return Candidate(
        Finding(
            "environment_missing",
            f"{service.name}: the container exits because {name} is not set in "
            f"{revision.label}{before}",
            "certain" if had else "likely",
            (*lines, lacks, *compared),
            service.rollback,
        ),
        service.name,
        "the log names the variable, and the task definition does not set it",
    )


def _missing_name(line: str) -> str:
    for pattern in _MISSING:
        if found := pattern.search(line):
            return "" if found["name"] in _LEVELS else str(found["name"])
    return ""


def _names(revision: TaskDefinition) -> set[str]:
    """The variables that any container of a revision is given."""
    return {
        str(each["name"])
        for container in revision.containers
        for each in (*(container.get("environment") or ()), *(container.get("secrets") or ()))
    }


@cause(
    "sidecar_exited",
    layer="container",
    symptoms="Tasks stop with: Essential container in task exited; it was another container than "
    "the service's.",
    cure="See the side container's log; correct it, or set essential to false.",
    explains=("container_exited", *_CONSEQUENCES),
)
def sidecar_exited(incident: Incident) -> Iterator[Candidate]:
    """An essential container other than the service's ended first, and took the task down."""
    for service, stops in troubled(incident):
        for stop in stops:
            ended = _side_container(service, stop)
            if ended is None:
                continue
            own = stop.task.container(service.container)
            lines = service.logs.get(stop.task.id, ())
            yield Candidate(
                Finding(
                    "sidecar_exited",
                    f"{service.name}: the essential side container {ended.name} exits (exit code "
                    f"{ended.exit_code}) and takes the task down",
                    "certain" if ended.exit_code else "likely",
                    (
                        evidence(
                            f"DescribeTasks containers[{ended.name}].exitCode", ended.exit_code
                        ),
                        *_own_code(own),
                        stop_evidence(stop),
                        *(evidence(f"log of {ended.name}", line) for line in lines),
                    ),
                    service.rollback,
                ),
                service.name,
                f"the container {service.container} did not fail: it was stopped with the task",
            )


def _own_code(own: ContainerState | None) -> tuple[Evidence, ...]:
    if own is None or own.exit_code is None:
        return ()
    return (evidence(f"DescribeTasks containers[{own.name}].exitCode", own.exit_code),)


def _side_container(service: ServiceFact, stop: FailedStop) -> ContainerState | None:
    """The side container that ended by itself, if the service's own container did not."""
    if not stop.cause.reason.by_itself:
        return None
    own = stop.task.container(service.container)
    ended = responsible_container(stop.task, service.container)
    if own is None or ended is None or ended.name == service.container:
        return None
    if own.exit_code not in (None, 0, *_KILLED) or ended.exit_code in (None, *_KILLED):
        return None
    if ended.exit_code == 0 and own.exit_code not in _KILLED:
        return None
    return ended if _is_essential(service, ended.name) else None


def _is_essential(service: ServiceFact, name: str) -> bool:
    revision = definition(service)
    found = revision.container(name) if revision else None
    return found is not None and found.get("essential") is not False


@cause(
    "health_check_program",
    layer="container",
    symptoms="Tasks stop with: Task failed container health checks; the command uses curl or wget, "
    "which slim images lack.",
    cure="Use a program that the image has (its own interpreter), or install curl in the image.",
    explains=("container_unhealthy", "service_unsteady", "no_targets"),
)
def health_check_program(incident: Incident) -> Iterator[Candidate]:
    """The health check of a container uses a program that its image probably lacks."""
    for service, stops in troubled(incident):
        failed = [each for each in stops if each.cause.code == "ECS-CHC"]
        revision = definition(service)
        if not failed or revision is None:
            continue
        for container in revision.containers:
            command = [str(each) for each in _health_check(container).get("command") or ()]
            program = _fetcher(command)
            if program:
                yield _no_program(service, container["name"], program, command, failed)


def _health_check(container: Any) -> dict[str, Any]:
    return dict(container.get("healthCheck") or {})


def _no_program(
    service: ServiceFact, container: str, program: str, command: list[str], stops: list[FailedStop]
) -> Candidate:
    missing = _complaints(service, program, stops)
    answers = _answering_targets(service)
    because = (
        f"the output says that {program} is not in the image"
        if missing
        else "the load balancer's health check passes on the same tasks, so the application "
        "answers and only the command fails"
        if answers
        else f"{program} is not in slim images; ECS keeps no output of health checks"
    )
    return Candidate(
        Finding(
            "health_check_program",
            f"{service.name}: the health check of container {container} runs {program}, "
            + ("which the image lacks" if missing else "which the image probably lacks"),
            "certain" if missing else "likely" if answers else "possible",
            (
                evidence(
                    f"DescribeTaskDefinition containers[{container}].healthCheck.command",
                    " ".join(command),
                ),
                *missing,
                *answers,
                *map(stop_evidence, stops),
            ),
            service.rollback,
        ),
        service.name,
        because,
    )


def _fetcher(command: list[str]) -> str:
    """The program of a health check command if it is one that slim images lack, else ""."""
    if not command or command[0] == "NONE":
        return ""
    words = re.findall(r"[\w./-]+", " ".join(command[1:]))
    names = [word.rpartition("/")[2] for word in words]
    if command[0] == "CMD":
        names = names[:1]
    return next((name for name in names if name in _FETCHERS), "")


def _complaints(service: ServiceFact, program: str, stops: list[FailedStop]) -> list[Evidence]:
    """Log lines and reasons that say that the program does not exist."""
    pattern = re.compile(
        rf"\b{program}: (?:command )?not found|['\"]?{program}['\"]?: executable file not found"
    )
    lines = [line for stop in stops for line in service.logs.get(stop.task.id, ())]
    texts = [each for stop in stops for each in stop.texts]
    return [evidence("log", line) for line in lines if pattern.search(line)] + [
        evidence("DescribeTasks containers[].reason", text)
        for text in texts
        if pattern.search(text)
    ]


def _answering_targets(service: ServiceFact) -> list[Evidence]:
    """Healthy targets that are tasks of the newest revision."""
    revision = definition(service)
    if isinstance(service.running, Unknown) or revision is None:
        return []
    addresses = {task.address for task in service.running if task.task_definition == revision.arn}
    return [
        evidence(f"DescribeTargetHealth {target.id}:{target.port}", target.state)
        for group in service.target_groups
        if not isinstance(group.targets, Unknown)
        for target in group.targets
        if target.state == "healthy" and target.id in addresses
    ]
