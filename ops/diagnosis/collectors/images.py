"""Evidence from ECR: the images of services that are not steady, and their repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ops.aws import ecr
from ops.aws.facts import EcrUri, Repository, TaskDefinitionArn
from ops.aws.session import code
from ops.core.errors import OpsError
from ops.diagnosis.collectors.registry import Reader, collector
from ops.tools import registry

_NO_POLICY = ("LifecyclePolicyNotFoundException", "RepositoryPolicyNotFoundException")


@collector(
    "ecr/images",
    "ecr:DescribeRepositories, ecr:DescribeImages, ecr:GetLifecyclePolicy, "
    "ecr:GetRepositoryPolicy, ecr:GetAuthorizationToken, ecr:BatchGetImage, "
    "ecr:GetDownloadUrlForLayer",
)
def images(reader: Reader) -> Any:
    """Image reference → its repository, the image in ECR or None, its platforms, and the policies.

    Only of services that are not steady, and only images of an ECR registry.
    """
    named = sorted(set(_images(reader)))
    return reader.read_each({each: partial(_image, reader, each) for each in named})


def unsteady(service: Mapping[str, Any] | None) -> bool:
    """Whether a service lacks tasks, or its newest deployment is not completed."""
    if not service or service.get("status") == "INACTIVE":
        return False
    newest = _newest(service)
    return bool(
        service["runningCount"] < service["desiredCount"]
        or newest.get("rolloutState") in ("IN_PROGRESS", "FAILED")
    )


def _newest(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest deployment; empty for a service of another deployment controller than ECS."""
    found = (each for each in service["deployments"] if each["status"] == "PRIMARY")
    return next(found, {})


def newest_definitions(reader: Reader) -> Iterator[dict[str, Any]]:
    """The newest deployment's task definition of every service that is not steady."""
    definitions = reader.content("ecs/task-definitions")
    for service in reader.content("ecs/services").values():
        if unsteady(service) and (newest := _newest(service)):
            label = TaskDefinitionArn(newest["taskDefinition"]).label
            if label in definitions:
                yield definitions[label]["taskDefinition"]


def _images(reader: Reader) -> Iterator[str]:
    for definition in newest_definitions(reader):
        yield from (each["image"] for each in definition["containerDefinitions"])


def _image(reader: Reader, image: str) -> dict[str, Any] | None:
    """Describe one image; None if it is of another registry."""
    host, _, rest = image.partition("/")
    name, tag, digest = _parts(rest)
    elsewhere = EcrUri.parse(image)
    cloud = reader.cloud.in_region(elsewhere.region) if elsewhere else reader.cloud
    client = cloud.client("ecr")
    owner = {"registryId": elsewhere.account} if elsewhere else {}
    try:
        found = client.describe_repositories(repositoryNames=[name], **owner)["repositories"][0]
    except client.exceptions.RepositoryNotFoundException:
        return {"repository": None, "name": name, "tag": tag} if elsewhere else None
    if elsewhere is None and found["repositoryUri"] != f"{host}/{name}":
        return None
    known: dict[str, Any] = {
        "repository": found,
        "name": name,
        "tag": tag,
        "image": _detail(client, name, tag, digest, owner),
        "lifecycle": _policy(client.get_lifecycle_policy, name, owner),
        "policy": _policy(client.get_repository_policy, name, owner),
    }
    if known["image"] and not _is_foreign(reader, elsewhere):
        known["platforms"] = _platforms(cloud, found, digest or tag)
    return known


def _is_foreign(reader: Reader, elsewhere: EcrUri | None) -> bool:
    """Whether the image is of another account, whose registry our login may not read."""
    return elsewhere is not None and elsewhere.account != reader.environment.account


def _parts(rest: str) -> tuple[str, str, str]:
    """Name, tag and digest of a reference without its host."""
    path, _, digest = rest.partition("@")
    name, _, tag = path.partition(":")
    return name, tag or ("" if digest else "latest"), digest


def _detail(client: Any, name: str, tag: str, digest: str, owner: dict[str, str]) -> Any:
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag}
    try:
        answer = client.describe_images(repositoryName=name, imageIds=[wanted], **owner)
    except client.exceptions.ImageNotFoundException:
        return None
    return answer["imageDetails"][0]


def _policy(read: Callable[..., Mapping[str, Any]], name: str, owner: dict[str, str]) -> str | None:
    """The text of a policy of a repository; "" if there is none, None if it may not be read."""
    from botocore.exceptions import ClientError

    try:
        answer = read(repositoryName=name, **owner)
    except ClientError as error:
        return "" if code(error) in _NO_POLICY else None
    return str(answer.get("lifecyclePolicyText") or answer.get("policyText") or "")


def _platforms(cloud: Any, found: Mapping[str, Any], reference: str) -> list[str] | None:
    """The platforms of an image, or None if its manifest could not be read."""
    repository = Repository(found["repositoryName"], found["repositoryUri"], False)
    try:
        return list(registry.platforms(repository, reference, ecr.token(cloud)))
    except OpsError:
        return None
