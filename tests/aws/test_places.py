"""Where calls go: partitions, FIPS and dual-stack endpoints, other Regions and accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from ops.aws import session
from ops.aws.cloudwatch import logs
from ops.aws.errors import translate_error
from ops.aws.facts import EcrUri, LogGroupRef, TaskDefinition
from ops.core.config.settings import Service
from ops.core.errors import Unreachable
from ops.diagnosis.collectors import images
from ops.diagnosis.rules.edge import origin
from ops.diagnosis.rules.tasks import network, reach
from ops.environment.rules import service as service_rules
from ops.terraform import state_locks
from tests.aws.api_calls import api_calls

SERVICES = sorted({each.service for each in api_calls()})
GLOBAL = {"iam", "cloudfront", "s3", "sts"}  # have a host without a Region in us-east-1
Connect = Callable[..., session.AwsSession]


@pytest.fixture
def connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Callable[..., Any]
) -> Connect:
    """A session for a real account, with these AWS variables and these lines in its profile."""
    import os

    def connected(
        region: str, variables: Mapping[str, str] = {}, profile: str = ""
    ) -> session.AwsSession:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            monkeypatch.delenv(name)
        config = tmp_path / "config"
        config.write_text(
            f"[profile ours]\naws_access_key_id = A\naws_secret_access_key = b\n{profile}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return session.connect(settings(region=region, aws={"profile": "ours"}))

    return connected


def _host(cloud: session.AwsSession, service: str) -> str:
    return urlsplit(cloud.client(service).meta.endpoint_url).hostname or ""


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("us-east-1", ".amazonaws.com"),
        ("eu-west-3", ".amazonaws.com"),
        ("cn-north-1", ".amazonaws.com.cn"),
        ("us-gov-west-1", ".amazonaws.com"),
        ("us-iso-east-1", ".c2s.ic.gov"),
        ("us-isob-east-1", ".sc2s.sgov.gov"),
    ],
)
def test_every_service_has_its_host_in_every_partition(
    connect: Connect, region: str, suffix: str
) -> None:
    """No host is built by hand: botocore knows the partition's DNS suffix."""
    cloud = connect(region)
    for service in SERVICES:
        host = _host(cloud, service)
        assert host.endswith(suffix), (service, host)
        assert service in GLOBAL or region in host, (service, host)


@pytest.mark.parametrize(
    ("variables", "profile"),
    [
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, ""),
        ({}, "use_fips_endpoint = true"),
    ],
    ids=["environment", "profile"],
)
def test_fips_endpoints_are_used(
    connect: Connect, variables: Mapping[str, str], profile: str
) -> None:
    """AWS's own variable, and the same key of the profile, hold for every client."""
    cloud = connect("us-east-1", variables, profile)
    assert all("fips" in _host(cloud, service) for service in SERVICES)


@pytest.mark.parametrize(
    ("variables", "profile"),
    [
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, ""),
        ({}, "use_dualstack_endpoint = true"),
    ],
    ids=["environment", "profile"],
)
def test_dual_stack_endpoints_are_used(
    connect: Connect, variables: Mapping[str, str], profile: str
) -> None:
    cloud = connect("us-east-1", variables, profile)
    hosts = [_host(cloud, service) for service in SERVICES]
    assert all(each.endswith(".api.aws") or ".dualstack." in each for each in hosts), hosts


def test_an_endpoint_of_one_service_holds_for_that_service(connect: Connect) -> None:
    """AWS_ENDPOINT_URL_S3 before AWS_ENDPOINT_URL, as AWS documents it."""
    variables = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9001",
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "http://127.0.0.1:9002",
    }
    cloud = connect("us-east-1", variables)
    found = {name: urlsplit(cloud.client(name).meta.endpoint_url).port for name in SERVICES}
    assert (found.pop("s3"), found.pop("logs")) == (9001, 9002)
    assert set(found.values()) == {9000}


def test_an_overlay_ignores_the_endpoints_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, cloud_at: Callable[[str], session.AwsSession]
) -> None:
    """A rehearsal goes to the overlay's address, whatever the shell has for one service."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9001")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    cloud = cloud_at("http://127.0.0.1:9")
    for service in SERVICES:
        assert cloud.client(service).meta.endpoint_url == "http://127.0.0.1:9"


def test_the_configured_region_holds(connect: Connect) -> None:
    """The shell's Region is another project's."""
    variables = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-2"}
    cloud = connect("us-west-2", variables, "region = eu-west-3")
    assert cloud.client("ecs").meta.region_name == "us-west-2"
    assert cloud.in_region("us-east-2").client("ecs").meta.region_name == "us-east-2"


@pytest.mark.parametrize(
    ("url", "setting"),
    [
        ("https://application-autoscaling-fips.eu-west-1.amazonaws.com/", "use_fips_endpoint"),
        ("https://fips.ecs.eu-west-1.amazonaws.com/", "use_fips_endpoint"),
        ("https://ecs.ap-east-2.api.aws/", "use_dualstack_endpoint"),
        ("https://s3.dualstack.us-iso-east-1.c2s.ic.gov/", "use_dualstack_endpoint"),
    ],
)
def test_a_host_that_does_not_exist_names_the_setting_that_chose_it(url: str, setting: str) -> None:
    """AWS has FIPS and dual-stack hosts in some Regions only; elsewhere their name is unknown."""
    from botocore.exceptions import EndpointConnectionError

    problem = translate_error("service x", EndpointConnectionError(endpoint_url=url))
    assert isinstance(problem, Unreachable) and setting in problem.next
    plain = EndpointConnectionError(endpoint_url="https://ecs.us-east-1.amazonaws.com/")
    assert "endpoint" not in translate_error("service x", plain).next


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("1" * 12 + ".dkr.ecr.us-east-1.amazonaws.com/a/b:v1", ("us-east-1", "a/b")),
        ("1" * 12 + ".dkr.ecr.cn-north-1.amazonaws.com.cn/web", ("cn-north-1", "web")),
        ("1" * 12 + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com/web", ("us-gov-west-1", "web")),
        ("1" * 12 + ".dkr-ecr.us-east-1.on.aws/web@sha256:" + "a" * 64, ("us-east-1", "web")),
        ("1" * 12 + ".dkr-ecr-fips.us-east-1.on.aws/web:v1", ("us-east-1", "web")),
        ("1" * 12 + ".dkr.ecr.us-iso-east-1.c2s.ic.gov/web:v1", ("us-iso-east-1", "web")),
        ("public.ecr.aws/nginx/nginx:1", None),
        ("docker.io/library/nginx", None),
        ("127.0.0.1:5000/web:v1", None),
    ],
)
def test_images_of_ecr_are_recognised_by_all_of_its_hosts(
    reference: str, place: tuple[str, str] | None
) -> None:
    found = EcrUri.parse(reference)
    assert (found and (found.region, found.name)) == place


def test_an_image_by_a_dual_stack_host_is_described() -> None:
    """The image is pulled by one host of the registry, and ECR names the repository by another."""
    uri = "1" * 12 + ".dkr.ecr.us-east-1.amazonaws.com/web"

    def described(**_: Any) -> Any:
        return {"repositories": [{"repositoryName": "web", "repositoryUri": uri}]}

    def details(**asked: Any) -> Any:
        assert asked["registryId"] == "1" * 12
        return {"imageDetails": [{"imageDigest": "sha256:1"}]}

    client = SimpleNamespace(
        describe_repositories=described,
        describe_images=details,
        get_lifecycle_policy=lambda **_: {},
        get_repository_policy=lambda **_: {},
        exceptions=SimpleNamespace(
            RepositoryNotFoundException=KeyError, ImageNotFoundException=KeyError
        ),
    )
    cloud: Any = SimpleNamespace(in_region=lambda _: cloud, client=lambda _: client)
    reader: Any = SimpleNamespace(cloud=cloud, environment=SimpleNamespace(account="2" * 12))
    found = images._image(reader, "1" * 12 + ".dkr-ecr.us-east-1.on.aws/web:v1")
    assert found is not None
    assert found["image"] == {"imageDigest": "sha256:1"}


GROUP = "arn:aws-us-gov:logs:us-gov-west-1:222222222222:log-group:/ecs/web:*"


def test_a_log_group_is_read_where_its_arn_says(cloud: session.AwsSession) -> None:
    """A group of another Region exists there, and its events are read there."""
    west = cloud.in_region("us-west-2").client("logs")
    west.create_log_group(logGroupName="/central/web")
    west.create_log_stream(logGroupName="/central/web", logStreamName="s")
    west.put_log_events(
        logGroupName="/central/web",
        logStreamName="s",
        logEvents=[{"timestamp": 1_800_000_000_000, "message": "error: far"}],
    )
    arn = west.describe_log_groups()["logGroups"][0]["arn"]
    assert logs.group_exists(cloud, arn) and not logs.group_exists(cloud, "/central/web")
    assert not logs.group_exists(cloud, arn.replace("us-west-2", "eu-west-1"))
    assert LogGroupRef.parse(GROUP, "x").arn == GROUP.removesuffix(":*")


def _definition(image: str) -> TaskDefinition:
    container = {
        "name": "web",
        "image": image,
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/web"}},
    }
    arn = "arn:aws-us-gov:ecs:us-gov-west-1:1:task-definition/web:1"
    return TaskDefinition(arn, "ACTIVE", "amd64", {"containerDefinitions": [container]})


def test_a_group_and_a_repository_by_another_of_their_names_are_the_same() -> None:
    """`env.check` reports no difference between a name and the ARN or host of the same thing."""
    host = "2" * 12 + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com"
    configured = Service(
        ecs_service="web",
        container="web",
        repository=f"{host}/web",
        log_group=GROUP,
    )
    revision = _definition("2" * 12 + ".dkr.ecr.us-gov-west-1.amazonaws.com/web:v1")
    compared = service_rules.task_definition("services.web", configured, revision)
    assert {each.key: each.status for each in compared} == {
        "services.web.container": "same",
        "services.web.repository": "same",
        "services.web.log_group": "same",
    }


def test_a_lock_table_is_read_in_the_backends_region(cloud: session.AwsSession) -> None:
    """Terraform's backend may have a Region of its own."""
    west = cloud.in_region("us-west-2").client("dynamodb")
    west.create_table(
        TableName="locks",
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"LockID": {"S": "states/key"}, "Info": {"S": '{"ID": "1"}'}}
    west.put_item(TableName="locks", Item=item)
    cloud.client("s3").create_bucket(Bucket="states")
    backend = {"bucket": "states", "dynamodb_table": "locks", "region": "us-west-2"}
    [found] = state_locks.s3_locks(cloud, backend, "key")
    assert found.id == "1"


@pytest.mark.parametrize(
    ("domain", "ours"),
    [
        ("dev-1.us-east-1.elb.amazonaws.com", True),
        ("dev-1.elb.us-east-1.amazonaws.com", True),
        ("dev-1.cn-north-1.elb.amazonaws.com.cn", True),
        ("dev-1.elb.cn-north-1.amazonaws.com.cn", True),
        ("elb.example.com", False),
        ("dev.elb.amazonaws.com.evil.org", False),
    ],
)
def test_names_of_load_balancers_in_every_partition(domain: str, ours: bool) -> None:
    assert bool(origin._ELB.search(domain)) is ours


@pytest.mark.parametrize(
    ("region", "service", "name"),
    [
        ("us-east-1", "ecr.api", "com.amazonaws.us-east-1.ecr.api"),
        ("cn-north-1", "ecr.dkr", "cn.com.amazonaws.cn-north-1.ecr.dkr"),
        ("cn-north-1", "logs", "com.amazonaws.cn-north-1.logs"),
    ],
)
def test_names_of_vpc_endpoints(region: str, service: str, name: str) -> None:
    """An endpoint is recognised whatever is before its Region."""
    assert reach._endpoint_service(region, service) == name
    endpoint = {
        "VpcId": "vpc-1",
        "ServiceName": name,
        "State": "available",
        "VpcEndpointType": "Gateway",
    }
    vpc = reach._Vpc({}, {}, {}, {"e": endpoint}, {}, region)
    assert reach._endpoint(vpc, "vpc-1", service) == endpoint
    assert reach._endpoint(vpc, "vpc-1", "s3") is None


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("dial tcp: lookup 111122223333.dkr-ecr.us-east-1.on.aws: i/o timeout", "ecr.dkr"),
        ("111122223333.dkr.ecr-fips.us-east-1.amazonaws.com/v2/: i/o timeout", "ecr.dkr"),
        ("Post https://ecr-fips.us-east-1.amazonaws.com/: i/o timeout", "ecr.api"),
        ("Post https://api.ecr.cn-north-1.amazonaws.com.cn/: i/o timeout", "ecr.api"),
        ("Post https://secretsmanager-fips.us-east-1.amazonaws.com/: timeout", "secretsmanager"),
        ("https://logs-fips.us-gov-west-1.amazonaws.com/: timeout", "logs"),
        ("https://prod-starport-layer-bucket.s3-fips.us-east-1.amazonaws.com/", "s3"),
    ],
)
def test_the_service_that_was_not_reached_is_known_by_all_of_its_hosts(
    text: str, service: str
) -> None:
    import re

    assert next(name for name, pattern in network._TARGETS if re.search(pattern, text)) == service
