"""A real registry behind the front (`inv sandbox.up --engine docker --registry HOST:PORT`): it
holds the layers and manifests, we stay ECR.

What ECR enforces is still refused in front of it: the login, repositories that do not exist, a tag
that stands, an image that was deleted. All else of a request goes there, and the answer, refusals
included, comes back as the registry words it. Differs from the front alone: the front keeps a copy
of each manifest (a new world is told of it again), never of a layer."""

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
    """The registry is not there, or none that we may use; the text says why."""


@dataclass(frozen=True)
class Upstream:
    """A plain registry (distribution API, no login) at `place`, `host:port` on loopback."""

    place: str

    @classmethod
    def at(cls, place: str) -> Upstream:
        """The registry at `place`, asked once whether it is one. Raises NoRegistryError."""
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
        """One request; its answer, to be closed. Raises NoRegistryError where nobody answers."""
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
        """Whether it has this manifest."""
        with self.ask("HEAD", f"/v2/{name}/manifests/{digest}", {"Accept": "*/*"}) as answer:
            return answer.status == 200

    def forward(
        self, request: Request, path: str | None = None, body: bytes | None = None
    ) -> Response:
        """The request, at `path` and with `body` where they were read already; the answer, with
        places on this front instead of there.
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
