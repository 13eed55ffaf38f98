"""Manifests at the registry front; ECR is the authority on tags and images."""

from __future__ import annotations

from dataclasses import dataclass

from werkzeug.wrappers import Response

from ops.sandbox.contracts import EcrRepository
from ops.sandbox.registry import errors
from ops.sandbox.registry.oci import Manifest, parse_manifest
from ops.sandbox.registry.reference import is_digest, is_tag
from ops.sandbox.registry.state import RegistryCall, RegistryState
from ops.sandbox.registry.store import Pushed, digest_of

_LARGEST_MANIFEST = 4 << 20


def stored_manifest(call: RegistryCall, name: str, reference: str) -> str:
    """Return the digest that ECR has for a tag or digest. Raises RefusalError if unknown."""
    call.state.repository(name)
    ecr = call.state.ecr
    digest = reference if is_digest(reference) else ecr.digest(name, reference)
    if digest is None or not ecr.has_image(name, digest):
        raise errors.no_image()
    return digest


def manifest(call: RegistryCall, name: str, reference: str) -> Response:
    digest, state = stored_manifest(call, name, reference), call.state
    pushed = state.repositories.pushed(name, digest)
    if pushed is None or not state.blobs.has(digest):
        raise errors.no_image()
    response = Response(
        state.blobs.read(digest),
        headers={"Docker-Content-Digest": digest},
        content_type=pushed.media_type,
    )
    response.content_type = pushed.media_type  # werkzeug adds a charset to what it takes for text
    return response


@dataclass(frozen=True)
class Offer:
    """A manifest to store; without a `tag` if pushed by digest."""

    repository: EcrRepository
    tag: str | None
    pushed: Pushed
    manifest: Manifest
    data: bytes


def offered(call: RegistryCall, name: str, reference: str) -> Offer:
    """Read the manifest of a request. Raises RefusalError for an invalid one."""
    repository = call.state.repository(name)
    data, media_type = _body(call), call.request.headers.get("Content-Type", "")
    digest, tag = digest_of(data), None if is_digest(reference) else reference
    if tag is None and reference != digest:
        raise errors.wrong_digest(f"the manifest has digest {digest}")
    if tag is not None and not is_tag(tag):
        raise errors.bad_tag(tag)
    try:
        found = parse_manifest(data, media_type)
    except ValueError as error:
        raise errors.bad_manifest(str(error)) from error
    return Offer(repository, tag, Pushed(digest, media_type, found.size), found, data)


def put_manifest(call: RegistryCall, name: str, reference: str) -> Response:
    offer = offered(call, name, reference)
    _refuse_missing(call.state, name, offer.manifest)
    with call.state.tag_lock:
        refuse_existing(call.state, offer)
        store_manifest(call.state, offer)
    digest = offer.pushed.digest
    return Response(
        status=201,
        headers={"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest},
    )


def _body(call: RegistryCall) -> bytes:
    data = call.request.stream.read(_LARGEST_MANIFEST + 1)
    if len(data) > _LARGEST_MANIFEST:
        raise errors.too_large(f"a manifest may have {_LARGEST_MANIFEST} bytes at most")
    return data


def _refuse_missing(state: RegistryState, name: str, found: Manifest) -> None:
    """Reject a manifest that refers to blobs missing in this repository."""
    wanted = ((found.config,) if found.config else ()) + found.layers
    for each in wanted:
        if not each.foreign and not (
            state.repositories.linked(name, each.digest) and state.blobs.has(each.digest)
        ):
            raise errors.blob_missing(each.digest)
    for child in found.children:
        if not state.ecr.has_image(name, child.digest):
            raise errors.blob_missing(child.digest)


def refuse_existing(state: RegistryState, offer: Offer) -> None:
    """Reject an immutable tag that exists; hold `tag_lock` until `store_manifest` is done."""
    if (
        offer.tag
        and offer.repository.immutable
        and state.ecr.digest(offer.repository.name, offer.tag)
    ):
        raise errors.tag_exists(offer.repository.name, offer.tag)


def store_manifest(state: RegistryState, offer: Offer) -> None:
    """Store the manifest, and record it in ECR if missing there."""
    name, tag, pushed = offer.repository.name, offer.tag, offer.pushed
    state.blobs.put(offer.data)
    state.repositories.record(name, pushed, tag)
    already = (
        state.ecr.digest(name, tag) == pushed.digest
        if tag
        else state.ecr.has_image(name, pushed.digest)
    )
    if not already:
        state.ecr.put_image(name, tag, pushed.digest, offer.data, pushed.media_type, pushed.size)
