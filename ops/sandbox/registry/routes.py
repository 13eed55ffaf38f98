"""The registry front's handlers by method and path (OCI distribution-spec 1.1, "Endpoints")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from werkzeug.wrappers import Response

from ops.sandbox.registry import errors
from ops.sandbox.registry.manifests import manifest, put_manifest
from ops.sandbox.registry.reference import is_digest
from ops.sandbox.registry.state import RegistryCall
from ops.sandbox.registry.uploads import CHUNK, WrongDigestError


def version(call: RegistryCall) -> Response:
    return Response("{}", content_type="application/json")


def start_upload(call: RegistryCall, name: str) -> Response:
    call.state.repository(name)
    uploads, digest = call.state.uploads, call.request.args.get("digest")
    identity = uploads.open(name)
    if digest:
        uploads.append(identity, call.request.stream)
        return _finished(call, name, identity, digest)
    return _progress(name, identity, 0, 202)


def append(call: RegistryCall, name: str, identity: str) -> Response:
    offset = _offset(call, name, identity)
    claimed = re.match(r"(?:bytes[ =])?(\d+)-\d+", call.request.headers.get("Content-Range", ""))
    if claimed and int(claimed[1]) != offset:
        raise errors.wrong_range(offset)
    return _progress(name, identity, call.state.uploads.append(identity, call.request.stream), 202)


def finish(call: RegistryCall, name: str, identity: str) -> Response:
    _offset(call, name, identity)
    digest = call.request.args.get("digest", "")
    call.state.uploads.append(identity, call.request.stream)
    return _finished(call, name, identity, digest)


def upload_status(call: RegistryCall, name: str, identity: str) -> Response:
    return _progress(name, identity, _offset(call, name, identity), 204)


def cancel(call: RegistryCall, name: str, identity: str) -> Response:
    _offset(call, name, identity)
    call.state.uploads.cancel(identity)
    return Response(status=204)


def _offset(call: RegistryCall, name: str, identity: str) -> int:
    call.state.repository(name)
    if not call.state.uploads.known(name, identity):
        raise errors.no_upload()
    return call.state.uploads.offset(identity)


def _progress(name: str, identity: str, received: int, status: int) -> Response:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{identity}",
        "Range": f"0-{max(received - 1, 0)}",
        "Docker-Upload-UUID": identity,
    }
    return Response(status=status, headers=headers)


def _finished(call: RegistryCall, name: str, identity: str, digest: str) -> Response:
    if not is_digest(digest):
        call.state.uploads.cancel(identity)
        raise errors.wrong_digest(f"{digest!r} is not a sha256 digest")
    try:
        call.state.uploads.finish(identity, digest)
    except WrongDigestError as error:
        raise errors.wrong_digest(str(error)) from error
    call.state.repositories.link(name, digest)
    return Response(
        status=201,
        headers={"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest},
    )


def blob(call: RegistryCall, name: str, digest: str) -> Response:
    call.state.repository(name)
    state = call.state
    if (
        not is_digest(digest)
        or not state.repositories.linked(name, digest)
        or not state.blobs.has(digest)
    ):
        raise errors.no_blob(digest)
    headers = {"Docker-Content-Digest": digest, "Content-Length": str(state.blobs.size(digest))}
    body = None if call.request.method == "HEAD" else _chunks(state.blobs.path(digest))
    return Response(body, headers=headers, content_type="application/octet-stream")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as data:
        while chunk := data.read(CHUNK):
            yield chunk


def tags(call: RegistryCall, name: str) -> Response:
    call.state.repository(name)
    state, last = call.state, call.request.args.get("last", "")
    standing = [
        tag for tag in state.repositories.tags(name) if tag > last and state.ecr.digest(name, tag)
    ]
    limit = call.request.args.get("n", type=int) or 1000
    response = Response(content_type="application/json")
    response.set_data(json.dumps({"name": name, "tags": standing[:limit]}))
    if len(standing) > limit > 0:
        response.headers["Link"] = (
            f'</v2/{name}/tags/list?n={limit}&last={standing[limit - 1]}>; rel="next"'
        )
    return response


Handler = Callable[..., Response]
_NAME = r"/v2/(?P<name>.+)"
_ROUTES: tuple[tuple[re.Pattern[str], dict[str, Handler]], ...] = (
    (re.compile(r"/v2/?\Z"), {"GET": version, "HEAD": version}),
    (re.compile(_NAME + r"/blobs/uploads/?\Z"), {"POST": start_upload}),
    (
        re.compile(_NAME + r"/blobs/uploads/(?P<identity>[^/]+)\Z"),
        {"PATCH": append, "PUT": finish, "GET": upload_status, "DELETE": cancel},
    ),
    (re.compile(_NAME + r"/blobs/(?P<digest>[^/]+)\Z"), {"GET": blob, "HEAD": blob}),
    (
        re.compile(_NAME + r"/manifests/(?P<reference>[^/]+)\Z"),
        {"GET": manifest, "HEAD": manifest, "PUT": put_manifest},
    ),
    (re.compile(_NAME + r"/tags/list\Z"), {"GET": tags}),
)


def route(call: RegistryCall, overrides: Mapping[Handler, Handler]) -> Response:
    """Answer one authorised request.

    Raises RefusalError.

    `overrides` maps handlers to their replacements.
    """
    for pattern, methods in _ROUTES:
        found = pattern.match(call.request.path)
        if found and (handler := methods.get(call.request.method)):
            return overrides.get(handler, handler)(call, **found.groupdict())
    raise errors.not_offered()
