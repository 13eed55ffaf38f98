"""The front's handlers with an upstream registry: ECR's rules first, then its answer."""

from __future__ import annotations

from werkzeug.wrappers import Response

from ops.sandbox.registry import errors, manifests, routes
from ops.sandbox.registry.reference import is_digest
from ops.sandbox.registry.routes import Handler
from ops.sandbox.registry.state import RegistryCall
from ops.sandbox.registry.upstream import Upstream


class UpstreamRoutes:
    """Handlers that use the registry at `upstream`."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @property
    def overrides(self) -> dict[Handler, Handler]:
        """Return the front's own handlers, mapped to their replacements."""
        uploads = (
            routes.start_upload,
            routes.append,
            routes.finish,
            routes.upload_status,
            routes.cancel,
        )
        return {
            **dict.fromkeys(uploads, self.upload),
            routes.blob: self.blob,
            manifests.manifest: self.manifest,
            manifests.put_manifest: self.put_manifest,
        }

    def upload(self, call: RegistryCall, name: str, identity: str = "") -> Response:
        call.state.repository(name)
        return self._upstream.forward(call.request)

    def blob(self, call: RegistryCall, name: str, digest: str) -> Response:
        call.state.repository(name)
        if not is_digest(digest):
            raise errors.no_blob(digest)
        return self._upstream.forward(call.request)

    def manifest(self, call: RegistryCall, name: str, reference: str) -> Response:
        """Forward by digest, since ECR decides which image a tag refers to."""
        return self._upstream.forward(
            call.request, f"/v2/{name}/manifests/{manifests.stored_manifest(call, name, reference)}"
        )

    def put_manifest(self, call: RegistryCall, name: str, reference: str) -> Response:
        offer = manifests.offered(call, name, reference)
        with call.state.tag_lock:
            manifests.refuse_existing(call.state, offer)
            answer = self._upstream.forward(call.request, body=offer.data)
            if answer.status_code == 201:
                manifests.store_manifest(call.state, offer)
        return answer
