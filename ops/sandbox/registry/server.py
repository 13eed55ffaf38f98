"""The registry front: an OCI distribution endpoint (/v2/) in front of ECR.

Emulates Amazon ECR's Docker endpoint: Basic login `AWS:<token>`, repositories that must exist
before the first upload, immutable tags, blobs scoped by repository, digests verified, a push
visible in ECR (PutImage), and images deleted in ECR unavailable to pulls at once. As in ECR, an
immutable tag is rejected even for the digest that it already refers to (aws/containers-roadmap
issue 2179), so clients check before pushing again; a mutable tag silently accepts the same digest
again.

Differs: plain HTTP on loopback; blobs are served from here (ECR redirects to S3); a mount from
another repository is never granted (the client uploads, as with ECR's blob mounting off); no
referrers, no layer-part limits, no replication; blobs are never garbage-collected. With an upstream
registry (`--registry`, upstream.py), that one stores layers and manifests, while ECR's rules are
still enforced here.
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from ops.sandbox.contracts import Component, EcrBackend
from ops.sandbox.registry import errors
from ops.sandbox.registry.oci import parse_manifest
from ops.sandbox.registry.routes import route
from ops.sandbox.registry.state import RegistryCall, RegistryState
from ops.sandbox.registry.store import Blobs, Pushed, Repositories
from ops.sandbox.registry.uploads import TooMuchError, Uploads
from ops.sandbox.registry.upstream import Upstream
from ops.sandbox.registry.upstream_routes import UpstreamRoutes
from ops.sandbox.wsgi import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LOG = logging.getLogger("sandbox.registry")


class Registry:
    """The WSGI application. `root` is the registry's folder (Paths.images / "registry")."""

    def __init__(self, root: Path, ecr: EcrBackend, upstream: Upstream | None = None) -> None:
        blobs = Blobs(root)
        blobs.forget_unfinished()
        blobs.drop_damaged()
        self.overrides = UpstreamRoutes(upstream).overrides if upstream else {}
        self.state = RegistryState(blobs, Repositories(root), Uploads(blobs), ecr, threading.Lock())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = self._answer(Request(environ))
        response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            challenge = self._login(request)
            return challenge or route(RegistryCall(self.state, request), self.overrides)
        except errors.RefusalError as refusal:
            return refusal.response()
        except TooMuchError as error:
            return errors.too_large(str(error)).response()
        except Exception as error:  # the client must get an answer; the log gets the trace
            _LOG.exception("%s %s", request.method, request.path)
            return errors.broken(str(error) or type(error).__name__).response()

    def _login(self, request: Request) -> Response | None:
        """Return None for a valid token, or the challenge for a missing one.

        Raises RefusalError for an expired or foreign token.
        """
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            challenge = f'Basic realm="{request.host_url}",service="ecr.amazonaws.com"'
            return Response("Not Authorized\n", status=401, headers={"WWW-Authenticate": challenge})
        try:
            user, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise errors.token_expired() from None
        if user != "AWS" or not self.state.ecr.authorized(token):
            raise errors.token_expired()
        return None


def serve_registry(
    root: Path, ecr: EcrBackend, port: int, upstream: Upstream | None = None
) -> Component:
    """Start the registry front on 127.0.0.1:`port`, with its state in `root`.

    `root` is Paths.images / "registry"; `upstream` is a real registry to store images in. Raises
    OSError if the port is taken.
    """
    return serve("registry", Registry(root, ecr, upstream), port)


def tell_again(
    root: Path,
    put: Callable[[str, str, str, bytes, str, int], None],
    upstream: Upstream | None = None,
) -> int:
    """Record every image ever pushed in a new ECR; return how many.

    Calls `put(name, tag, digest, manifest, media_type, size)` for each tag. Damaged images, and
    those missing in the upstream registry, are left out and built again. Raises NoRegistryError.
    """
    blobs, told = Blobs(root), 0
    for name, tag, pushed in Repositories(root).every():
        if blobs.has(pushed.digest) and (
            upstream.holds(name, pushed.digest) if upstream else _is_whole(blobs, pushed)
        ):
            put(name, tag, pushed.digest, blobs.read(pushed.digest), pushed.media_type, pushed.size)
            told += 1
    return told


def _is_whole(blobs: Blobs, pushed: Pushed) -> bool:
    """Whether all blobs of an image exist and none is truncated."""
    found = parse_manifest(blobs.read(pushed.digest), pushed.media_type)
    needed = [*([found.config] if found.config else []), *found.layers, *found.children]
    checked = [blobs.check(each.digest, each.size) for each in needed if not each.foreign]
    return all(checked)
