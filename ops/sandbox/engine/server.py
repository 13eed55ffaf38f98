"""The engine's HTTP endpoint: routes, and dockerd's status codes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from ops.sandbox.contracts import Component
from ops.sandbox.engine import responses
from ops.sandbox.engine.base import ensure_base
from ops.sandbox.engine.image_store import ConflictError, ImageStore, NoImageError
from ops.sandbox.engine.registry_client import RegistryError
from ops.sandbox.engine.requests import (
    RequestError,
    build_stream,
    log_in,
    login_of,
    pull_stream,
    push_stream,
)
from ops.sandbox.registry import reference
from ops.sandbox.wsgi import serve_socket

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LOG = logging.getLogger("sandbox.engine")
_VERSION = re.compile(r"/v(\d+)\.(\d+)(?=/)")
_NEWEST = (1, 41)
_NO_CONTAINERS = (
    "the sandbox's own engine builds and pushes but runs no containers: its tasks are "
    "processes of the sandbox's agent;"
    " `inv sandbox.up --engine docker` runs real ones"
)
_NOT_OFFERED = (
    "the sandbox's own engine does not offer {} {}: `inv sandbox.up --engine docker` uses a "
    "real engine"
)


class Engine:
    """The WSGI application. `root` is the engine's folder (Paths.images / "engine")."""

    def __init__(self, root: Path) -> None:
        self.library = ImageStore(root)
        self.library.blobs.forget_unfinished()
        ensure_base(self.library)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response = self._answer(Request(environ))
        response.headers.extend(
            {
                "Api-Version": responses.API_VERSION,
                "Docker-Experimental": "false",
                "Ostype": "linux",
            }
        )
        response.headers["Server"] = f"Docker/{responses.ENGINE_VERSION} (linux)"
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            return self._routed(request)
        except RequestError as error:
            return _message(error.status, str(error))
        except NoImageError as error:
            return _message(404, str(error))
        except ConflictError as error:
            return _message(409, str(error))
        except RegistryError as error:
            return _message(error.status if error.status == 404 else 500, str(error))
        except ValueError as error:
            return _message(400, str(error))
        except Exception as error:  # the client must get an answer; the log gets the trace
            _LOG.exception("%s %s", request.method, request.path)
            return _message(500, str(error) or type(error).__name__)

    def _routed(self, request: Request) -> Response:
        path = request.path
        found = _VERSION.match(path)
        if found:
            asked = (int(found[1]), int(found[2]))
            if asked > _NEWEST:
                raise RequestError(
                    400,
                    f"client version {found[1]}.{found[2]} is too new. Maximum supported "
                    f"API version is 1.41",
                )
            path = path[found.end() :]
        for pattern, methods in _ROUTES:
            match = pattern.match(path)
            if match and request.method in methods:
                return methods[request.method](self.library, request, **match.groupdict())
        if path.startswith(("/containers", "/exec")):
            raise RequestError(501, _NO_CONTAINERS)
        raise RequestError(
            501 if path.startswith("/") else 404, _NOT_OFFERED.format(request.method, path)
        )


def serve_engine(root: Path, socket: Path) -> Component:
    """Start the engine on a Unix socket, with its images in `root`.

    `root` is Paths.images / "engine". `Host` is not checked: each client of a Unix socket sends
    another one, and no web page can reach it. Raises OSError if the socket is taken.
    """
    return serve_socket("engine", Engine(root), socket)


def _json(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document), status=status, content_type="application/json")


def _message(status: int, text: str) -> Response:
    return _json({"message": text}, status)


def _stream(lines: Iterator[dict[str, Any]]) -> Response:
    return Response(
        (json.dumps(line).encode() + b"\r\n" for line in lines), content_type="application/json"
    )


def _ping(library: ImageStore, request: Request) -> Response:
    return Response(
        "OK",
        content_type="text/plain; charset=utf-8",
        headers={
            "Cache-Control": "no-cache, no-store, must-revalidate",
            "Builder-Version": "1",  # the classic builder; "2" would be BuildKit
        },
    )


def _version(library: ImageStore, request: Request) -> Response:
    return _json(responses.version())


def _info(library: ImageStore, request: Request) -> Response:
    return _json(responses.info(library))


def _auth(library: ImageStore, request: Request) -> Response:
    return _json(log_in(request.get_data(cache=False)))


def _build(library: ImageStore, request: Request) -> Response:
    return _stream(build_stream(library, request))


def _images(library: ImageStore, request: Request) -> Response:
    try:
        filters = json.loads(request.args.get("filters", "{}"))
    except ValueError:
        raise RequestError(400, "invalid filter") from None
    wanted = {name: list(values) for name, values in filters.items()}
    listed = [responses.listed(library, image) for image in library.every()]
    kept = [each for each in listed if _matches(each, wanted)]
    return _json(sorted(kept, key=lambda each: -int(each["Created"])))


def _matches(listed: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    """Apply the filters `reference`, `label` and `dangling`; reject any other."""
    unknown = set(filters) - {"reference", "label", "dangling"}
    if unknown:
        raise RequestError(400, f"invalid filter '{sorted(unknown)[0]}'")
    labels = [f"{name}={value}" for name, value in (listed["Labels"] or {}).items()]
    names = [*listed["RepoTags"], *(name.rpartition(":")[0] for name in listed["RepoTags"])]
    by_reference = not filters.get("reference") or bool(set(filters["reference"]) & set(names))
    by_label = all(
        any(label == each or label.partition("=")[0] == each for label in labels)
        for each in filters.get("label", [])
    )
    dangling = listed["RepoTags"] == ["<none>:<none>"]
    return (
        by_reference
        and by_label
        and all((each in ("true", "1")) == dangling for each in filters.get("dangling", []))
    )


def _inspect(library: ImageStore, request: Request, name: str) -> Response:
    try:
        return _json(responses.inspected(library, library.find(name)))
    except (NoImageError, ValueError) as error:
        raise type(error)(f"no such image: {name}: {error}") from error


def _history(library: ImageStore, request: Request, name: str) -> Response:
    return _json(responses.history(library, library.find(name)))


def _tag(library: ImageStore, request: Request, name: str) -> Response:
    image = library.find(name)
    repository, tag = request.args.get("repo", ""), request.args.get("tag", "")
    try:
        wanted = reference.parse(f"{repository}:{tag}" if tag else repository)
    except ValueError as error:
        raise RequestError(500, str(error)) from error
    library.tag(image, wanted.tagged)
    return Response(status=201)


def _push(library: ImageStore, request: Request, name: str) -> Response:
    return _stream(
        push_stream(
            library,
            name,
            request.args.get("tag") or None,
            login_of(request.headers.get("X-Registry-Auth", "")),
        )
    )


def _create(library: ImageStore, request: Request) -> Response:
    return _stream(pull_stream(library, request))


def _remove(library: ImageStore, request: Request, name: str) -> Response:
    force = request.args.get("force", "").lower() in ("1", "true")
    return _json(library.remove(name, force))


_Handler = Callable[..., Response]
_NAME = r"/images/(?P<name>.+)"
_ROUTES: tuple[tuple[re.Pattern[str], dict[str, _Handler]], ...] = (
    (re.compile(r"/_ping\Z"), {"GET": _ping, "HEAD": _ping}),
    (re.compile(r"/version\Z"), {"GET": _version}),
    (re.compile(r"/info\Z"), {"GET": _info}),
    (re.compile(r"/auth\Z"), {"POST": _auth}),
    (re.compile(r"/build\Z"), {"POST": _build}),
    (re.compile(r"/images/json\Z"), {"GET": _images}),
    (re.compile(r"/images/create\Z"), {"POST": _create}),
    (re.compile(_NAME + r"/json\Z"), {"GET": _inspect}),
    (re.compile(_NAME + r"/history\Z"), {"GET": _history}),
    (re.compile(_NAME + r"/tag\Z"), {"POST": _tag}),
    (re.compile(_NAME + r"/push\Z"), {"POST": _push}),
    (re.compile(_NAME + r"\Z"), {"DELETE": _remove}),
)
