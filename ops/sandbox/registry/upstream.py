"""A real registry behind the front (`--engine docker --registry HOST:PORT`).

It stores the layers and manifests, while the front still enforces ECR's rules: the login, missing
repositories, existing immutable tags, deleted images. All other requests are forwarded, and the
registry's answers, including errors, are returned. Differs from the front alone: the front keeps a
copy of each manifest (to restore ECR from), never of a layer.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from werkzeug.wrappers import Request, Response

from ops.sandbox.engine.registry_client import is_loopback
from ops.sandbox.registry.uploads import CHUNK

_PLACE = re.compile(r"[A-Za-z0-9.-]+:\d+\Z")
_TIMEOUT = 60.0
_ASKED = ("Accept", "Content-Type", "Content-Length", "Content-Range", "Range")
_ANSWERED = (
    "Content-Type",
    "Content-Length",
    "Docker-Content-Digest",
    "Docker-Upload-UUID",
    "Range",
    "Content-Range",
)
_ANOTHERS = {
    "mount",
    "from",
}  # a blob of another repository is never granted here, as where ECR's blob mounting is off


class NoRegistryError(Exception):
    """The registry is missing or unsuitable; the text is the reason."""


@dataclass(frozen=True)
class Upstream:
    """A plain registry (distribution API, no login) at `place`, `host:port` on loopback."""

    place: str

    @classmethod
    def at(cls, place: str) -> Upstream:
        """Return the registry at `place` after a check that it is one. Raises NoRegistryError."""
        if not _PLACE.match(place) or not is_loopback(place):
            raise NoRegistryError(
                "a registry on this machine is named by its address: 127.0.0.1:5000"
            )
        upstream = cls(place)
        with upstream.ask("GET", "/v2/") as answer:
            if answer.status != 200:
                raise NoRegistryError(
                    f"{place} answers {answer.status} to GET /v2/: it is no registry, or "
                    f"it wants a login"
                )
        return upstream

    def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
    ) -> http.client.HTTPResponse:
        """Send one request; return the answer, to be closed.

        Raises NoRegistryError without an answer.
        """
        connection = http.client.HTTPConnection(self.place, timeout=_TIMEOUT)
        try:
            connection.request(method, target, body, {**(headers or {}), "Connection": "close"})
            return connection.getresponse()
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | http.client.HTTPException):
                raise NoRegistryError(
                    f"the registry {self.place} does not answer: {error or type(error).__name__}"
                ) from error
            raise

    def holds(self, name: str, digest: str) -> bool:
        """Whether the registry has this manifest."""
        with self.ask("HEAD", f"/v2/{name}/manifests/{digest}", {"Accept": "*/*"}) as answer:
            return answer.status == 200

    def forward(
        self, request: Request, path: str | None = None, body: bytes | None = None
    ) -> Response:
        """Forward the request and return the answer, with locations pointing to this front.

        `path` and `body` replace the request's own if given.
        """
        query = urlencode(
            [each for each in request.args.items(multi=True) if each[0] not in _ANOTHERS]
        )
        headers = {name: request.headers[name] for name in _ASKED if request.headers.get(name)}
        sends = request.method in ("POST", "PUT", "PATCH")
        sent = (
            body
            if body is not None
            else iter(lambda: request.stream.read(CHUNK), b"")
            if sends
            else None
        )
        answer = self.ask(
            request.method,
            quote(path or request.path) + (f"?{query}" if query else ""),
            headers,
            sent,
        )
        response = Response(iter(lambda: answer.read(CHUNK), b""), status=answer.status)
        response.call_on_close(answer.close)
        del response.headers[
            "Content-Type"
        ]  # as it was answered, without the charset that werkzeug adds
        for name in _ANSWERED:
            if value := answer.getheader(name):
                response.headers[name] = value
        if place := answer.getheader("Location"):
            response.headers["Location"] = urlsplit(place)._replace(scheme="", netloc="").geturl()
        return response
