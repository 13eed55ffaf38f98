"""What the registry front holds, and one request to it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from werkzeug.wrappers import Request

from ops.sandbox.contracts import EcrBackend, EcrRepository
from ops.sandbox.registry import errors
from ops.sandbox.registry.reference import is_repository
from ops.sandbox.registry.store import Blobs, Repositories
from ops.sandbox.registry.uploads import Uploads


@dataclass(frozen=True)
class RegistryState:
    """All that the registry holds and whom it asks; `putting` serialises the check of a tag with
    its writing.
    """

    blobs: Blobs
    repositories: Repositories
    uploads: Uploads
    ecr: EcrBackend
    tag_lock: threading.Lock

    def repository(self, name: str) -> EcrRepository:
        if not is_repository(name):
            raise errors.bad_repository_name(name)
        found = self.ecr.repository(name)
        if found is None:
            raise errors.no_repository(name)
        return found


@dataclass(frozen=True)
class RegistryCall:
    """One request to be answered."""

    state: RegistryState
    request: Request
