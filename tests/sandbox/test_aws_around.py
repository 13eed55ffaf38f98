"""ECR, the load balancer's targets and rules, and CloudFront, as boto3 and the other parts of the
sandbox see them.
"""

import base64
import datetime
import hashlib
import json
import time

import pytest
from botocore.exceptions import ClientError

from ops.sandbox.aws import serve
from ops.sandbox.aws.targets import Probe, TargetTable
from tests.factories import free_port
from tests.sandbox.aws_platform import QUICK, Platform, ProcessRuntime
from tests.waiting import until

OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def platform(aws):
    return Platform(aws, ProcessRuntime())


@pytest.fixture(scope="module")
def ecr(platform):
    client = platform.client("ecr")
    client.create_repository(repositoryName="demo/web", imageTagMutability="IMMUTABLE")
    client.create_repository(repositoryName="demo/loose")
    return client


def manifest(mark):
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": f"sha256:{mark * 64}",
        "size": 1000,
    }
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": f"sha256:{mark * 64}",
        "size": 10,
    }
    data = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [layer]}
    ).encode()
    return data, f"sha256:{hashlib.sha256(data).hexdigest()}"


def push(aws, name, tag, mark):
    data, digest = manifest(mark)
    aws.cloud.ecr.put_image(name, tag, digest, data, OCI, 1010)
    return digest


def test_token_is_good_for_twelve_hours_and_for_the_registry(aws, ecr):
    """GetAuthorizationToken hands out a new password each time, for the sandbox's registry; others
    are not accepted.
    """
    first, second = (ecr.get_authorization_token()["authorizationData"][0] for _ in range(2))
    assert first["proxyEndpoint"] == "http://127.0.0.1:5999"
    left = first["expiresAt"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(hours=11, minutes=59) < left <= datetime.timedelta(hours=12)
    user, password = base64.b64decode(first["authorizationToken"]).decode().split(":")
    assert user == "AWS" and first["authorizationToken"] != second["authorizationToken"]
    assert aws.cloud.ecr.authorized(password) and not aws.cloud.ecr.authorized(password + "x")


def test_pushed_images_are_described(aws, ecr):
    """What the registry records is what DescribeImages, ListImages and BatchGetImage show, until
    BatchDeleteImage.
    """
    repository = ecr.describe_repositories(repositoryNames=["demo/web"])["repositories"][0]
    assert repository["repositoryUri"] == "127.0.0.1:5999/demo/web"
    digest = push(aws, "demo/web", "abc1234", "a")
    detail = ecr.describe_images(repositoryName="demo/web", imageIds=[{"imageTag": "abc1234"}])[
        "imageDetails"
    ][0]
    assert (detail["imageDigest"], detail["imageTags"], detail["imageSizeInBytes"]) == (
        digest,
        ["abc1234"],
        1010,
    )
    assert abs(detail["imagePushedAt"].timestamp() - time.time()) < 60
    assert {"imageDigest": digest, "imageTag": "abc1234"} in ecr.list_images(
        repositoryName="demo/web"
    )["imageIds"]
    got = ecr.batch_get_image(repositoryName="demo/web", imageIds=[{"imageDigest": digest}])[
        "images"
    ][0]
    assert got["imageManifest"].encode() == manifest("a")[0]
    assert aws.cloud.ecr.digest("demo/web", "abc1234") == digest and aws.cloud.ecr.has_image(
        "demo/web", digest
    )
    ecr.batch_delete_image(repositoryName="demo/web", imageIds=[{"imageTag": "abc1234"}])
    assert aws.cloud.ecr.digest("demo/web", "abc1234") is None and not aws.cloud.ecr.has_image(
        "demo/web", digest
    )
    with pytest.raises(ClientError, match="ImageNotFoundException"):
        ecr.describe_images(repositoryName="demo/web", imageIds=[{"imageTag": "abc1234"}])


def test_immutable_tags_stay_and_mutable_ones_move(aws, ecr):
    """An immutable tag refuses another image and accepts its own again; in a mutable repository the
    tag moves.
    """
    assert (
        aws.cloud.ecr.repository("demo/web").immutable
        and not aws.cloud.ecr.repository("demo/loose").immutable
    )
    assert aws.cloud.ecr.repository("demo/none") is None
    kept = push(aws, "demo/web", "latest", "b")
    assert push(aws, "demo/web", "latest", "b") == kept
    with pytest.raises(ClientError) as refused:
        ecr.put_image(
            repositoryName="demo/web",
            imageTag="latest",
            imageManifest=manifest("c")[0].decode(),
            imageManifestMediaType=OCI,
        )
    assert refused.value.response["Error"]["Code"] == "ImageTagAlreadyExistsException"
    assert aws.cloud.ecr.digest("demo/web", "latest") == kept
    push(aws, "demo/loose", "latest", "d")
    moved = push(aws, "demo/loose", "latest", "e")
    assert aws.cloud.ecr.digest("demo/loose", "latest") == moved
    assert (
        sum(
            "latest" in each.get("imageTags", [])
            for each in ecr.describe_images(repositoryName="demo/loose")["imageDetails"]
        )
        == 1
    )


def test_retagging_an_image(aws, ecr):
    """PutImage of a known manifest under another tag gives the same digest both tags."""
    digest = push(aws, "demo/web", "one", "f")
    answer = ecr.put_image(
        repositoryName="demo/web",
        imageTag="two",
        imageManifest=manifest("f")[0].decode(),
        imageManifestMediaType=OCI,
    )
    assert (
        answer["image"]["imageId"]["imageDigest"]
        == digest
        == aws.cloud.ecr.digest("demo/web", "two")
    )
    assert aws.cloud.ecr.digest("demo/web", "one") == digest


def test_rules_choose_the_target_group(aws, platform):
    """The path's rule with the lowest number wins, the default takes the rest."""
    made = platform.elb.create_target_group(
        Name="api", Protocol="HTTP", Port=80, TargetType="ip", VpcId=platform.vpc
    )
    api = made["TargetGroups"][0]["TargetGroupArn"]
    platform.elb.create_rule(
        ListenerArn=platform.listener["ListenerArn"],
        Priority=10,
        Actions=[{"Type": "forward", "TargetGroupArn": api}],
        Conditions=[{"Field": "path-pattern", "Values": ["/api/*"]}],
    )
    balancer = aws.cloud.load_balancer
    assert balancer.route("/api/health") == api
    assert (
        balancer.route("/")
        == balancer.route("/apiary")
        == balancer.route("/API/x")
        == platform.target_group
    )


def test_registered_targets_are_not_healthy_by_themselves(aws, platform):
    """A registered address is initial until somebody has probed it, draining once deregistered, and
    unknown ones are unused.
    """
    health = lambda **more: platform.elb.describe_target_health(  # noqa: E731
        TargetGroupArn=platform.target_group, **more
    )
    target = [{"Id": "127.77.9.200", "Port": 8080}]
    platform.elb.register_targets(TargetGroupArn=platform.target_group, Targets=target)
    first = health()["TargetHealthDescriptions"][0]
    assert first["TargetHealth"] == {
        "State": "initial",
        "Reason": "Elb.RegistrationInProgress",
        "Description": "Target registration is in progress",
    }
    assert first["Target"]["Port"] == 8080
    platform.elb.deregister_targets(TargetGroupArn=platform.target_group, Targets=target)
    assert aws.cloud.load_balancer.targets(platform.target_group)[0].state == "draining"
    until(lambda: health()["TargetHealthDescriptions"] == [])
    assert (
        health(Targets=target)["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"]
        == "Target.NotRegistered"
    )


def test_thresholds_of_a_target():
    """One good probe makes an initial target healthy; then it takes the group's thresholds to
    change.
    """
    table, bad = TargetTable(), Probe("Target.Timeout", "Request timed out")
    table.register("group", "127.0.0.9", 80)
    (target,) = table.due(time.monotonic(), 30)
    assert (target.state, target.reason) == ("initial", "Elb.InitialHealthChecking") and table.due(
        time.monotonic(), 30
    ) == []
    states = []
    for found in (bad, bad, Probe(), bad, bad, bad, Probe(), Probe()):
        table.record(target, found, healthy_after=2, unhealthy_after=3)
        states.append(target.state)
    assert states == [
        "initial",
        "initial",
        "healthy",
        "healthy",
        "healthy",
        "unhealthy",
        "unhealthy",
        "healthy",
    ]


@pytest.mark.filterwarnings(
    "ignore:Exception.CloudFrontException"
)  # moto: an error that the API reference has and its model lacks
def test_invalidation_takes_its_time(aws, platform):
    """An invalidation is InProgress, then Completed, which boto3's waiter understands; the edge
    hears of it only then.
    """
    client = platform.client("cloudfront")
    behaviour = {"TargetOriginId": "alb", "ViewerProtocolPolicy": "allow-all"}
    forwarded = {
        "ForwardedValues": {"QueryString": True, "Cookies": {"Forward": "none"}},
        "MinTTL": 0,
    }
    distribution = client.create_distribution(
        DistributionConfig={
            "CallerReference": "1",
            "Comment": "demo CDN",
            "Enabled": True,
            "Origins": {
                "Quantity": 1,
                "Items": [
                    {
                        "Id": "alb",
                        "DomainName": "alb.local",
                        "CustomOriginConfig": {
                            "HTTPPort": 80,
                            "HTTPSPort": 443,
                            "OriginProtocolPolicy": "http-only",
                        },
                    }
                ],
            },
            "DefaultCacheBehavior": {**behaviour, **forwarded, "DefaultTTL": 3600, "MaxTTL": 86400},
            "CacheBehaviors": {
                "Quantity": 1,
                "Items": [
                    {
                        **behaviour,
                        **forwarded,
                        "PathPattern": "/api/*",
                        "DefaultTTL": 0,
                        "MaxTTL": 0,
                    }
                ],
            },
        }
    )["Distribution"]["Id"]
    balancer = aws.cloud.load_balancer
    assert (
        balancer.cached("/")
        and balancer.cached("/index.html")
        and not balancer.cached("/api/projects")
    )
    batch = {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": "x"}
    made = client.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)[
        "Invalidation"
    ]
    assert made["Status"] == "InProgress" and balancer.invalidations() == ()
    waiter = client.get_waiter("invalidation_completed")
    waiter.wait(
        DistributionId=distribution, Id=made["Id"], WaiterConfig={"Delay": 1, "MaxAttempts": 5}
    )
    ((pattern, at),) = balancer.invalidations()
    assert pattern == "/*" and 0 <= time.time() - at < 5
    again = client.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)[
        "Invalidation"
    ]
    assert (again["Id"], again["Status"]) == (
        made["Id"],
        "Completed",
    )  # the same caller reference: not made, nor paid, twice
    with pytest.raises(client.exceptions.ClientError, match="InvalidationBatchAlreadyExists"):
        other = {"Paths": {"Quantity": 1, "Items": ["/a"]}, "CallerReference": "x"}
        client.create_invalidation(DistributionId=distribution, InvalidationBatch=other)


def test_taken_port_is_an_error(aws):
    """A port that is in use is an OSError for the supervisor to name, not the end of its
    process.
    """
    taken = aws.cloud.ports
    with pytest.raises(OSError, match="in use"):
        serve(taken, QUICK)
    assert free_port() != taken.aws
