"""Blob uploads in progress: POST opens, PATCH appends, PUT closes (OCI distribution-spec).

An upload is one file below `unfinished/`. A killed supervisor loses it, and the client starts that
blob again, as with ECR.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from pathlib import Path
from typing import IO

from ops.sandbox.registry.store import Blobs

CHUNK = 1 << 20
_LARGEST_BLOB = 4 << 30
_MOST_UPLOADS = 64


class TooMuchError(Exception):
    """A blob exceeds LARGEST_BLOB, or there are more than MOST_UPLOADS at once."""


class WrongDigestError(Exception):
    """The bytes do not match the digest that the client sent."""


class Uploads:
    """The uploads in progress, by id; each belongs to one repository."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._names: dict[str, str] = {}
        self._guard = threading.Lock()

    def open(self, repository: str) -> str:
        """Open an upload and return its id; the oldest one is dropped if there are too many."""
        identity = str(uuid.uuid4())
        with self._guard:
            while len(self._names) >= _MOST_UPLOADS:
                oldest = next(iter(self._names))
                del self._names[oldest]
                self._file(oldest).unlink(missing_ok=True)
            self._file(identity).touch()
            self._names[identity] = repository
        return identity

    def known(self, repository: str, identity: str) -> bool:
        return self._names.get(identity) == repository

    def offset(self, identity: str) -> int:
        """Return the bytes received so far."""
        return self._file(identity).stat().st_size

    def append(self, identity: str, body: IO[bytes]) -> int:
        """Append `body` and return the new offset. Raises TooMuchError."""
        with self._file(identity).open("ab") as out:
            while chunk := body.read(CHUNK):
                if out.tell() + len(chunk) > _LARGEST_BLOB:
                    raise TooMuchError(f"a blob may have {_LARGEST_BLOB} bytes at most")
                out.write(chunk)
            return out.tell()

    def finish(self, identity: str, digest: str) -> None:
        """Verify and store the blob; the upload ends either way. Raises WrongDigestError."""
        path = self._file(identity)
        try:
            with path.open("rb") as data:
                found = "sha256:" + hashlib.file_digest(data, "sha256").hexdigest()
            if found != digest:
                raise WrongDigestError(f"the uploaded bytes have digest {found}, not {digest}")
            self._blobs.adopt(path, digest)
        finally:
            self.cancel(identity)

    def cancel(self, identity: str) -> None:
        with self._guard:
            self._names.pop(identity, None)
        self._file(identity).unlink(missing_ok=True)

    def _file(self, identity: str) -> Path:
        return self._blobs.unfinished / identity
