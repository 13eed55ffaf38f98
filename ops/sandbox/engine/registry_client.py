"""The engine's client of the distribution API, with errors in dockerd's words."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from ops.sandbox.registry import oci

_CHUNK = 1 << 20
_TIMEOUT = 60.0


class RegistryError(Exception):
    """The registry rejected a request or is unreachable; `status` is 0 if unreachable."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Login:
    """User and password of one call; never stored."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, password=…)"


def is_loopback(host: str) -> bool:
    """Whether the registry is on loopback, the only kind that this engine uses (plain HTTP)."""
    name = host.partition(":")[0]
    return name == "localhost" or name.startswith("127.")


class RegistryClient:
    """A client of one registry with one login; a connection per request."""

    def __init__(self, host: str, login: Login | None) -> None:
        if not is_loopback(host):
            raise RegistryError(
                f"{host} is not on this machine: the sandbox's own engine talks to the "
                f"sandbox's registry only"
            )
        self._host, self._login = host, login

    def ping(self) -> None:
        """Check the login with GET /v2/. Raises RegistryError."""
        with self._call("GET", "/v2/") as answer:
            answer.expect(200)

    def has_blob(self, name: str, digest: str) -> bool:
        with self._call("HEAD", f"/v2/{name}/blobs/{digest}") as answer:
            if answer.status not in (200, 404):
                self.ping()  # a HEAD has no body, and the refusal's words are in the body
                answer.expect(200)
            return answer.status == 200

    def upload(self, name: str, digest: str, path: Path) -> Iterator[int]:
        """Upload a blob, yielding the bytes sent so far."""
        with self._call("POST", f"/v2/{name}/blobs/uploads/") as answer:
            answer.expect(202)
            place = answer.place()
        connection = self._open(
            "PATCH",
            place,
            {
                "Content-Length": str(path.stat().st_size),
                "Content-Type": "application/octet-stream",
            },
        )
        sent = 0
        with path.open("rb") as data, _Answer(connection) as answer:
            while chunk := data.read(_CHUNK):
                answer.send(chunk)
                sent += len(chunk)
                yield sent
            answer.receive().expect(202)
            place = answer.place()
        mark = "&" if "?" in place else "?"
        with self._call("PUT", f"{place}{mark}digest={digest}", {"Content-Length": "0"}) as answer:
            answer.expect(201)

    def put_manifest(self, name: str, tag: str, manifest: bytes) -> str:
        """Upload a manifest under a tag and return its digest, as the registry reports it."""
        headers = {"Content-Type": oci.DOCKER_MANIFEST, "Content-Length": str(len(manifest))}
        with self._call("PUT", f"/v2/{name}/manifests/{tag}", headers, manifest) as answer:
            answer.expect(201)
            return answer.header("Docker-Content-Digest")

    def manifest(self, name: str, what: str) -> tuple[bytes, str]:
        """Return a manifest and its media type."""
        headers = {"Accept": ", ".join((*oci.MANIFESTS, *oci.INDEXES))}
        with self._call("GET", f"/v2/{name}/manifests/{what}", headers) as answer:
            answer.expect(200)
            return answer.body(), answer.header("Content-Type").partition(";")[0]

    def blob(self, name: str, digest: str) -> bytes:
        """Return a whole blob, with its digest verified."""
        with self._call("GET", f"/v2/{name}/blobs/{digest}") as answer:
            answer.expect(200)
            data = answer.body()
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise RegistryError(f"filesystem layer verification failed for digest {digest}")
        return data

    def _call(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> _Answer:
        connection = self._open(method, target, headers or {})
        return _Answer(connection, body).receive()

    def _open(
        self, method: str, target: str, headers: dict[str, str]
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT)
        try:
            connection.putrequest(method, target)
            for name, value in {**headers, **self._authorization()}.items():
                connection.putheader(name, value)
            connection.endheaders()
        except OSError as error:
            connection.close()
            why = (
                "connect: connection refused"
                if isinstance(error, ConnectionRefusedError)
                else str(error)
            )
            raise RegistryError(
                f'Get "http://{self._host}/v2/": dial tcp {self._host}: {why}'
            ) from error
        return connection

    def _authorization(self) -> dict[str, str]:
        if self._login is None:
            return {}
        pair = f"{self._login.user}:{self._login.password}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


class _Answer:
    """The answer to one request; a context manager that closes its connection."""

    def __init__(self, connection: http.client.HTTPConnection, body: bytes = b"") -> None:
        self._connection = connection
        self._response: http.client.HTTPResponse | None = None
        if body:
            self.send(body)

    def send(self, chunk: bytes) -> None:
        try:
            self._connection.send(chunk)
        except OSError as error:
            raise RegistryError(f"write: {error}") from error

    def receive(self) -> Self:
        try:
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise RegistryError(f"read: {error or type(error).__name__}") from error
        return self

    @property
    def status(self) -> int:
        return self._got().status

    def _got(self) -> http.client.HTTPResponse:
        if self._response is None:
            raise RegistryError("the registry has not answered")
        return self._response

    def header(self, name: str) -> str:
        return self._got().getheader(name) or ""

    def body(self) -> bytes:
        try:
            return self._got().read()
        except (OSError, http.client.HTTPException) as error:
            raise RegistryError(f"unexpected EOF: {error}") from error

    def place(self) -> str:
        """Return path and query of the Location header."""
        parts = urlsplit(self.header("Location"))
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def expect(self, status: int) -> None:
        """Raise RegistryError with the registry's own message unless the status is `status`."""
        if self.status == status:
            return
        if self.status == 401:
            raise RegistryError("no basic auth credentials", 401)
        raise RegistryError(_worded(self.body(), self.status), self.status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()


def _worded(body: bytes, status: int) -> str:
    """Format errors as distribution's errcode does, joined as dockerd joins them."""
    try:
        errors = json.loads(body)["errors"]
        texts = [f"{each['code'].lower().replace('_', ' ')}: {each['message']}" for each in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        phrase = http.client.responses.get(status, "")
        return f"received unexpected HTTP status: {status} {phrase}".strip()
    return texts[0] if len(texts) == 1 else "errors:\n" + "\n".join(texts) + "\n"
