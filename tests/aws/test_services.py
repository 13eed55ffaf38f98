"""ECR, ELB, logs, secrets and parameters, against moto over HTTP."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.aws import ecr, elb, s3, secrets, session
from ops.aws.cloudwatch import alarms, logs
from ops.core.errors import ConfigError, Refused
from ops.core.redaction.redact import redact


def test_repository_image_and_token(cloud: session.AwsSession) -> None:
    """Mutability, an image by its tag, and credentials that show no password."""
    client = cloud.client("ecr")
    client.create_repository(repositoryName="team/web", imageTagMutability="IMMUTABLE")
    client.create_repository(repositoryName="open")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": "sha256:" + "c" * 64, "size": 7},
        "layers": [],
    }
    client.put_image(repositoryName="team/web", imageTag="v1", imageManifest=json.dumps(manifest))
    found = ecr.repository(cloud, "team/web")
    assert found is not None and (found.name, found.immutable, found.uri.endswith("/team/web")) == (
        "team/web",
        True,
        True,
    )
    mutable = ecr.repository(cloud, "open")
    assert mutable is not None and mutable.immutable is False
    image = ecr.image(cloud, "team/web", "v1")
    assert image is not None and image.digest.startswith("sha256:") and image.tag == "v1"
    assert (
        ecr.repository(cloud, "absent") is None
        and ecr.image(cloud, "absent", "v1") is None
        and ecr.image(cloud, "team/web", "v2") is None
    )
    token = ecr.token(cloud)
    assert token.username == "AWS" and token.password and "amazonaws.com" in token.registry
    assert token.password not in f"{token} {token!r}"


@pytest.mark.parametrize(
    ("kind", "patterns", "immutable"),
    [
        ("IMMUTABLE", (), True),
        ("IMMUTABLE_WITH_EXCLUSION", ("latest",), False),
        ("IMMUTABLE_WITH_EXCLUSION", ("v*", "lat*"), False),
        ("IMMUTABLE_WITH_EXCLUSION", ("dev-*",), True),
        ("MUTABLE_WITH_EXCLUSION", ("latest",), True),
        ("MUTABLE_WITH_EXCLUSION", ("v*",), False),
        ("MUTABLE", (), False),
        ("KIND_OF_TOMORROW", (), True),
    ],
)
def test_whether_a_tag_moves_depends_on_the_exclusions(
    httpserver: HTTPServer, cloud_at: Any, kind: str, patterns: tuple[str, ...], immutable: bool
) -> None:
    """As DescribeRepositories answers; wildcards name the tags for which the opposite holds."""
    described = {
        "repositoryName": "web",
        "repositoryUri": "r/web",
        "imageTagMutability": kind,
        "imageTagMutabilityExclusionFilters": [
            {"filterType": "WILDCARD", "filter": each} for each in patterns
        ],
    }
    httpserver.expect_request("/").respond_with_json({"repositories": [described]})
    found = ecr.repository(cloud_at(httpserver.url_for("/")), "web")
    assert found is not None and found.is_immutable("latest") is immutable


_AT = "Mon, 30 Nov 2026 21:00:00"


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (f"{_AT} GMT", True),
        (f"{_AT} GMT, {_AT} GMT", True),
        (f"{_AT} -0000", True),
        (_AT, True),
        ("yesterday", False),
        ("", False),
    ],
)
def test_the_time_of_an_answer_has_a_time_zone(header: str, read: bool) -> None:
    """Proxies repeat or change `Date`: the age of a lock is computed from it all the same."""
    before = datetime.now(UTC)
    found = s3._server_time(header)
    assert found.tzinfo is not None
    assert found == datetime(2026, 11, 30, 21, tzinfo=UTC) if read else found >= before


def test_every_image_of_a_large_repository_is_listed(cloud: session.AwsSession) -> None:
    """ECR returns pages in no order: the newest image may be on the last one."""
    client = cloud.client("ecr")
    client.create_repository(repositoryName="large")
    for number in range(130):
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": f"sha256:{number:064x}", "size": 7},
            "layers": [],
        }
        client.put_image(
            repositoryName="large", imageTag=f"v{number}", imageManifest=json.dumps(manifest)
        )
    found = ecr.images(cloud, "large")
    assert {each.tag for each in found} == {f"v{number}" for number in range(130)}


@pytest.mark.parametrize(
    ("repository", "name", "region", "account"),
    [
        ("team/web", "team/web", "us-east-1", None),
        ("222222222222.dkr.ecr.eu-west-1.amazonaws.com/web", "web", "eu-west-1", "222222222222"),
        (
            "222222222222.dkr.ecr.cn-north-1.amazonaws.com.cn/a/b",
            "a/b",
            "cn-north-1",
            "222222222222",
        ),
        (
            "222222222222.dkr.ecr-fips.us-gov-west-1.amazonaws.com/web",
            "web",
            "us-gov-west-1",
            "222222222222",
        ),
        ("222222222222.dkr-ecr.us-east-1.on.aws/web", "web", "us-east-1", "222222222222"),
    ],
)
def test_a_repository_by_its_uri_is_asked_in_its_account_and_region(
    cloud: session.AwsSession, repository: str, name: str, region: str, account: str | None
) -> None:
    place = ecr._Place.of(cloud, repository)
    assert (place.name, place.cloud.region) == (name, region)
    assert place.registry == ({"registryId": account} if account else {})
    assert ecr.repository_name(repository) == name


def test_a_secret_and_a_parameter_are_read_in_the_region_of_their_arn(
    cloud: session.AwsSession,
) -> None:
    west = cloud.in_region("us-west-2")
    made = west.client("secretsmanager").create_secret(Name="far", SecretString='{"a": "b"}')
    west.client("ssm").put_parameter(Name="/far", Value="x", Type="String", Overwrite=True)
    parameter = "arn:aws:ssm:us-west-2:123456789012:parameter/far"
    assert secrets.keys(cloud, made["ARN"]) == frozenset({"a"})
    assert secrets.keys(cloud, "far") is None
    assert secrets.parameter_exists(cloud, parameter)
    assert not secrets.parameter_exists(cloud, parameter.replace("us-west-2", "us-east-1"))


def test_an_environment_file_exists_or_not(cloud: session.AwsSession) -> None:
    cloud.client("s3").create_bucket(Bucket="settings")
    cloud.client("s3").put_object(Bucket="settings", Key="web.env", Body=b"A=1")
    assert s3.exists(cloud, "arn:aws:s3:::settings/web.env")
    assert not s3.exists(cloud, "arn:aws:s3:::settings/api.env")


def test_target_group_and_targets(cloud: session.AwsSession) -> None:
    """Health path, port and intervals; targets with state; a missing group is refused by name."""
    vpc = cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    client = cloud.client("elbv2")
    made = client.create_target_group(
        Name="web-tg",
        Protocol="HTTP",
        Port=3000,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckPath="/health",
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=3,
    )
    arn = made["TargetGroups"][0]["TargetGroupArn"]
    client.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.0.0.4", "Port": 3000}])
    group = elb.target_group(cloud, arn)
    assert (
        group.name,
        group.port,
        group.health_path,
        group.interval_s,
        group.healthy_threshold,
        group.unhealthy_threshold,
    ) == (
        "web-tg",
        3000,
        "/health",
        30,
        2,
        3,
    )
    assert [(target.id, target.port, target.state) for target in elb.targets(cloud, arn)] == [
        ("10.0.0.4", 3000, "healthy")
    ]
    client.delete_target_group(TargetGroupArn=arn)
    for look in (elb.target_group, elb.targets):
        with pytest.raises(Refused, match="target group web-tg does not exist"):
            look(cloud, arn)


def test_logs(cloud: session.AwsSession) -> None:
    """The group by its exact name, the last lines of a stream, what came since, and silence where
    there is no stream.
    """
    client = cloud.client("logs")
    client.create_log_group(logGroupName="/ecs/web-longer")
    assert logs.group_exists(cloud, "/ecs/web") is False
    client.create_log_group(logGroupName="/ecs/web")
    assert logs.group_exists(cloud, "/ecs/web") is True
    assert logs.last_lines(cloud, "/ecs/web", "web/web/1") == ()
    assert logs.since(cloud, "/ecs/web", "web/web/1", None) == ((), None)
    assert logs.last_lines(cloud, "/ecs/absent", "x") == ()
    client.create_log_stream(logGroupName="/ecs/web", logStreamName="web/web/1")
    now = int(time.time() * 1000)
    say(client, [f"line {number}\n" for number in range(30)], now)
    assert logs.last_lines(cloud, "/ecs/web", "web/web/1") == tuple(
        f"line {number}" for number in range(10, 30)
    )
    lines, token = logs.since(cloud, "/ecs/web", "web/web/1", None)
    assert (len(lines), lines[0]) == (30, "line 0")
    assert logs.since(cloud, "/ecs/web", "web/web/1", token)[0] == ()
    say(client, ["later"], now + 100)
    assert logs.since(cloud, "/ecs/web", "web/web/1", token)[0] == ("later",)


def test_a_part_of_a_log(cloud: session.AwsSession) -> None:
    """What was said from one moment to before another, and whether that is all; a group that is not
    there is refused.
    """
    client, now = cloud.client("logs"), int(time.time() * 1000)
    client.create_log_group(logGroupName="/ecs/web")
    client.create_log_stream(logGroupName="/ecs/web", logStreamName="web/web/1")
    for moment in range(6):
        say(client, [f"ERROR {moment}"], now + 1000 * moment)
    found, whole = logs.events_between(cloud, "/ecs/web", now + 1000, now + 4000, "%ERROR%")
    assert [each.message for each in found] == ["ERROR 1", "ERROR 2", "ERROR 3"] and whole
    cut, whole = logs.events_between(cloud, "/ecs/web", now, now + 9000, "%ERROR%", limit=5)
    assert len(cut) == 5 and not whole
    assert logs.events_between(cloud, "/ecs/web", now, now + 9000, "%ERROR%", limit=6)[1]
    with pytest.raises(Refused, match="log group /ecs/absent does not exist"):
        logs.events_between(cloud, "/ecs/absent", now, now + 1, "%ERROR%")


def say(client: Any, lines: list[str], at: int) -> None:
    client.put_log_events(
        logGroupName="/ecs/web",
        logStreamName="web/web/1",
        logEvents=[
            {"timestamp": at + number, "message": line} for number, line in enumerate(lines)
        ],
    )


def test_secrets_show_names_and_hide_values(cloud: session.AwsSession) -> None:
    """Keys by name, values in no repr, a plain secret without keys, a missing one None or
    refused.
    """
    client = cloud.client("secretsmanager")
    client.create_secret(
        Name="db", SecretString=json.dumps({"username": "app", "password": "HUSH", "port": 5432})
    )
    client.create_secret(Name="plain", SecretString="HUSH")
    client.create_secret(Name="binary", SecretBinary=b"HUSH")
    assert secrets.keys(cloud, "db") == frozenset({"username", "password", "port"})
    assert secrets.keys(cloud, "plain") == secrets.keys(cloud, "binary") == frozenset()
    assert secrets.keys(cloud, "absent") is None
    value = secrets.value(cloud, "db")
    assert (value["password"], value["port"], len(value)) == ("HUSH", "5432", 3)
    assert "HUSH" not in f"{value} {value!r}" and "password" in repr(value)
    with pytest.raises(Refused, match="secret absent does not exist"):
        secrets.value(cloud, "absent")
    with pytest.raises(ConfigError) as error:
        secrets.value(cloud, "plain")
    assert "HUSH" not in str(error.value)


def test_parameters(cloud: session.AwsSession) -> None:
    """A parameter that is missing is no error in SSM, and is not taken for there; the value of one
    that is there is hidden from then on.
    """
    cloud.client("ssm").put_parameter(Name="/web/key", Value="HUSH-HUSH", Type="SecureString")
    assert secrets.parameter_exists(cloud, "/web/key") is True
    assert redact("boom HUSH-HUSH") == "boom ***"
    assert secrets.parameter_exists(cloud, "/web/other") is False


def test_the_named_alarms_only_are_listed_and_all_of_them(cloud: session.AwsSession) -> None:
    """More than a page of them; without names none, where CloudWatch would list the account's."""
    client = cloud.client("cloudwatch")
    names = [f"errors-{number}" for number in range(60)]
    for name in (*names, "of another service"):
        client.put_metric_alarm(
            AlarmName=name,
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            MetricName="Errors",
            Namespace="Web",
            Period=60,
            Statistic="Sum",
            Threshold=1.0,
        )
    found = alarms.alarms(cloud, names)
    assert {each.name for each in found} == set(names)
    assert {each.state for each in found} <= {"OK", "ALARM", "INSUFFICIENT_DATA"}
    assert alarms.alarms(cloud, []) == ()
