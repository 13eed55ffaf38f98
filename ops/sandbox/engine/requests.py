"""Parsing of requests (query, headers, body); unsupported options are rejected by name."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from werkzeug.wrappers import Request

from ops.sandbox.engine import responses
from ops.sandbox.engine.build import Line, Order, build
from ops.sandbox.engine.context import Context, ContextError
from ops.sandbox.engine.dockerfile import ParseError, parse
from ops.sandbox.engine.image_store import ImageStore
from ops.sandbox.engine.registry_client import Login, RegistryClient, RegistryError
from ops.sandbox.engine.transfer import pull, push
from ops.sandbox.registry import reference

# Wishes of a build call that the builder ignores without changing what comes out (nothing runs, so
# nothing is limited).
_HARMLESS = frozenset(
    {
        "q",
        "nocache",
        "rm",
        "forcerm",
        "pull",
        "t",
        "dockerfile",
        "labels",
        "buildargs",
        "platform",
        "memory",
        "memswap",
        "cpushares",
        "cpusetcpus",
        "shmsize",
        "cachefrom",
        "version",
        "networkmode",
        "cpuperiod",
        "cpuquota",
        "cgroupparent",
        "ulimits",
        "buildid",
    }
)


class RequestError(Exception):
    """A request that can't be answered; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _truth(text: str | None) -> bool:
    return (text or "").lower() in ("1", "true")


def _mapping(request: Request, name: str) -> dict[str, str]:
    """Parse a query parameter that is a JSON object of strings."""
    try:
        found = json.loads(request.args.get(name) or "{}") or {}
        return {str(key): str(value) for key, value in found.items() if value is not None}
    except (ValueError, AttributeError) as error:
        raise RequestError(400, f"{name} is no JSON object: {error}") from error


def _platform(text: str) -> str:
    """Return the requested `os/architecture`, by default linux/amd64 (Fargate's default)."""
    system, _, rest = (text or "linux/amd64").lower().partition("/")
    if system != "linux":
        raise RequestError(400, "operating system is not supported")
    return f"linux/{rest.partition('/')[0] or 'amd64'}"


def _tags(request: Request) -> tuple[str, ...]:
    try:
        return tuple(reference.parse(each).tagged for each in request.args.getlist("t") if each)
    except ValueError as error:
        raise RequestError(400, str(error)) from error


def build_stream(library: ImageStore, request: Request) -> Iterator[Line]:
    """Answer POST /build. Raises RequestError for errors that precede dockerd's stream."""
    unknown = {
        name for name, value in request.args.items() if value not in ("", "null", "[]", "{}")
    } - _HARMLESS
    if unknown:
        raise RequestError(
            400, f"the sandbox's own engine does not build with {', '.join(sorted(unknown))}"
        )
    tags, platform = _tags(request), _platform(request.args.get("platform", ""))
    labels, buildargs = _mapping(request, "labels"), _mapping(request, "buildargs")
    name = request.args.get("dockerfile") or "Dockerfile"
    try:
        context = Context(request.stream)
    except ContextError as error:
        raise RequestError(500, str(error)) from error
    try:
        dockerfile = parse(context.dockerfile(name), name)
    except ContextError as error:
        context.close()
        raise RequestError(500, str(error)) from error
    except ParseError as error:
        context.close()
        raise RequestError(400, str(error)) from error
    return build(
        library,
        Order(dockerfile, platform, tags, labels, buildargs, _truth(request.args.get("nocache"))),
        context,
    )


def login_of(header: str) -> Login | None:
    """Parse X-Registry-Auth, base64url of a JSON with username and password; None if empty."""
    try:
        padded = header + "=" * (-len(header) % 4)
        found = json.loads(base64.urlsafe_b64decode(padded) or b"{}")
    except (binascii.Error, ValueError):
        raise RequestError(
            400, "Bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth header"
        ) from None
    user, password = found.get("username"), found.get("password")
    return Login(user, password) if user and password else None


def log_in(body: bytes) -> dict[str, Any]:
    """Answer POST /auth by asking the registry. Raises RequestError."""
    try:
        asked = json.loads(body)
        host = (
            str(asked.get("serveraddress") or "")
            .removeprefix("http://")
            .removeprefix("https://")
            .partition("/")[0]
        )
        login = Login(str(asked.get("username") or ""), str(asked.get("password") or ""))
    except (ValueError, AttributeError) as error:
        raise RequestError(400, f"invalid login: {error}") from error
    try:
        RegistryClient(host, login).ping()
    except RegistryError as error:
        if not error.status:
            raise RequestError(500, str(error)) from error
        words = {401: "401 Unauthorized", 403: "403 Forbidden"}.get(error.status, str(error.status))
        raise RequestError(
            500, f"login attempt to http://{host}/v2/ failed with status: {words}"
        ) from error
    return {"IdentityToken": "", "Status": "Login Succeeded"}


def push_stream(
    library: ImageStore, name: str, tag: str | None, login: Login | None
) -> Iterator[Line]:
    """Answer POST /images/{name}/push."""
    wanted = reference.parse(name)
    return push(library, wanted, tag or wanted.tag, login)


def pull_stream(library: ImageStore, request: Request) -> Iterator[Line]:
    """Answer POST /images/create. Raises RegistryError for errors that precede the stream."""
    source, tag = request.args.get("fromImage", ""), request.args.get("tag", "")
    if not source:
        raise RequestError(
            501,
            "the sandbox's own engine imports nothing: `inv sandbox.up --engine docker` "
            "uses a real engine",
        )
    joined = (
        source if not tag else f"{source}@{tag}" if reference.is_digest(tag) else f"{source}:{tag}"
    )
    wanted = reference.parse(joined)
    if wanted.registry is None:
        raise RequestError(
            404,
            f"pull access denied for {wanted.name}: the sandbox's own engine pulls from "
            f"the sandbox's registry only",
        )
    platform = _platform(request.args.get("platform") or f"linux/{responses.machine()}")
    client = RegistryClient(wanted.registry, login_of(request.headers.get("X-Registry-Auth", "")))
    return pull(library, wanted, platform, client)
