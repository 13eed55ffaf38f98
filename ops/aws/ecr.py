"""ECR: repositories, images and the twelve-hour token for its registry."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ops.aws.facts import Image, Repository
from ops.aws.session import AwsSession
from ops.core.errors import Unreachable
from ops.core.redaction.redact import known


@dataclass(frozen=True)
class Token:
    """Basic credentials for a registry; the password never appears in a repr.

    `registry` is the host, with its port if it has one. The password is in no repr, log or argument
    list.
    """

    username: str
    registry: str
    password: str = field(repr=False)


def repository(cloud: AwsSession, name: str) -> Repository | None:
    """Describe a repository (ecr:DescribeRepositories); None if it does not exist."""
    client = cloud.client("ecr")
    with cloud.translated(f"repository {name} (ecr:DescribeRepositories)"):
        try:
            answer = client.describe_repositories(repositoryNames=[name])
        except client.exceptions.RepositoryNotFoundException:
            return None
        found = answer["repositories"][0]
        immutable = found["imageTagMutability"].startswith("IMMUTABLE")
        return Repository(found["repositoryName"], found["repositoryUri"], immutable)


def image(cloud: AwsSession, repository_name: str, tag: str) -> Image | None:
    """Describe the image with `tag` (ecr:DescribeImages).

    None if the tag or the repository does not exist. The size is in bytes, compressed.
    """
    client = cloud.client("ecr")
    with cloud.translated(f"image {repository_name}:{tag} (ecr:DescribeImages)"):
        try:
            answer = client.describe_images(
                repositoryName=repository_name, imageIds=[{"imageTag": tag}]
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


def images(cloud: AwsSession, repository_name: str, limit: int = 100) -> tuple[Image, ...]:
    """List the tagged images of a repository, most recently pushed first (ecr:DescribeImages).

    See the runbook, section 6, "Identify previous working image tag".
    """
    with cloud.translated(f"images of {repository_name} (ecr:DescribeImages)"):
        pages = (
            cloud.client("ecr")
            .get_paginator("describe_images")
            .paginate(
                repositoryName=repository_name,
                filter={"tagStatus": "TAGGED"},
                PaginationConfig={"MaxItems": limit},
            )
        )
        found = [detail for page in pages for detail in page["imageDetails"]]
        listed = [
            Image(
                detail["imageDigest"],
                detail["imageTags"][0],
                detail.get("imageSizeInBytes", 0),
                detail.get("imagePushedAt"),
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


def token(cloud: AwsSession) -> Token:
    """Request credentials for push and pull (ecr:GetAuthorizationToken), valid for twelve hours."""
    what = "registry token (ecr:GetAuthorizationToken)"
    with cloud.translated(what):
        answer = cloud.client("ecr").get_authorization_token()
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
