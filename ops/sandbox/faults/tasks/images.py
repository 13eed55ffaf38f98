"""Faults in the images of new tasks: expired in ECR, or built for another platform."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import urllib.request
from typing import Any

from ops.sandbox.faults.base import FaultState, SandboxHandles
from ops.sandbox.faults.services import BadRevision
from ops.sandbox.faults.tasks.starts import FailingStarts

_OTHER_PLATFORM = "arm64"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_POLICY = {
    "rules": [
        {
            "rulePriority": 1,
            "description": "keep the newest images",
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": 10,
            },
            "action": {"type": "expire"},
        }
    ]
}


class ExpiredImage(FailingStarts):
    """A lifecycle policy has expired the image that the service runs.

    Differs from ECR: the sandbox runs no lifecycle policies, so the image is deleted beside it.
    """

    def prepare(self, handles: SandboxHandles) -> FaultState:
        tag = self._container(handles)["image"].rpartition(":")[2]
        [found] = handles.clients.ecr.batch_get_image(
            repositoryName=self.spec.repository, imageIds=[{"imageTag": tag}]
        )["images"]
        return {
            "tag": tag,
            "digest": found["imageId"]["imageDigest"],
            "manifest": found["imageManifest"],
        }

    def change(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.clients.ecr.put_lifecycle_policy(
            repositoryName=self.spec.repository, lifecyclePolicyText=json.dumps(_POLICY)
        )
        handles.clients.ecr.batch_delete_image(
            repositoryName=self.spec.repository, imageIds=[{"imageTag": state["tag"]}]
        )
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        """Whether the service's revision, possibly a newer one, still uses this image."""
        return str(self._container(handles)["image"]).endswith(f":{state['tag']}")

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        client, repository = handles.clients.ecr, self.spec.repository
        with contextlib.suppress(client.exceptions.LifecyclePolicyNotFoundException):
            client.delete_lifecycle_policy(repositoryName=repository)
        if handles.aws.cloud.ecr.digest(repository, state["tag"]) is None:
            handles.aws.cloud.ecr.put_image(
                repository,
                state["tag"],
                state["digest"],
                state["manifest"].encode(),
                json.loads(state["manifest"]).get("mediaType") or _MANIFEST,
                _size(state["manifest"]),
            )


class OtherPlatform(BadRevision):
    """The new revision's image is built for arm64, and its runtimePlatform is X86_64."""

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        image = self._container(handles, state["before"])["image"]
        _push_for_other_platform(handles, self.spec.repository, image)
        return super().inject(handles, state)

    def changed(self, container: dict[str, Any]) -> dict[str, Any]:
        return {"image": f"{container['image'].rpartition(':')[0]}:{_OTHER_PLATFORM}"}


def _push_for_other_platform(handles: SandboxHandles, repository: str, image: str) -> None:
    """Push a copy of an image whose configuration names another CPU, by the registry's API."""
    from ops.sandbox.seed import registry_token

    token = base64.b64encode(f"AWS:{registry_token(handles.clients)}".encode()).decode()
    registry = _Registry(f"http://127.0.0.1:{handles.ports.registry}/v2/{repository}", token)
    if handles.aws.cloud.ecr.digest(repository, _OTHER_PLATFORM):
        return  # of an earlier time
    manifest = json.loads(registry.call("GET", f"/manifests/{image.rpartition(':')[2]}"))
    config = json.loads(registry.call("GET", f"/blobs/{manifest['config']['digest']}"))
    data = json.dumps({**config, "architecture": _OTHER_PLATFORM}).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    registry.upload(data, digest)
    copy = {**manifest, "config": {**manifest["config"], "digest": digest, "size": len(data)}}
    kind = manifest.get("mediaType") or _MANIFEST
    registry.call("PUT", f"/manifests/{_OTHER_PLATFORM}", json.dumps(copy).encode(), kind)


class _Registry:
    """The sandbox's registry, by its HTTP API."""

    def __init__(self, address: str, token: str) -> None:
        self._address, self._token = address, token
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        with self._send(method, f"{self._address}{path}", body, kind) as answer:
            return bytes(answer.read())

    def upload(self, data: bytes, digest: str) -> None:
        with self._send("POST", f"{self._address}/blobs/uploads/", b"", "") as answer:
            place = str(answer.headers["Location"])
        identity = place.rpartition("/")[2]
        self.call("PUT", f"/blobs/uploads/{identity}?digest={digest}", data)

    def _send(self, method: str, url: str, body: bytes | None, kind: str) -> Any:
        headers = {"Authorization": f"Basic {self._token}", "Accept": _MANIFEST}
        if body is not None:
            headers["Content-Type"] = kind or "application/octet-stream"
        request = urllib.request.Request(url, body, headers, method=method)
        return self._open(request, timeout=10)


def _size(manifest: str) -> int:
    found = json.loads(manifest)
    return sum(each["size"] for each in (found["config"], *found["layers"]))
