"""Push and pull, with dockerd's progress lines."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any

from ops.sandbox.engine.build import Line, failed
from ops.sandbox.engine.image_store import Image, ImageStore, manifest_of
from ops.sandbox.engine.layers import Layer
from ops.sandbox.engine.registry_client import Login, RegistryClient, RegistryError
from ops.sandbox.registry import oci
from ops.sandbox.registry.reference import Reference
from ops.sandbox.registry.store import digest_of

_BAR = 50


def push(
    library: ImageStore, repository: Reference, tag: str | None, login: Login | None
) -> Iterator[Line]:
    """Push one tag, or every tag of a repository; a failure is reported in the last line."""
    yield {"status": f"The push refers to repository [{repository.name}]"}
    names = library.names()
    known = [name for name in names if name.rpartition(":")[0] == repository.name]
    wanted = [name for name in known if tag in (None, name.rpartition(":")[2])]
    if not known:
        yield failed(f"An image does not exist locally with the tag: {repository.name}")
    elif not wanted:
        yield failed(f"tag does not exist: {repository.name}:{tag}")
    if not wanted:
        return
    try:
        client = RegistryClient(repository.registry or "docker.io", login)
        for name in sorted(wanted):
            yield from _push(
                client, library, library.find(name), repository, name.rpartition(":")[2]
            )
    except (RegistryError, OSError) as error:
        yield failed(str(error))


def _push(
    client: RegistryClient, library: ImageStore, image: Image, repository: Reference, tag: str
) -> Iterator[Line]:
    for layer in image.layers:
        yield _line("Preparing", layer)
    for layer in image.layers:
        yield from _push_layer(client, library, layer, repository.repository)
    if not client.has_blob(repository.repository, image.id):
        for _ in client.upload(repository.repository, image.id, library.blobs.path(image.id)):
            pass
    manifest = manifest_of(library, image)
    digest = client.put_manifest(repository.repository, tag, manifest)
    library.add_digest(image, f"{repository.name}@{digest}")
    yield {"status": f"{tag}: digest: {digest} size: {len(manifest)}"}
    yield {"progressDetail": {}, "aux": {"Tag": tag, "Digest": digest, "Size": len(manifest)}}


def _push_layer(
    client: RegistryClient, library: ImageStore, layer: Layer, repository: str
) -> Iterator[Line]:
    if client.has_blob(repository, layer.digest):
        yield _line("Layer already exists", layer)
        return
    for sent in client.upload(repository, layer.digest, library.blobs.path(layer.digest)):
        detail = {"current": sent, "total": layer.size}
        yield {
            **_line("Pushing", layer),
            "progressDetail": detail,
            "progress": _bar(sent, layer.size),
        }
    yield _line("Pushed", layer)


def _line(status: str, layer: Layer) -> Line:
    return {
        "status": status,
        "progressDetail": {},
        "id": layer.diff_id.removeprefix("sha256:")[:12],
    }


def _bar(sent: int, total: int) -> str:
    filled = _BAR * sent // max(total, 1)
    return f"[{('=' * filled + '>')[:_BAR]:{_BAR}}]  {sent}B/{total}B"


def pull(
    library: ImageStore, wanted: Reference, platform: str, client: RegistryClient
) -> Iterator[Line]:
    """Pull one image from a registry on this machine.

    Raises RegistryError before the first line, so that its status can be returned.
    """
    what = wanted.digest or wanted.tag or "latest"
    try:
        data, media_type = client.manifest(wanted.repository, what)
        found = oci.parse_manifest(data, media_type)
        if found.children:
            child = found.child(platform)
            if child is None:
                raise RegistryError(
                    f"no matching manifest for {platform} in the manifest list entries", 404
                )
            data, media_type = client.manifest(wanted.repository, child.digest)
            found = oci.parse_manifest(data, media_type)
    except ValueError as error:
        raise RegistryError(str(error), 500) from error
    except RegistryError as error:
        raise _pull_refused(error, wanted.name, what) from error
    return _pulled(library, wanted, what, found, digest_of(data), client)


def _pull_refused(error: RegistryError, name: str, what: str) -> RegistryError:
    """Return dockerd's message for a registry's error (moby's distribution/errors.go)."""
    if error.status == 404 and str(error).startswith("name unknown"):
        return RegistryError(f"repository {name} not found: {error}", 404)
    if error.status == 404:
        return RegistryError(f"manifest for {name}:{what} not found: {error}", 404)
    if error.status == 403:
        return RegistryError(
            f"pull access denied for {name}, repository does not exist or may require "
            f"'docker login': {error}",
            404,
        )
    return error


def _pulled(
    library: ImageStore,
    wanted: Reference,
    what: str,
    found: oci.Manifest,
    digest: str,
    client: RegistryClient,
) -> Iterator[Line]:
    yield {"status": f"Pulling from {wanted.repository}", "id": what}
    try:
        config = client.blob(wanted.repository, found.config.digest if found.config else "")
        layers = tuple(_fetch(library, wanted, client, each) for each in found.layers)
        image = library.keep_raw(
            config, _with_diff_ids(layers, json.loads(config)), digests=(f"{wanted.name}@{digest}",)
        )
    except (RegistryError, OSError, ValueError, KeyError, tarfile.TarError) as error:
        yield failed(str(error))
        return
    for layer in image.layers:
        yield _line("Pull complete", layer)
    if not wanted.digest:
        library.tag(image, wanted.tagged)
    yield {"status": f"Digest: {digest}"}
    yield {"status": f"Status: Downloaded newer image for {wanted.name}:{what}"}


def _fetch(
    library: ImageStore, wanted: Reference, client: RegistryClient, each: oci.Descriptor
) -> Layer:
    data = (
        library.blobs.read(each.digest)
        if library.blobs.has(each.digest)
        else client.blob(wanted.repository, each.digest)
    )
    library.blobs.put(data)
    with tarfile.open(library.blobs.path(each.digest), mode="r:*") as archive:
        content = sum(member.size for member in archive if member.isfile())
    return Layer(each.digest, "", each.size, content)


def _with_diff_ids(layers: tuple[Layer, ...], config: dict[str, Any]) -> tuple[Layer, ...]:
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(layers):
        raise ValueError("the configuration and the manifest disagree on the layers")
    return tuple(
        Layer(layer.digest, diff_id, layer.size, layer.content)
        for layer, diff_id in zip(layers, diff_ids, strict=True)
    )
