"""The operator's side of a task's messages, on moto's S3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ops.aws import s3, session
from ops.aws.facts import TaskDefinition
from ops.core.errors import Refused
from ops.database_task.channel import RunChannel
from ops.database_task.plan import require_log_group
from ops.database_task.rules.requirements import LogPlace, ObjectPlace
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


@pytest.mark.parametrize("setting", ["state.bucket", "database.task.bundle"])
def test_a_bucket_that_does_not_exist(cloud: session.AwsSession, setting: str) -> None:
    """The error names the setting, and nothing is reported as left behind."""
    channel = RunChannel(cloud, ObjectPlace("nosuch", "ops/tasks", setting), "run1")
    with pytest.raises(Refused) as refused:
        channel.upload_loader()
    assert refused.value.next == f"correct {setting} in invoke.yaml"
    attached = RunChannel(cloud, ObjectPlace("nosuch", "ops/tasks"), "run1")
    assert [*channel.delete(), *attached.delete()] == []


def test_a_log_group_that_does_not_exist(cloud: session.AwsSession) -> None:
    """It is named before the start, with the command that creates it."""
    options = {"awslogs-group": "/ecs/absent"}
    container = {"name": "api", "logConfiguration": {"logDriver": "awslogs", "options": options}}
    document = {"containerDefinitions": [container]}
    found = TaskDefinition("arn:aws:ecs:us-east-1:1:task-definition/api:7", "ACTIVE", "", document)
    plan: Any = SimpleNamespace(
        log=LogPlace("/ecs/absent", "ecs", ""), definition=found, container="api"
    )
    platform: Any = SimpleNamespace(cloud=cloud)
    with pytest.raises(Refused) as refused:
        require_log_group(platform, plan)
    assert refused.value.next == (
        f"{cloud.program} logs create-log-group --log-group-name /ecs/absent"
    )
    options["awslogs-create-group"] = "true"
    require_log_group(platform, plan)
    del options["awslogs-create-group"]
    cloud.client("logs").create_log_group(logGroupName="/ecs/absent")
    require_log_group(platform, plan)
