"""The operator's side of a task's messages, on moto's S3."""

from __future__ import annotations

from typing import Any

from ops.aws import s3, session
from ops.database_task.channel import RunChannel
from ops.database_task.rules.requirements import ObjectPlace
from ops.migrator.task.loader import signed


def reply(channel: RunChannel, number: int, **document: Any) -> None:
    body = signed(channel.key.encode(), "reply", {**document, "number": number})
    s3.put_bytes(channel.cloud, channel.place.bucket, channel._object("reply"), body)


def test_a_short_run_whose_end_replaces_its_start(cloud: session.AwsSession) -> None:
    """A migration of milliseconds ends before its start was read: that is an answer, twice."""
    cloud.client("s3").create_bucket(Bucket="messages")
    channel = RunChannel(cloud, ObjectPlace("messages", "ops/tasks"), "run1", number=3)
    assert channel.receive() is None
    reply(channel, 2, started="run1")
    assert channel.receive() is None, "an answer to an earlier request"
    reply(channel, 3, started="run1")
    found = channel.receive()
    assert found is not None and found["started"] == "run1"
    assert channel.receive() is None, "read once"

    other = RunChannel(cloud, ObjectPlace("messages", "ops/tasks"), "run2", number=3)
    reply(other, 4, end={"state": "done"})
    first, second = other.receive(), other.receive()
    assert first == second and first is not None and first["end"] == {"state": "done"}
    assert other.receive() is None
