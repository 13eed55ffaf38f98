"""What each request to the registry front does, by method and path (OCI distribution-spec 1.1, "Endpoints")."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from werkzeug.wrappers import Request, Response

from ops.sandbox.contracts import EcrDoor, EcrRepository
from ops.sandbox.images import refusals
from ops.sandbox.images.oci import Manifest, parse_manifest
from ops.sandbox.images.reference import is_digest, is_repository, is_tag
from ops.sandbox.images.store import Blobs, Pushed, Repositories, digest_of
from ops.sandbox.images.uploads import CHUNK, Uploads, WrongDigestError

LARGEST_MANIFEST = 4 << 20


@dataclass(frozen=True)
class Shelf:
    """All that the registry holds and whom it asks; `putting` serialises the check of a tag with its writing."""

    blobs: Blobs
    repositories: Repositories
    uploads: Uploads
    door: EcrDoor
    putting: threading.Lock

    def repository(self, name: str) -> EcrRepository:
        if not is_repository(name):
            raise refusals.bad_repository_name(name)
        found = self.door.repository(name)
        if found is None:
            raise refusals.no_repository(name)
        return found


@dataclass(frozen=True)
class Call:
    """One request to be answered."""

    shelf: Shelf
    request: Request


def version(call: Call) -> Response:
    return Response("{}", content_type="application/json")


def start_upload(call: Call, name: str) -> Response:
    call.shelf.repository(name)
    uploads, digest = call.shelf.uploads, call.request.args.get("digest")
    identity = uploads.open(name)
    if digest:
        uploads.append(identity, call.request.stream)
        return _finished(call, name, identity, digest)
    return _progress(name, identity, 0, 202)


def append(call: Call, name: str, identity: str) -> Response:
    offset = _offset(call, name, identity)
    claimed = re.match(r"(?:bytes[ =])?(\d+)-\d+", call.request.headers.get("Content-Range", ""))
    if claimed and int(claimed[1]) != offset:
        raise refusals.wrong_range(offset)
    return _progress(name, identity, call.shelf.uploads.append(identity, call.request.stream), 202)


def finish(call: Call, name: str, identity: str) -> Response:
    _offset(call, name, identity)
    digest = call.request.args.get("digest", "")
    call.shelf.uploads.append(identity, call.request.stream)
    return _finished(call, name, identity, digest)


def upload_status(call: Call, name: str, identity: str) -> Response:
    return _progress(name, identity, _offset(call, name, identity), 204)


def cancel(call: Call, name: str, identity: str) -> Response:
    _offset(call, name, identity)
    call.shelf.uploads.cancel(identity)
    return Response(status=204)


def _offset(call: Call, name: str, identity: str) -> int:
    call.shelf.repository(name)
    if not call.shelf.uploads.known(name, identity):
        raise refusals.no_upload()
    return call.shelf.uploads.offset(identity)


def _progress(name: str, identity: str, received: int, status: int) -> Response:
    headers = {"Location": f"/v2/{name}/blobs/uploads/{identity}", "Range": f"0-{max(received - 1, 0)}", "Docker-Upload-UUID": identity}
    return Response(status=status, headers=headers)


def _finished(call: Call, name: str, identity: str, digest: str) -> Response:
    if not is_digest(digest):
        call.shelf.uploads.cancel(identity)
        raise refusals.wrong_digest(f"{digest!r} is no sha256 digest")
    try:
        call.shelf.uploads.finish(identity, digest)
    except WrongDigestError as error:
        raise refusals.wrong_digest(str(error)) from error
    call.shelf.repositories.link(name, digest)
    return Response(status=201, headers={"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})


def blob(call: Call, name: str, digest: str) -> Response:
    call.shelf.repository(name)
    shelf = call.shelf
    if not is_digest(digest) or not shelf.repositories.linked(name, digest) or not shelf.blobs.has(digest):
        raise refusals.no_blob(digest)
    headers = {"Docker-Content-Digest": digest, "Content-Length": str(shelf.blobs.size(digest))}
    body = None if call.request.method == "HEAD" else _chunks(shelf.blobs.path(digest))
    return Response(body, headers=headers, content_type="application/octet-stream")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as data:
        while chunk := data.read(CHUNK):
            yield chunk


def manifest(call: Call, name: str, reference: str) -> Response:
    call.shelf.repository(name)
    shelf = call.shelf
    digest = reference if is_digest(reference) else shelf.door.digest(name, reference)
    pushed = shelf.repositories.pushed(name, digest) if digest else None
    if pushed is None or not shelf.door.has_image(name, pushed.digest) or not shelf.blobs.has(pushed.digest):
        raise refusals.no_image()
    data = shelf.blobs.read(pushed.digest)
    response = Response(data, headers={"Docker-Content-Digest": pushed.digest}, content_type=pushed.media_type)
    response.content_type = pushed.media_type       # werkzeug adds a charset to what it takes for text
    return response


def put_manifest(call: Call, name: str, reference: str) -> Response:
    repository = call.shelf.repository(name)
    data, media_type = _body(call), call.request.headers.get("Content-Type", "")
    digest, tag = digest_of(data), None if is_digest(reference) else reference
    if tag is None and reference != digest:
        raise refusals.wrong_digest(f"the manifest has digest {digest}")
    if tag is not None and not is_tag(tag):
        raise refusals.bad_tag(tag)
    try:
        found = parse_manifest(data, media_type)
    except ValueError as error:
        raise refusals.bad_manifest(str(error)) from error
    _refuse_missing(call.shelf, name, found)
    with call.shelf.putting:
        _put(call.shelf, repository, tag, Pushed(digest, media_type, found.size), data)
    return Response(status=201, headers={"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest})


def _body(call: Call) -> bytes:
    data = call.request.stream.read(LARGEST_MANIFEST + 1)
    if len(data) > LARGEST_MANIFEST:
        raise refusals.too_large(f"a manifest may have {LARGEST_MANIFEST} bytes at most")
    return data


def _refuse_missing(shelf: Shelf, name: str, found: Manifest) -> None:
    """A manifest may only name what this repository holds."""
    wanted = ((found.config,) if found.config else ()) + found.layers
    for each in wanted:
        if not each.foreign and not (shelf.repositories.linked(name, each.digest) and shelf.blobs.has(each.digest)):
            raise refusals.blob_missing(each.digest)
    for child in found.children:
        if not shelf.door.has_image(name, child.digest):
            raise refusals.blob_missing(child.digest)


def _put(shelf: Shelf, repository: EcrRepository, tag: str | None, pushed: Pushed, data: bytes) -> None:
    standing = shelf.door.digest(repository.name, tag) if tag else None
    if tag and standing and repository.immutable:
        raise refusals.tag_stands(repository.name, tag)
    shelf.blobs.put(data)
    shelf.repositories.record(repository.name, pushed, tag)
    already = standing == pushed.digest if tag else shelf.door.has_image(repository.name, pushed.digest)
    if not already:
        shelf.door.put_image(repository.name, tag, pushed.digest, data, pushed.media_type, pushed.size)


def tags(call: Call, name: str) -> Response:
    call.shelf.repository(name)
    shelf, last = call.shelf, call.request.args.get("last", "")
    standing = [tag for tag in shelf.repositories.tags(name) if tag > last and shelf.door.digest(name, tag)]
    limit = call.request.args.get("n", type=int) or 1000
    response = Response(content_type="application/json")
    response.set_data(json.dumps({"name": name, "tags": standing[:limit]}))
    if len(standing) > limit > 0:
        response.headers["Link"] = f'</v2/{name}/tags/list?n={limit}&last={standing[limit - 1]}>; rel="next"'
    return response


_NAME = r"/v2/(?P<name>.+)"
_ROUTES: tuple[tuple[re.Pattern[str], dict[str, Callable[..., Response]]], ...] = (
    (re.compile(r"/v2/?\Z"), {"GET": version, "HEAD": version}),
    (re.compile(_NAME + r"/blobs/uploads/?\Z"), {"POST": start_upload}),
    (re.compile(_NAME + r"/blobs/uploads/(?P<identity>[^/]+)\Z"), {"PATCH": append, "PUT": finish, "GET": upload_status, "DELETE": cancel}),
    (re.compile(_NAME + r"/blobs/(?P<digest>[^/]+)\Z"), {"GET": blob, "HEAD": blob}),
    (re.compile(_NAME + r"/manifests/(?P<reference>[^/]+)\Z"), {"GET": manifest, "HEAD": manifest, "PUT": put_manifest}),
    (re.compile(_NAME + r"/tags/list\Z"), {"GET": tags}),
)


def route(call: Call) -> Response:
    """Answer one authorised request. Raises RefusalError."""
    for pattern, methods in _ROUTES:
        found = pattern.match(call.request.path)
        if found and call.request.method in methods:
            return methods[call.request.method](call, **found.groupdict())
    raise refusals.not_offered()
