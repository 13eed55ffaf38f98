"""The schema behind the release: the running image was released on a newer revision of the database
than the database has.

Where the schema is the newest there is, it goes back by its last revision's own downgrade, in a
copy: the original waits aside and comes back as it was. Where no release says so, one is written
down, in the shape that every deploy writes."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ops.sandbox.faults import probes
from ops.sandbox.faults.base import Ground, Kept, Work

if TYPE_CHECKING:
    from ops.sandbox.database import Server

# as ops/state/rules/records.py has it: newest first in S3's order of keys
FOLDER = "ops/releases/sandbox/backend/"
NEWEST_FIRST = 10**10


class Behind(Work):
    """One revision back where it is at the head, and a release that knows the revision after it."""

    def prepare(self, ground: Ground) -> Kept:
        from ops.sandbox.database import schema

        key = f"{FOLDER}{NEWEST_FIRST - int(time.time()):010d}-{secrets.token_hex(4)}.json"
        at_head = schema.current(ground.database.login) == schema.order()[-1]
        return {"record": key, "aside": at_head}

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        from ops.sandbox.database import schema, swap

        if kept["aside"]:
            swap.put_aside(ground.database.admin)
            schema.downgrade(ground.database.login)
        if not self.is_visible(ground, kept):
            after = schema.order()[place(schema.current(ground.database.login)) + 1]
            put(ground, kept["record"], release(ground, after))
        return {}

    def there(self, ground: Ground, kept: Kept) -> bool:
        return not ground.database.alive() or self.is_visible(ground, kept)

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        from ops.sandbox.database import schema

        return place(newest_release(ground).get("schema_revision")) > place(
            schema.current(ground.database.login)
        )

    def end(self, ground: Ground, kept: Kept) -> None:
        from ops.sandbox.seed.names import STATE_BUCKET

        ground.clients.s3.delete_object(Bucket=STATE_BUCKET, Key=kept["record"])
        self.heal(ground.database, kept)

    def well(self, ground: Ground, kept: Kept) -> bool:
        return not kept["aside"] or not self.is_visible(ground, kept)

    def heal(self, database: Server, kept: Kept) -> None:
        from ops.sandbox.database import swap

        if kept.get("aside"):
            swap.bring_back(database.admin)


def place(revision: str | None) -> int:
    """Which of the revisions it is, from 0; -1 for none of them."""
    from ops.sandbox.database import schema

    known = schema.order()
    return known.index(revision) if revision in known else -1


def newest_release(ground: Ground) -> dict[str, Any]:
    """The newest record of a backend's release that succeeded, as health.db reads it; empty where
    there is none.
    """
    from ops.sandbox.seed.names import STATE_BUCKET

    s3 = ground.clients.s3
    for found in s3.list_objects_v2(Bucket=STATE_BUCKET, Prefix=FOLDER).get("Contents") or []:
        record = dict(
            json.loads(s3.get_object(Bucket=STATE_BUCKET, Key=found["Key"])["Body"].read())
        )
        if record.get("verdict") == "succeeded":
            return record
    return {}


def put(ground: Ground, key: str, document: dict[str, Any]) -> None:
    from ops.sandbox.seed.names import STATE_BUCKET

    body = json.dumps(document).encode()
    ground.clients.s3.put_object(
        Bucket=STATE_BUCKET, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
    )


def release(ground: Ground, schema_revision: str) -> dict[str, Any]:
    """The release of what runs, as a deploy would have recorded it on a database at
    `schema_revision`.
    """
    from ops.sandbox.sample import git
    from ops.sandbox.seed.names import BACKEND

    service = probes.service(ground, BACKEND)
    definition = ground.clients.ecs.describe_task_definition(
        taskDefinition=service["taskDefinition"]
    )["taskDefinition"]
    image = next(
        each["image"] for each in definition["containerDefinitions"] if each["name"] == BACKEND.name
    )
    tag = image.rpartition(":")[2]
    images = ground.clients.ecr.describe_images(
        repositoryName=BACKEND.repository, imageIds=[{"imageTag": tag}]
    )["imageDetails"]
    commit, _, subject = git(ground.paths.platform, "log", "-1", "--format=%H %s", tag).partition(
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
