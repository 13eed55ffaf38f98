"""What this machine does not reach: unknown where the platform is private, down where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ops.aws import session
from ops.aws.facts import Balancer, Ingress
from ops.core.errors import Unreachable
from ops.core.findings import Unknown
from ops.deploy import verify
from ops.health import probe_database
from ops.health.inputs import SweepContext, SweepInputs
from ops.health.probe_endpoints import _endpoints
from ops.http.facts import Answer
from ops.platform import Platform
from ops.preflight.read_facts import GatherRequest, _probe_endpoints
from ops.sandbox.aws import serve
from ops.sandbox.contracts import REGION
from ops.tools import reachability
from ops.tools.reachability import Destination, private_reason
from tests.aws_fixtures import make_settings
from tests.sandbox.aws_platform import QUICK, client_of, ports

PUBLIC = Balancer("web", "web-1.elb.amazonaws.com", False, ("sg-1",))
INTERNAL = Balancer("web", "internal-web-1.elb.amazonaws.com", True, ("sg-1",))
ALL_HTTPS = Ingress("tcp", 443, 443, ("0.0.0.0/0",))
CDN_ONLY = Ingress("tcp", 443, 443, ("pl-3b927c52",))
SERVICES = {
    "web": {
        "ecs_service": "web",
        "container": "web",
        "repository": "web",
        "endpoints": [{"path": "/"}, {"path": "/api"}],
    }
}


def at(**given: Any) -> Destination:
    values: dict[str, Any] = {"host": "web.example.org", "port": 443, "addresses": ("3.3.3.3",)}
    return Destination(**{**values, **given})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (at(), None),
        (at(balancer=PUBLIC, ingress=(ALL_HTTPS,)), None),
        (at(balancer=PUBLIC, ingress=(Ingress("-1", 0, 65535, ("::/0",)),)), None),
        (at(balancer=Balancer("nlb", "nlb-1.elb.amazonaws.com", False)), None),
        (at(addresses=("10.0.1.5", "3.3.3.3")), None),
        (at(addresses=None), None),
        (at(addresses=None, others=(INTERNAL, PUBLIC)), None),
        (at(addresses=()), None),
        (at(balancer=INTERNAL, ingress=(ALL_HTTPS,)), "load balancer web is internal"),
        (at(balancer=PUBLIC, ingress=(CDN_ONLY,)), "web admit port 443 from pl-3b927c52"),
        (at(balancer=PUBLIC, ingress=()), "web admit port 443 from nobody"),
        (at(balancer=PUBLIC, ingress=(ALL_HTTPS,), port=80), "web admit port 80 from nobody"),
        (at(addresses=("10.0.1.5",)), "has private addresses only (10.0.1.5)"),
        (at(addresses=None, others=(INTERNAL,)), "web.example.org is not resolved here"),
    ],
)
def test_who_reaches_an_address(found: Destination, reason: str | None) -> None:
    said = private_reason(found)
    assert (said is None) if reason is None else (said is not None and reason in said)


def test_sources_are_named_shortly() -> None:
    """At most three; no security group at all admits anyone."""
    rule = Ingress("tcp", 5432, 5432, tuple(f"192.0.2.{n}/32" for n in range(5)))
    assert reachability.admitted(["sg-1"], [rule], 5432) == (
        "192.0.2.0/32, 192.0.2.1/32, 192.0.2.2/32 and 2 more"
    )
    assert reachability.admitted([], [rule], 5432) is None
    assert reachability.admitted(["sg-1"], [rule], 22) == "nobody"


def answer(cause: str = "page_hangs", status: int = 0) -> Answer:
    return Answer("/", status, "", 1.0, "no answer in time" if cause else "", cause)


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [answer("", 200)],
        [answer("page_failing", 502)],
        [answer("certificate_expired")],
        [answer("redirect_loop")],
    ],
)
def test_answers_by_a_connection_are_never_explained(
    answers: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is AWS asked."""
    monkeypatch.setattr(reachability, "read_destination", None)
    assert reachability.unreached(None, "https://web.example.org", answers) is None  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    """An AWS with an internal and an internet-facing load balancer."""
    served = serve(ports(), QUICK)
    try:
        ec2 = client_of(served, "ec2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2]]
        group = ec2.create_security_group(GroupName="office", Description="office")["GroupId"]
        source = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{**source, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}]
        )
        world = ec2.create_security_group(GroupName="world", Description="world")["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=world, IpPermissions=[{**source, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        )
        elb = client_of(served, "elbv2")
        made = {
            name: elb.create_load_balancer(
                Name=name, Subnets=subnets, Scheme=scheme, SecurityGroups=[found]
            )["LoadBalancers"][0]["DNSName"]
            for name, scheme, found in (
                ("inner", "internal", world),
                ("office", "internet-facing", group),
                ("open", "internet-facing", world),
            )
        }
        yield served, made
    finally:
        served.stop()


@pytest.fixture(autouse=True)
def no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name of Elastic Load Balancing is resolved here, as behind no DNS server."""
    monkeypatch.setattr(reachability, "_resolved", lambda host: None)


def platform(aws: Any, name: str) -> Platform:
    served, made = aws
    key = served.keys.operator
    cloud = session.of_overlay(served.url, key.access_key, key.secret_key, REGION)
    return Platform(make_settings(alb=f"http://{made[name]}", services=SERVICES), cloud)


KINDS = [
    ("inner", "load balancer inner is internal"),
    ("office", "load balancer office admit port 80 from 192.0.2.0/24"),
    ("open", None),
]


@pytest.mark.parametrize(("name", "reason"), KINDS)
def test_pages_of_a_sweep(aws: Any, name: str, reason: str | None) -> None:
    """Unknown with the reason, which explains nothing; failed at a public one."""
    inputs = SweepInputs(SweepContext(platform(aws, name)))
    pages = [check for check in _endpoints(inputs) if check.key.kind == "page"]
    assert {check.status for check in pages} == {"unknown" if reason else "failed"}
    assert len(pages) == 2 and all((check.finding is None) == bool(reason) for check in pages)
    if reason:
        assert all(reason in check.detail for check in pages)


@pytest.mark.parametrize(("name", "reason"), KINDS)
def test_pages_of_preflight(aws: Any, name: str, reason: str | None) -> None:
    place = platform(aws, name)
    service = place.settings.service("web")
    request = GatherRequest(place, "web", service, None, frozenset(), lambda line: None)
    if reason is None:
        assert not any(answer.healthy for answer in _probe_endpoints(request))
        return
    with pytest.raises(Unreachable) as error:
        _probe_endpoints(request)
    assert reason in error.value.why


@pytest.mark.parametrize(("name", "reason"), KINDS)
@pytest.mark.parametrize("before", [Unknown("not read"), (answer("", 200),)])
def test_pages_after_a_deploy(aws: Any, name: str, reason: str | None, before: Any) -> None:
    """A rollout is not rolled back for pages that this machine does not reach, also where it
    reached them before (a VPN that ended).
    """
    found = verify.verify_endpoints(platform(aws, name), "web", before, sleep=lambda _: None)
    if reason is None:
        assert found.broken is not None and found.unreached is None and len(found.answers) == 2
        return
    assert found.broken is None and found.answers == ()
    assert found.unreached is not None and reason in found.unreached.why
    finding = verify.unreached_finding(found.unreached, "web")
    assert finding.cause == "unproven" and reason in finding.summary


def test_load_balancers_that_cannot_be_read_excuse_nothing(aws: Any) -> None:
    """Without the permission the pages stay failed."""
    key, action = aws[0].keys.operator.access_key, "elasticloadbalancing:DescribeLoadBalancers"
    aws[0].gate.deny(key, action)
    try:
        found = verify.verify_endpoints(
            platform(aws, "inner"), "web", Unknown("not read"), sleep=lambda _: None
        )
        assert found.broken is not None and found.unreached is None
    finally:
        aws[0].gate.allow(key, action)


@pytest.mark.parametrize(
    ("group", "public", "reason"),
    [
        ("office", True, "admit its port from 192.0.2.0/24"),
        ("world", True, None),
        ("world", False, "PubliclyAccessible false"),
    ],
)
def test_a_database_that_is_asked_from_here(
    aws: Any, group: str, public: bool, reason: str | None
) -> None:
    """Unknown where RDS or its security groups say that only some networks reach it."""
    served, _ = aws
    ec2, rds = client_of(served, "ec2"), client_of(served, "rds")
    found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [group]}])
    name = f"db-{group}-{public}".lower()
    made = rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        Port=80,  # the port of the groups above
        MasterUsername="app",
        MasterUserPassword="not-a-secret",
        AllocatedStorage=20,
        PubliclyAccessible=public,
        VpcSecurityGroupIds=[found["SecurityGroups"][0]["GroupId"]],
    )["DBInstance"]
    key = served.keys.operator
    cloud = session.of_overlay(served.url, key.access_key, key.secret_key, REGION)
    settings = make_settings(database={"instance": name, "run": "local"})
    inputs = SweepInputs(SweepContext(Platform(settings, cloud)))
    if reason is None:
        probe_database._require_reachable(inputs, made["Endpoint"]["Address"])
        return
    with pytest.raises(Unreachable) as error:
        probe_database._require_reachable(inputs, made["Endpoint"]["Address"])
    assert reason in error.value.why
