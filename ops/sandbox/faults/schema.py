"""Schema behind release: the running image was released with a newer database revision.

If the database is at the newest revision, a copy of it is downgraded by one revision; the original
is set aside and later restored. If no release record names a newer revision, one is written in the
format of a deploy.
"""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

if TYPE_CHECKING:
    from ops.sandbox.database import Server

# as ops/state/rules/records.py has it: newest first in S3's order of keys
_FOLDER = "ops/releases/sandbox/backend/"
_NEWEST_FIRST = 10**10


class SchemaBehind(FaultInjector):
    """A database one revision older than the newest release record."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        from ops.sandbox.database import schema

        key = f"{_FOLDER}{_NEWEST_FIRST - int(time.time()):010d}-{secrets.token_hex(4)}.json"
        at_head = schema.current(handles.database.login) == schema.order()[-1]
        return {"record": key, "aside": at_head}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.database import schema, swap

        if state["aside"]:
            swap.put_aside(handles.database.admin)
            schema.downgrade(handles.database.login)
        if not self.is_visible(handles, state):
            after = schema.order()[_revision_index(schema.current(handles.database.login)) + 1]
            _put_record(handles, state["record"], _release_record(handles, after))
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not handles.database.alive() or self.is_visible(handles, state)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        from ops.sandbox.database import schema

        return _revision_index(_newest_release(handles).get("schema_revision")) > _revision_index(
            schema.current(handles.database.login)
        )

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        from ops.sandbox.seed.names import STATE_BUCKET

        handles.clients.s3.delete_object(Bucket=STATE_BUCKET, Key=state["record"])
        self.remove_leftovers(handles.database, state)

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        return not state["aside"] or not self.is_visible(handles, state)

    def remove_leftovers(self, database: Server, state: FaultState) -> None:
        from ops.sandbox.database import swap

        if state.get("aside"):
            swap.restore(database.admin)


def _revision_index(revision: str | None) -> int:
    """Return the position of the revision in the project's history, or -1."""
    from ops.sandbox.database import schema

    known = schema.order()
    return known.index(revision) if revision in known else -1


def _newest_release(handles: SandboxHandles) -> dict[str, Any]:
    """Return the newest successful release record of the backend, as health.db reads it, or {}."""
    from ops.sandbox.seed.names import STATE_BUCKET

    s3 = handles.clients.s3
    for found in s3.list_objects_v2(Bucket=STATE_BUCKET, Prefix=_FOLDER).get("Contents") or []:
        record = dict(
            json.loads(s3.get_object(Bucket=STATE_BUCKET, Key=found["Key"])["Body"].read())
        )
        if record.get("verdict") == "succeeded":
            return record
    return {}


def _put_record(handles: SandboxHandles, key: str, document: dict[str, Any]) -> None:
    from ops.sandbox.seed.names import STATE_BUCKET

    body = json.dumps(document).encode()
    handles.clients.s3.put_object(
        Bucket=STATE_BUCKET, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
    )


def _release_record(handles: SandboxHandles, schema_revision: str) -> dict[str, Any]:
    """Return a record of the running release, as a deploy at `schema_revision` would write it."""
    from ops.sandbox.sample import git
    from ops.sandbox.seed.names import BACKEND

    service = probes.service(handles, BACKEND)
    definition = handles.clients.ecs.describe_task_definition(
        taskDefinition=service["taskDefinition"]
    )["taskDefinition"]
    image = next(
        each["image"] for each in definition["containerDefinitions"] if each["name"] == BACKEND.name
    )
    tag = image.rpartition(":")[2]
    images = handles.clients.ecr.describe_images(
        repositoryName=BACKEND.repository, imageIds=[{"imageTag": tag}]
    )["imageDetails"]
    commit, _, subject = git(handles.paths.platform, "log", "-1", "--format=%H %s", tag).partition(
        " "
    )
    return {
        "verdict": "succeeded",
        "why": "",
        "service": BACKEND.name,
        "environment": "sandbox",
        "tag": tag,
        "image": image,
        "digest": images[0]["imageDigest"],
        "deployment": service["deployments"][0]["id"],
        "took_s": 0.0,
        "findings": [],
        "skipped": [],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": "sandbox",
        "host": "sandbox",
        "commit": commit,
        "subject": subject,
        "schema_revision": schema_revision,
        "task_definition": f"{definition['family']}:{definition['revision']}",
    }
