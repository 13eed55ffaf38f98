"""Collectors read every page, chunk their ids, and take no failure for absence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from ops.core.errors import Unreachable
from ops.core.findings import Unknown
from ops.diagnosis.collectors import ecs, elb
from ops.diagnosis.collectors.registry import Reader
from ops.diagnosis.incident import _definition, read_incident
from tests.diagnosis.incidents import BALANCER, GROUP, find, snapshot, world

Answers = dict[str, Callable[..., Any]]


class _Gone(ClientError):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "TargetGroupNotFound"}}, "DescribeTargetGroups")


class FakeClient:
    """A client whose operations are functions; a paginator yields what they yield."""

    exceptions = SimpleNamespace(TargetGroupNotFoundException=_Gone)

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Any:
        return self._answers[operation]

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=self._answers[operation])


class FakeReader(Reader):
    """A reader of other documents and of one fake client."""

    def __init__(self, answers: Answers, **documents: Any) -> None:
        self._answers = answers
        self._contents = {key.replace("__", "/"): value for key, value in documents.items()}
        self.environment = cast("Any", SimpleNamespace(cluster="main", services={}))

    def client(self, name: str) -> Any:
        return FakeClient(self._answers)

    def content(self, key: str) -> Any:
        return self._contents[key]


def _service(count: int) -> dict[str, Any]:
    return {"web": {"loadBalancers": [{"targetGroupArn": f"tg/{n}"} for n in range(count)]}}


def test_target_groups_are_read_twenty_at_a_time_without_those_that_are_gone() -> None:
    """One deleted target group does not hide the other 22."""
    asked: list[int] = []

    def describe(TargetGroupArns: list[str]) -> Iterator[Any]:
        asked.append(len(TargetGroupArns))
        if "tg/5" in TargetGroupArns:
            raise _Gone
        yield {"TargetGroups": [{"TargetGroupArn": each} for each in TargetGroupArns]}

    reader = FakeReader({"describe_target_groups": describe}, ecs__services=_service(23))
    found = elb.target_groups(reader)
    assert set(found) == {f"tg/{n}" for n in range(23)} - {"tg/5"}
    assert max(asked) == 20


def test_rules_and_certificates_of_every_page_are_read() -> None:
    """A rule on the second page captures paths too, and any certificate may be the right one."""

    def rules(ListenerArn: str) -> Iterator[Any]:
        yield {"Rules": [{"Priority": "1"}]}
        yield {"Rules": [{"Priority": "2"}]}

    def certificates(ListenerArn: str) -> Iterator[Any]:
        yield {"Certificates": [{"CertificateArn": "default", "IsDefault": True}]}
        yield {"Certificates": [{"CertificateArn": "other", "IsDefault": False}]}

    def listeners(LoadBalancerArn: str) -> Iterator[Any]:
        yield {
            "Listeners": [{"ListenerArn": "l1", "Certificates": [{"CertificateArn": "default"}]}]
        }
        yield {"Listeners": [{"ListenerArn": "l2"}]}

    reader = FakeReader(
        {
            "describe_listeners": listeners,
            "describe_rules": rules,
            "describe_listener_certificates": certificates,
        },
        **{"elb__load-balancers": {"lb": {}}},
    )
    found = elb.listeners(reader)["lb"]
    assert [each["ListenerArn"] for each in found] == ["l1", "l2"]
    assert all(len(each["Rules"]) == 2 for each in found)
    named = [each["CertificateArn"] for each in found[0]["Certificates"]]
    assert named == ["default", "other"] and found[1]["Certificates"] == []


def test_a_failure_of_describe_is_not_a_missing_service() -> None:
    """MISSING is the only failure that says that a service does not exist."""

    def describe(**_: Any) -> Any:
        return {"services": [], "failures": [{"arn": "web", "reason": reason}]}

    reader = FakeReader({"describe_services": describe})
    reader.environment.services["web"] = cast("Any", SimpleNamespace(ecs_service="web"))
    reason = "MISSING"
    assert ecs.services(reader) == {"web": None}
    reason = "ACCESS_DENIED"
    with pytest.raises(Unreachable, match="ACCESS_DENIED"):
        ecs.services(reader)


def test_every_stopped_task_is_described() -> None:
    """ListTasks is in no order, so none of 730 stopped tasks is left out."""

    def listed(**_: Any) -> Iterator[Any]:
        for start in range(0, 730, 100):
            yield {"taskArns": [f"t{n}" for n in range(start, min(730, start + 100))]}

    def describe(cluster: str, tasks: list[str]) -> Any:
        assert len(tasks) <= 100
        return {"tasks": [{"taskArn": each} for each in tasks], "failures": []}

    reader = FakeReader({"list_tasks": listed, "describe_tasks": describe})
    found = [*ecs._tasks(reader, "web", "STOPPED")]
    assert len({each["taskArn"] for each in found}) == 730


def test_a_revision_that_was_not_read_is_unknown() -> None:
    """A service's revision exists, so one that is not in the document was not read."""
    assert _definition({}, "", {}) is None
    found = _definition({}, "arn:aws:ecs:us-east-1:1:task-definition/web:3", {})
    assert isinstance(found, Unknown) and "web:3" in found.why


GREEN = GROUP.replace("/1", "/2")
RULE = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/dev-alb/1/2/3"


@pytest.mark.parametrize(
    ("weights", "serving"),
    [((0, 100), GREEN), ((100, 0), GROUP), (None, GROUP)],
    ids=["production on the alternate group", "on the first", "weights unknown: the healthy one"],
)
def test_the_serving_group_of_a_pair_is_examined(
    weights: tuple[int, int] | None, serving: str
) -> None:
    """The idle group of a blue/green service has no targets, which is no finding."""
    documents = world()
    balancer = documents["ecs/services"]["dev-backend"]["loadBalancers"][0]
    balancer["advancedConfiguration"] = {
        "alternateTargetGroupArn": GREEN,
        "productionListenerRule": RULE,
    }
    groups = documents["elb/target-groups"]
    groups[GREEN] = {**groups[GROUP], "TargetGroupArn": GREEN}
    documents["elb/targets"][GREEN] = []
    if weights:
        shares = [
            {"TargetGroupArn": arn, "Weight": weight}
            for arn, weight in zip((GROUP, GREEN), weights, strict=True)
        ]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": shares}}
        rule = {"RuleArn": RULE, "Priority": "1", "Conditions": [], "Actions": [action]}
        documents["elb/listeners"][BALANCER] = [{"ListenerArn": "l", "Rules": [rule]}]
    if weights == (0, 100):
        pair = documents["elb/targets"]
        pair[GREEN], pair[GROUP] = pair[GROUP], pair[GREEN]
    [service] = read_incident(snapshot(documents)).services
    assert not isinstance(service.target_groups, Unknown)
    [found] = service.target_groups
    assert found.group.arn == serving and not isinstance(found.targets, Unknown)
    assert len(found.targets) == 2
    assert find(documents).found == ()
