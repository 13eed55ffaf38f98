"""The operator's side of a task's messages: requests and replies as objects in S3.

The bundles stay in the bucket, by their digest, as a cache. The loader and the messages are below
`runs/` and are deleted at the end; after a kill they remain, so give that prefix a lifecycle rule.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.aws import s3
from ops.aws.session import AwsSession
from ops.core.errors import OpsError, Refused, Unreachable
from ops.database_task.rules.requirements import ObjectPlace
from ops.migrations.remote.bundle import Bundle

URL_S = 3600  # how long the URLs of one run work
IDLE_S = 900.0  # how long a task waits for a request, such as while a question is open


@dataclass
class RunChannel:
    """The objects of one run. `key` signs its messages; RunTask hands it to the task."""

    cloud: AwsSession
    place: ObjectPlace
    run: str
    key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    number: int = 0  # of the next request or reply
    # the objects to delete at the end; a task that was started elsewhere may have all
    names: set[str] = field(default_factory=lambda: {"loader", "request", "reply"})

    def _object(self, name: str) -> str:
        return self.place.key("runs", self.run, name)

    def _url(self, key: str, *, put: bool = False) -> str:
        return s3.presigned_url(self.cloud, self.place.bucket, key, URL_S, put=put)

    def upload_loader(self) -> tuple[str, str]:
        """Upload the program that the task fetches first; returns its URL and its SHA-256."""
        from ops.migrator.task import loader

        urls = {
            "request": self._url(self._object("request")),
            "reply": self._url(self._object("reply"), put=True),
        }
        text = Path(loader.__file__).read_text(encoding="utf-8")
        call = f"\nmain(json.loads({json.dumps(urls)!r}), {IDLE_S!r})\n"
        content = (text + call).encode()
        self.names = set()
        try:
            s3.put_bytes(self.cloud, self.place.bucket, self._object("loader"), content)
        except Refused as error:  # there is no such bucket
            how = f"correct {self.place.setting} in invoke.yaml"
            raise Refused(error.what, error.why, how) from None
        self.names = {"loader", "request", "reply"}
        return self._url(self._object("loader")), hashlib.sha256(content).hexdigest()

    def upload_bundle(self, kind: str, bundle: Bundle) -> tuple[dict[str, str], bool]:
        """The part of an `install` request; uploaded unless the bucket has it."""
        digest = hashlib.sha256(bundle.archive).hexdigest()
        key = self.place.key("bundles", f"{kind}-{digest[:32]}.tar.gz")
        bucket = self.place.bucket
        known = any(each == key for each in s3.keys(self.cloud, bucket, key, 1))
        if not known:
            s3.put_bytes(self.cloud, bucket, key, bundle.archive)
        return {"name": f"{kind}-{bundle.name}", "url": self._url(key), "sha256": digest}, not known

    def send(self, document: dict[str, Any]) -> None:
        """Write the next request."""
        from ops.migrator.task.loader import signed

        body = signed(self.key.encode(), "request", {**document, "number": self.number})
        s3.put_bytes(self.cloud, self.place.bucket, self._object("request"), body)

    def receive(self) -> dict[str, Any] | None:
        """The reply to the last request; None while there is none.

        Raises OpsError for a reply that was not signed by this run's task.
        """
        from ops.migrator.task.loader import verified

        key = self._object("reply")
        body = s3.get_bytes(self.cloud, self.place.bucket, key)
        if body is None:
            return None
        found = verified(self.key.encode(), "reply", body)
        if found is None:
            raise OpsError(
                f"s3://{self.place.bucket}/{key}",
                "its signature is wrong: it was not written by the task of this run",
                "see who can write to the bucket, then inv db.current",
            )
        if found["number"] < self.number:
            return None
        if found["number"] > self.number:  # the end of a run has replaced its start
            self.number = found["number"]  # and is read again as the next reply
            return found
        self.number += 1
        return found

    def delete(self) -> Iterator[str]:
        """Delete the loader and the messages; yields what could not be deleted."""
        for name in sorted(self.names):
            with suppress(Unreachable):
                try:
                    s3.delete(self.cloud, self.place.bucket, self._object(name))
                except Refused:  # without the bucket nothing is left
                    return
                except OpsError as error:
                    yield f"{error.what}: {error.why}"
