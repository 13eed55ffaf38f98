"""The state of the registry front, and one request to it."""

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
    """The registry's stores and its ECR backend.

    `tag_lock` is held from the check of a tag to its writing.
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
    """One request with the registry's state."""

    state: RegistryState
    request: Request
