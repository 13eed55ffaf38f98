"""Collectors: what could not be read is unknown, with the missing permission, never empty."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ops.aws.session import AwsSession
from ops.core.errors import OpsError
from ops.core.parallel import NotRead
from ops.diagnosis.collectors import images
from ops.diagnosis.collectors.registry import Reader
from ops.platform import Platform


@pytest.fixture
def reader() -> Reader:
    settings: Any = SimpleNamespace(environment=None)
    return Reader(Platform(settings, AwsSession(None, None, None, None, "us-east-1")))


def denied() -> Any:
    from botocore.exceptions import ClientError

    error = {
        "Code": "AccessDeniedException",
        "Message": "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: "
        "ecs:DescribeTaskDefinition on resource: *",
    }
    raise ClientError({"Error": error}, "DescribeTaskDefinition")


def gone() -> str:
    raise OpsError("web:3", "it was deleted")


def test_what_failed_beside_others_is_left_out(reader: Reader) -> None:
    calls = {"web:1": lambda: "found", "web:2": lambda: None, "web:3": gone}
    assert reader.read_each(calls) == {"web:1": "found"}
    assert reader.read_each({}) == {}


def test_where_all_failed_the_missing_permission_is_named(reader: Reader) -> None:
    with pytest.raises(NotRead) as raised:
        reader.read_each({"web:1": denied, "web:2": gone})
    assert raised.value.denied_action == "ecs:DescribeTaskDefinition"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("LifecyclePolicyNotFoundException", ""),
        ("RepositoryPolicyNotFoundException", ""),
        ("AccessDeniedException", None),
    ],
)
def test_a_policy_that_may_not_be_read_is_unknown(code: str, found: str | None) -> None:
    from botocore.exceptions import ClientError

    def get_lifecycle_policy(**names: str) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "GetLifecyclePolicy")

    assert images._policy(get_lifecycle_policy, "web", {}) == found


def test_a_service_without_ecs_deployments_has_no_newest_one() -> None:
    """The deployments of another controller are task sets."""
    service = {"status": "ACTIVE", "deployments": [], "runningCount": 0, "desiredCount": 2}
    contents = {"ecs/task-definitions": {}, "ecs/services": {"web": service}}
    assert list(images.newest_definitions(SimpleNamespace(content=contents.get))) == []  # type: ignore[arg-type]
