"""ECR: expiring tokens, repositories at the sandbox's registry, and pushed images.

Emulates: GetAuthorizationToken (random, 12 hours, plain `http` proxy endpoint), `repositoryUri` on
the registry's port, immutable tags rejected as ImageTagAlreadyExistsException, image size as the
sum of config and layers. Differs from ECR: tokens are lost when the sandbox stops, exclusion
filters of tag mutability count as immutable, a moved tag leaves its former image untagged, and
lifecycle policies are stored but never run.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any

from moto.ecr.exceptions import ImageAlreadyExistsException
from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends
from moto.ecr.responses import ECRResponse

from ops.sandbox.aws.overrides import answer, computed, original, replace
from ops.sandbox.contracts import ACCOUNT, REGION, EcrRepository

_TOKEN_LIFE = 12 * 3600.0


class Ecr:
    """The ECR API, and the backend of the registry front (`EcrBackend`)."""

    def __init__(self, registry_port: int) -> None:
        self.registry = f"127.0.0.1:{registry_port}"
        self._lock = threading.RLock()
        self._tokens: dict[str, float] = {}

    def install(self) -> None:
        answer(ECRResponse, "get_authorization_token", self._hand_out_token)
        computed(Repository, "uri", lambda repository: f"{self.registry}/{repository.name}")
        measured = original(Image, "image_size_in_bytes")
        replace(
            Image,
            "image_size_in_bytes",
            property(lambda image: getattr(image, "pushed_size", None) or measured.fget(image)),
        )
        replace(ECRBackend, "put_image", _put_image)

    def _hand_out_token(self, response: Any) -> dict[str, Any]:
        token, expires = secrets.token_urlsafe(48), time.time() + _TOKEN_LIFE
        with self._lock:
            self._tokens = {
                known: until for known, until in self._tokens.items() if until > time.time()
            }
            self._tokens[token] = expires
        return {
            "authorizationData": [
                {
                    "authorizationToken": base64.b64encode(f"AWS:{token}".encode()).decode(),
                    "expiresAt": datetime.fromtimestamp(expires, UTC),
                    "proxyEndpoint": f"http://{self.registry}",
                }
            ]
        }

    def authorized(self, token: str) -> bool:
        with self._lock:
            return self._tokens.get(token, 0.0) > time.time()

    def repository(self, name: str) -> EcrRepository | None:
        found = self._find(name)
        return None if found is None else EcrRepository(name, found.is_tag_immutable())

    def digest(self, name: str, tag: str) -> str | None:
        with self._lock:
            return next(
                (
                    str(image.image_digest)
                    for image in self._images(name)
                    if tag in image.image_tags
                ),
                None,
            )

    def has_image(self, name: str, digest: str) -> bool:
        with self._lock:
            return any(image.image_digest == digest for image in self._images(name))

    def put_image(
        self, name: str, tag: str | None, digest: str, manifest: bytes, media_type: str, size: int
    ) -> None:
        """Record an image (PutImage); repeating a tag with the same digest changes nothing.

        Raises moto's ServiceException if an immutable tag would move.
        """
        with self._lock:
            if tag is not None and self.digest(name, tag) == digest:
                return
            if tag is None and self.has_image(name, digest):
                return
            image = _put_image(
                ecr_backends[ACCOUNT][REGION], name, manifest.decode(), tag, media_type, digest
            )
            image.pushed_size = size

    def _find(self, name: str) -> Any:
        return ecr_backends[ACCOUNT][REGION].repositories.get(name)

    def _images(self, name: str) -> list[Any]:
        found = self._find(name)
        return [] if found is None else list(found.images)


def _put_image(
    backend: Any,
    name: str,
    manifest: str,
    tag: str | None,
    media_type: str | None = None,
    digest: str | None = None,
) -> Any:
    """Answer PutImage, rejecting changes of immutable tags as ECR does."""
    repository = backend._get_repository(name)
    digest = (
        digest or f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    )  # moto makes one up
    holder = next(
        (image for image in repository.images if tag is not None and tag in image.image_tags), None
    )
    if holder is not None and repository.is_tag_immutable() and holder.image_digest != digest:
        raise _tag_exists(name, str(tag), holder.image_digest)
    if holder is not None and holder.image_digest != digest:
        holder.remove_tag(tag)
    same = next((image for image in repository.images if image.image_digest == digest), None)
    if same is not None and tag is not None and tag not in same.image_tags:
        same.update_tag(tag)
        return same
    return original(ECRBackend, "put_image")(backend, name, manifest, tag, media_type, digest)


def _tag_exists(name: str, tag: str, digest: str) -> Exception:
    """Return the exception for an existing immutable tag.

    moto derives an error's shape from the module of its class, so one of ECR's own classes is given
    the right code.
    """
    failure: Any = ImageAlreadyExistsException(name, ACCOUNT, digest, tag)
    failure.code = "ImageTagAlreadyExistsException"
    failure.message = (
        f"The image tag '{tag}' already exists in the '{name}' repository and cannot be "
        f"overwritten because the tag is immutable."
    )
    refusal: Exception = failure
    return refusal
