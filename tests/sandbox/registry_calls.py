"""Calls of the distribution API as a client makes them: blobs, manifests, and what a refusal
says.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx

from ops.sandbox.registry import oci


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def finish(http: httpx.Client, place: str, name: str, data: bytes = b"") -> httpx.Response:
    """Close the upload at `place`, the newest Location, with the digest `name`."""
    return http.put(httpx.URL(place).copy_add_param("digest", name), content=data)


def upload(http: httpx.Client, repository: str, data: bytes) -> str:
    """Upload a blob: POST, then PUT."""
    answer = finish(
        http, http.post(f"/v2/{repository}/blobs/uploads/").headers["Location"], digest(data), data
    )
    assert answer.status_code == 201, answer.text
    return digest(data)


def descriptor(data: bytes, kind: str = oci.DOCKER_LAYER) -> dict[str, Any]:
    return {"mediaType": kind, "size": len(data), "digest": digest(data)}


def manifest(config: bytes, *layers: bytes, kind: str = oci.DOCKER_MANIFEST) -> bytes:
    listed = [descriptor(layer) for layer in layers]
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": descriptor(config, oci.DOCKER_CONFIG),
            "layers": listed,
        }
    ).encode()


def put(
    http: httpx.Client,
    repository: str,
    reference: str,
    data: bytes,
    kind: str = oci.DOCKER_MANIFEST,
) -> httpx.Response:
    return http.put(
        f"/v2/{repository}/manifests/{reference}", content=data, headers={"Content-Type": kind}
    )


def pushed(http: httpx.Client, repository: str, tag: str, text: bytes = b"layer") -> str:
    """Push a small image; its digest."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "of": text.decode()}).encode()
    for blob in (config, text):
        upload(http, repository, blob)
    answer = put(http, repository, tag, manifest(config, text))
    assert answer.status_code == 201, answer.text
    return answer.headers["Docker-Content-Digest"]


def error(answer: httpx.Response) -> tuple[int, str, str]:
    [first] = answer.json()["errors"]
    return answer.status_code, first["code"], first["message"]
