"""Causes in the image: not in ECR, expired, deleted, or built for another platform."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ops.aws.facts import TaskDefinition, TaskState
from ops.core.findings import Evidence, Finding, Unknown
from ops.diagnosis.facts import Incident, ServiceFact, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause
from ops.diagnosis.rules.tasks.stops import FailedStop, definition, stop_evidence, troubled

_PULL = (
    "image_missing",
    "image_denied",
    "image_pull_failed",
    "image_expired",
    "image_deleted",
    "service_unsteady",
    "no_targets",
)
_CODES = ("ECS-PULL-NOTFOUND", "ECS-PULL-403", "ECS-PULL")
_ARCHITECTURES = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}


@cause(
    "image_missing",
    layer="image",
    symptoms="ECS says: CannotPullContainerError … not found, or 403 Forbidden; ECR has no such "
    "tag, and nothing shows that it ever had.",
    cure="inv SERVICE.deploy (builds and pushes the tag), or inv SERVICE.rollback",
    explains=("image_denied", "image_pull_failed", "service_unsteady", "no_targets"),
)
def image_missing(incident: Incident) -> Iterator[Candidate]:
    """ECR has no image of that tag, and nothing shows that it had one."""
    for service, image, known, stops in _missing(incident):
        if _earlier(incident, service, image, known):
            continue
        gone = "" if known["repository"] else " (nor is its repository)"
        fix = (f"inv {service.name}.deploy", *service.rollback)
        yield Candidate(
            Finding(
                "image_missing",
                f"{service.name}: {known['name']}:{known['tag']} is not in ECR{gone}, and nothing "
                "shows that it ever was",
                "certain",
                (*_ecr_evidence(known), *map(stop_evidence, stops)),
                fix,
            ),
            service.name,
            "ECR does not have it, and no task or release ever used it, so it was not removed",
        )


@cause(
    "image_expired",
    layer="image",
    symptoms="A tag that ran before can no longer be pulled; its repository has a lifecycle "
    "policy that expires images.",
    cure="Deploy a tag that ECR still has, and let the policy keep what runs.",
    explains=_PULL,
)
def image_expired(incident: Incident) -> Iterator[Candidate]:
    """The image was in ECR, and a lifecycle policy expires images of its repository."""
    yield from _removed(incident, expires=True)


@cause(
    "image_deleted",
    layer="image",
    symptoms="A tag that ran before is not in ECR any more, and no lifecycle policy removed it.",
    cure="Deploy a tag that ECR still has, or build and push this one again.",
    explains=_PULL,
)
def image_deleted(incident: Incident) -> Iterator[Candidate]:
    """The image was in ECR and is gone, without a lifecycle policy."""
    yield from _removed(incident, expires=False)


def _removed(incident: Incident, expires: bool) -> Iterator[Candidate]:
    for service, image, known, stops in _missing(incident):
        earlier = _earlier(incident, service, image, known)
        lifecycle = known.get("lifecycle", "")
        rules = _expiry_rules(lifecycle or "")
        if not earlier or bool(rules) is not expires:
            continue
        name = f"{known['name']}:{known['tag']}"
        how, why = _removal(lifecycle, expires)
        because = f"the image ran before, so it had been pushed; {why}"
        policy = tuple(
            evidence(f"GetLifecyclePolicy {known['name']}", json.dumps(each)) for each in rules
        )
        yield Candidate(
            Finding(
                "image_expired" if expires else "image_deleted",
                f"{service.name}: the image {name} is no longer in ECR; {how}",
                "likely",
                (*_ecr_evidence(known), *policy, *earlier, *map(stop_evidence, stops)),
                (f"inv {service.name}.releases", f"inv {service.name}.deploy"),
            ),
            service.name,
            because,
        )


def _removal(lifecycle: str | None, expires: bool) -> tuple[str, str]:
    """How an image was probably removed, and why; `lifecycle` is None if it could not be read."""
    if expires:
        return "a lifecycle policy expired it", "the policy of its repository expires images"
    if lifecycle is None:
        return (
            "it was deleted, or a lifecycle policy expired it",
            "the lifecycle policy of its repository could not be read",
        )
    return "it was deleted", "its repository has no lifecycle policy that expires images"


@cause(
    "image_platform",
    layer="image",
    symptoms="ECS says: does not contain descriptor matching platform; or the log says: exec "
    "format error.",
    cure="Build the image for the task definition's CPU architecture.",
    explains=("service_unsteady", "container_exited", "exec_failed", "no_targets"),
)
def image_platform(incident: Incident) -> Iterator[Candidate]:
    """The platforms of the image in ECR lack that of the task definition."""
    for service, stops in troubled(incident):
        revision = definition(service)
        if revision is None:
            continue
        wanted = _ARCHITECTURES.get(
            (revision.document.get("runtimePlatform") or {}).get("cpuArchitecture") or "X86_64", ""
        )
        for image, known in _known_images(incident, revision):
            platforms = known.get("platforms")
            if wanted and platforms and wanted not in platforms:
                yield _other_platform(service, image, platforms, wanted, stops)


def _other_platform(
    service: ServiceFact,
    image: str,
    platforms: list[str],
    wanted: str,
    stops: tuple[FailedStop, ...],
) -> Candidate:
    built = ", ".join(platforms)
    return Candidate(
        Finding(
            "image_platform",
            f"{service.name}: the image is built for {built}, and the task runs on {wanted}",
            "certain",
            (
                evidence(f"manifest of {image}", f"platforms: {built}"),
                evidence("DescribeTaskDefinition runtimePlatform", wanted),
                *map(stop_evidence, stops),
            ),
            (f"inv {service.name}.build", f"inv {service.name}.deploy"),
        ),
        service.name,
        "the manifest in ECR has no image for the task's platform",
    )


def _missing(
    incident: Incident,
) -> Iterator[tuple[ServiceFact, str, Mapping[str, Any], tuple[FailedStop, ...]]]:
    """Images that ECR does not have, of services with pulls that failed."""
    for service, stops in troubled(incident):
        pulls = tuple(each for each in stops if each.cause.code in _CODES)
        revision = definition(service)
        if not pulls or revision is None:
            continue
        for image, known in _known_images(incident, revision):
            if known["repository"] is None or known.get("image") is None:
                yield service, image, known, pulls


def _known_images(
    incident: Incident, revision: TaskDefinition
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = incident.content("ecr/images") or {}
    for container in revision.containers:
        image = container.get("image", "")
        if image in found:
            yield image, found[image]


def _ecr_evidence(known: Mapping[str, Any]) -> Iterable[Evidence]:
    if known["repository"] is None:
        yield evidence("DescribeRepositories", f"{known['name']}: RepositoryNotFoundException")
    else:
        yield evidence("DescribeImages", f"{known['name']}:{known['tag']}: ImageNotFoundException")


def _earlier(
    incident: Incident, service: ServiceFact, image: str, known: Mapping[str, Any]
) -> tuple[Evidence, ...]:
    """What shows that this image was in ECR: tasks that run it, releases that succeeded."""
    return (
        *_tasks_with(image, service.running),
        *_tasks_with(image, service.stopped),
        *_releases_with(incident, service, known.get("tag", "")),
    )[:3]


def _tasks_with(image: str, tasks: tuple[TaskState, ...] | Unknown) -> Iterator[Evidence]:
    for task in () if isinstance(tasks, Unknown) else tasks:
        for each in task.containers:
            if each.image == image and each.digest:
                yield evidence(
                    f"DescribeTasks {task.id} containers[{each.name}].imageDigest", each.digest
                )


def _releases_with(incident: Incident, service: ServiceFact, tag: str) -> Iterator[Evidence]:
    for record in (incident.content("releases") or {}).get(service.name) or ():
        if tag and record.get("tag") == tag and record.get("verdict") == "succeeded":
            yield evidence(
                f"release record of {service.name}",
                f"tag {tag} succeeded",
                record.get("digest") or "",
                at=str(record.get("finished_at") or record.get("at") or ""),
            )


def _expiry_rules(policy: str) -> list[dict[str, Any]]:
    """The rules of a lifecycle policy that expire images."""
    try:
        rules = json.loads(policy).get("rules") or [] if policy else []
    except (ValueError, AttributeError):
        return []
    return [each for each in rules if (each.get("action") or {}).get("type") == "expire"]
