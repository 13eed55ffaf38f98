"""ECR: repositories, images and the twelve-hour token for its registry."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ops.aws.facts import EcrUri, Image, Repository
from ops.aws.session import AwsSession
from ops.core.errors import Unreachable
from ops.core.redaction.redact import known

_PAGE_SIZE = 1000  # the most that ECR returns at once


@dataclass(frozen=True)
class Token:
    """Basic credentials for a registry; the password never appears in a repr.

    `registry` is the host, with its port if it has one. The password is in no repr, log or argument
    list.
    """

    username: str
    registry: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class _Place:
    """A repository in its registry: the session of its Region, its name, and `registryId`."""

    cloud: AwsSession
    name: str
    registry: Mapping[str, str]

    @classmethod
    def of(cls, cloud: AwsSession, repository: str) -> _Place:
        """The place of a repository's name, or of its URI in another account or Region."""
        found = EcrUri.parse(repository)
        if found is None:
            return cls(cloud, repository, {})
        return cls(cloud.in_region(found.region), found.name, {"registryId": found.account})


def repository_name(repository: str) -> str:
    """The name of a repository that is configured by its name or its URI."""
    found = EcrUri.parse(repository)
    return found.name if found else repository


def place_of(repository: Repository) -> str:
    """The URI of a repository in ECR; its name where another registry stands in for ECR."""
    return repository.uri if EcrUri.parse(repository.uri) else repository.name


def repository(cloud: AwsSession, name: str) -> Repository | None:
    """Describe a repository (ecr:DescribeRepositories); None if it does not exist.

    `name`: its name, or its URI if it is in another account or Region; "" is no repository.
    """
    if not name:
        return None
    place = _Place.of(cloud, name)
    client = place.cloud.client("ecr")
    with cloud.translated(f"repository {name} (ecr:DescribeRepositories)"):
        try:
            answer = client.describe_repositories(repositoryNames=[place.name], **place.registry)
        except client.exceptions.RepositoryNotFoundException:
            return None
        found = answer["repositories"][0]
        # an unknown kind is not taken for tags that may move
        immutable = not found["imageTagMutability"].startswith("MUTABLE")
        exclusions = found.get("imageTagMutabilityExclusionFilters") or ()
        return Repository(
            found["repositoryName"],
            found["repositoryUri"],
            immutable,
            tuple(each["filter"] for each in exclusions),
        )


def image(cloud: AwsSession, repository_name: str, tag: str) -> Image | None:
    """Describe the image with `tag` (ecr:DescribeImages).

    None if the tag or the repository does not exist. The size is in bytes, compressed.
    """
    if not repository_name:
        return None
    place = _Place.of(cloud, repository_name)
    client = place.cloud.client("ecr")
    with cloud.translated(f"image {repository_name}:{tag} (ecr:DescribeImages)"):
        try:
            answer = client.describe_images(
                repositoryName=place.name, imageIds=[{"imageTag": tag}], **place.registry
            )
        except (
            client.exceptions.ImageNotFoundException,
            client.exceptions.RepositoryNotFoundException,
        ):
            return None
        found = answer["imageDetails"][0]
        return Image(
            found["imageDigest"], tag, found.get("imageSizeInBytes", 0), found.get("imagePushedAt")
        )


def images(cloud: AwsSession, repository_name: str) -> tuple[Image, ...]:
    """List all tagged images of a repository, most recently pushed first (ecr:DescribeImages).

    ECR returns them in no order, so every page is read: an image that is not listed does not exist.
    See the runbook, section 6, "Identify previous working image tag".
    """
    if not repository_name:
        return ()
    place = _Place.of(cloud, repository_name)
    with cloud.translated(f"images of {repository_name} (ecr:DescribeImages)"):
        pages = (
            place.cloud.client("ecr")
            .get_paginator("describe_images")
            .paginate(
                repositoryName=place.name,
                **place.registry,
                filter={"tagStatus": "TAGGED"},
                PaginationConfig={"PageSize": _PAGE_SIZE},
            )
        )
        found = [detail for page in pages for detail in page["imageDetails"]]
        listed = [
            Image(
                detail["imageDigest"],
                detail["imageTags"][0],
                detail.get("imageSizeInBytes", 0),
                detail.get("imagePushedAt"),
                tags=tuple(detail["imageTags"]),
            )
            for detail in found
        ]
    return tuple(
        sorted(
            listed,
            key=lambda image: image.pushed_at.timestamp() if image.pushed_at else 0.0,
            reverse=True,
        )
    )


def token(cloud: AwsSession, repository: str = "") -> Token:
    """Request credentials for push and pull (ecr:GetAuthorizationToken), valid for twelve hours.

    They are for the Region of `repository`, a name or URI, and for every registry in it that the
    caller may use.
    """
    what = "registry token (ecr:GetAuthorizationToken)"
    with cloud.translated(what):
        answer = _Place.of(cloud, repository).cloud.client("ecr").get_authorization_token()
    try:
        given = answer["authorizationData"][0]
        username, _, password = (
            base64.b64decode(given["authorizationToken"], validate=True).decode().partition(":")
        )
    except (LookupError, binascii.Error, UnicodeDecodeError) as error:
        raise Unreachable(
            what, f"the answer holds no token ({type(error).__name__})", "run it again"
        ) from None
    known.add(password)
    return Token(username, urlsplit(given.get("proxyEndpoint", "")).netloc, password)
