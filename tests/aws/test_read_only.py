"""A session that only reads refuses every other call before it is sent."""

from __future__ import annotations

import pytest

from ops.aws.session import NotARead, of_overlay


def test_a_change_is_refused_before_it_is_sent() -> None:
    cloud = of_overlay("http://127.0.0.1:9", "AKIDEXAMPLE", "not-a-secret", "us-east-1").read_only()
    for name, call in {
        "ecs": lambda client: client.update_service(service="backend", desiredCount=0),
        "s3": lambda client: client.delete_object(Bucket="a", Key="b"),
        "rds": lambda client: client.start_db_instance(DBInstanceIdentifier="a"),
    }.items():
        with pytest.raises(NotARead, match="is not a read"):
            call(cloud.client(name))
    with pytest.raises(NotARead):
        cloud.in_region("eu-west-1").client("ecs").stop_task(task="a")
