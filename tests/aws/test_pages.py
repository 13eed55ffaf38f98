"""Lists are read whole, or known to be cut: what is missing from one page may be on the next."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.aws import autoscaling, cloudtrail, ecs, ecs_tasks, iam
from ops.aws.cloudwatch import logs
from ops.aws.facts import LogGroupRef
from ops.aws.session import AwsSession
from ops.cdn import cloudfront
from ops.core.errors import Unreachable
from tests.aws.api_calls import api_calls, paginators

BY_ID = "named by id: AWS answers with these or with an error"
NEWEST = "the newest alone are wanted, and come first"
LOOPED = "its token is followed by hand"
ONE_PAGE = {
    ("aws/cloudwatch/logs.py", "FilterLogEvents"): LOOPED,
    ("aws/ec2.py", "DescribeLoadBalancers"): BY_ID,
    ("aws/ec2.py", "DescribeSecurityGroups"): BY_ID,
    ("aws/ec2.py", "DescribeTargetGroups"): BY_ID,
    ("aws/ecr.py", "DescribeImages"): BY_ID,
    ("aws/ecr.py", "DescribeRepositories"): BY_ID,
    ("aws/elb.py", "DescribeRules"): BY_ID,
    ("aws/elb.py", "DescribeTargetGroups"): BY_ID,
    ("aws/rds.py", "DescribeDBClusters"): BY_ID,
    ("aws/rds.py", "DescribeDBInstances"): BY_ID,
    ("aws/rds.py", "DescribeDBSnapshots"): BY_ID,
    ("cdn/cloudfront.py", "ListInvalidations"): NEWEST,
    ("diagnosis/collectors/changes.py", "ListInvalidations"): NEWEST,
    ("diagnosis/collectors/database.py", "DescribeDBInstances"): BY_ID,
    ("diagnosis/collectors/database.py", "DescribeSecurityGroups"): BY_ID,
    ("diagnosis/collectors/images.py", "DescribeImages"): BY_ID,
    ("diagnosis/collectors/images.py", "DescribeRepositories"): BY_ID,
    ("diagnosis/collectors/rollouts.py", "DescribeScalingActivities"): NEWEST,
    ("diagnosis/collectors/vpc.py", "DescribeSubnets"): BY_ID,
}
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = LogGroupRef("g", "us-east-1")
ROLE = "arn:aws:iam::123456789012:role/web"


def test_every_list_is_paginated_or_has_a_reason() -> None:
    """A call of an operation that botocore can paginate reads all pages, or stands in the table."""
    found = {
        (each.module, each.operation)
        for each in api_calls()
        if each.operation in paginators(each.service) and not each.paginated
    }
    assert found == set(ONE_PAGE)


def _two_pages(
    httpserver: HTTPServer, token: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> None:
    """Answer with `first` and a token, and with `second` to a request that has the token."""

    def answer(request: Request) -> Response:
        asked = json.loads(request.get_data() or b"{}")
        page = second if asked.get(token) == "next" else {**first, token: "next"}
        return Response(json.dumps(page), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(answer)


def test_a_log_page_that_names_itself_as_the_next_ends_the_search(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """It would be read for ever."""
    _two_pages(httpserver, "nextToken", {"events": []}, {"events": [], "nextToken": "next"})
    query = logs.LogQuery(GROUP, 0)
    with pytest.raises(Unreachable, match="same token was received twice"):
        list(logs.filter_pages(cloud_at(httpserver.url_for("")), query))


def test_a_list_of_distributions_that_is_cut_is_not_read_as_whole(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """A page after which others follow, without the marker of the next."""
    body = (
        '<DistributionList xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Marker/>'
        "<MaxItems>100</MaxItems><IsTruncated>true</IsTruncated><Quantity>0</Quantity>"
        "</DistributionList>"
    )
    httpserver.expect_request("/2020-05-31/distribution").respond_with_data(
        body, content_type="text/xml"
    )
    with pytest.raises(Unreachable, match="answered without NextMarker"):
        cloudfront.distributions(cloud_at(httpserver.url_for("")))


def _deployment(name: str, created: int) -> dict[str, Any]:
    return {"serviceDeploymentArn": name, "createdAt": created, "status": "IN_PROGRESS"}


def test_the_newest_deployment_may_be_on_the_second_page(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """ListServiceDeployments has no order; the newest of all pages is stopped."""
    stopped: list[str] = []

    def answer(request: Request) -> Response:
        asked = json.loads(request.get_data())
        if request.headers["x-amz-target"].endswith("StopServiceDeployment"):
            stopped.append(asked["serviceDeploymentArn"])
            page: dict[str, Any] = {}
        elif "nextToken" in asked:
            page = {"serviceDeployments": [_deployment("new", 20)]}
        else:
            page = {"serviceDeployments": [_deployment("old", 10)], "nextToken": "n"}
        return Response(json.dumps(page), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(answer)
    ecs.stop_deployment(cloud_at(httpserver.url_for("")), "main", "web")
    assert stopped == ["new"]


def test_a_deployment_that_could_not_be_described_is_an_error(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """`failures` other than MISSING is not "in no stage"."""

    def answer(request: Request) -> Response:
        listed = {"serviceDeployments": [_deployment("new", 20)]}
        described = {"serviceDeployments": [], "failures": [{"arn": "new", "reason": "THROTTLED"}]}
        target = request.headers["x-amz-target"]
        page = listed if target.endswith("ListServiceDeployments") else described
        return Response(json.dumps(page), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(answer)
    with pytest.raises(Unreachable, match="THROTTLED"):
        ecs.deployment_stage(cloud_at(httpserver.url_for("")), "main", "web")


Read = Callable[[AwsSession], object]


@pytest.mark.parametrize(
    ("token", "first", "second", "read", "expected"),
    [
        (
            "nextToken",
            {"logStreams": [{"logStreamName": "web/a"}]},
            {"logStreams": [{"logStreamName": "web/b"}]},
            lambda cloud: logs.stream_names(cloud, GROUP, "web/"),
            ("web/a", "web/b"),
        ),
        (
            "NextToken",
            {"ScalableTargets": []},
            {
                "ScalableTargets": [
                    {"ResourceId": "service/main/web", "MinCapacity": 1, "MaxCapacity": 3}
                ]
            },
            lambda cloud: autoscaling.scalable_target(cloud, "main", "web") is not None,
            True,
        ),
        (
            "NextToken",
            {"Events": []},
            {
                "Events": [
                    {
                        "EventTime": 1_800_000_000,
                        "Username": "ci",
                        "CloudTrailEvent": json.dumps(
                            {
                                "requestParameters": {
                                    "cluster": "main",
                                    "service": "web",
                                    "forceNewDeployment": True,
                                }
                            }
                        ),
                    }
                ]
            },
            lambda cloud: [e.user for e in cloudtrail.service_updates(cloud, "main", "web", SINCE)],
            ["ci"],
        ),
    ],
    ids=["log streams", "scalable targets", "CloudTrail"],
)
def test_the_second_page_is_read(
    token: str,
    first: dict[str, Any],
    second: dict[str, Any],
    read: Read,
    expected: object,
    httpserver: HTTPServer,
    cloud_at: Any,
) -> None:
    """What the question is about is on the second page only."""
    _two_pages(httpserver, token, first, second)
    assert read(cloud_at(httpserver.url_for(""))) == expected


def test_a_task_that_was_started_is_found_behind_an_empty_page(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """ListTasks may answer with an empty page and a token."""
    task = {
        "taskArn": "arn:aws:ecs:us-east-1:1:task/main/a",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "taskDefinitionArn": "arn:aws:ecs:us-east-1:1:task-definition/web:1",
        "containers": [],
    }

    def answer(request: Request) -> Response:
        asked = json.loads(request.get_data())
        page: dict[str, Any]
        if request.headers["x-amz-target"].endswith("DescribeTasks"):
            page = {"tasks": [task], "failures": []}
        else:
            page = {"taskArns": [task["taskArn"]]} if "nextToken" in asked else {"taskArns": []}
            page |= {} if "nextToken" in asked else {"nextToken": "n"}
        return Response(json.dumps(page), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(answer)
    found = ecs_tasks.started_by(cloud_at(httpserver.url_for("")), "main", "inv")
    assert found is not None and found.id == "a"


def test_a_cut_list_of_updates_is_not_taken_for_none(httpserver: HTTPServer, cloud_at: Any) -> None:
    """200 updates of other services: who deployed this one is unknown, and nobody is blamed."""
    other = {"EventTime": 1_800_000_000, "CloudTrailEvent": "{}"}
    tokens = itertools.count()

    def answer(_: Request) -> Response:
        page = {"Events": [other] * 50, "NextToken": f"page {next(tokens)}"}
        return Response(json.dumps(page), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(answer)
    with pytest.raises(Unreachable, match="newest 200 UpdateService calls are of other services"):
        cloudtrail.service_updates(cloud_at(httpserver.url_for("")), "main", "web", SINCE)


def _invalidations(ids: Mapping[str, str], marker: str) -> str:
    items = "".join(
        f"<InvalidationSummary><Id>{name}</Id><CreateTime>2026-01-01T00:00:00Z</CreateTime>"
        f"<Status>{status}</Status></InvalidationSummary>"
        for name, status in ids.items()
    )
    more = f"<NextMarker>{marker}</NextMarker>" if marker else ""
    return (
        '<InvalidationList xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Marker/>'
        f"{more}<MaxItems>100</MaxItems><IsTruncated>{str(bool(marker)).lower()}</IsTruncated>"
        f"<Quantity>{len(ids)}</Quantity><Items>{items}</Items></InvalidationList>"
    )


def test_invalidations_in_progress_on_the_second_page_are_reported(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """More than a page may be in progress; the first page without an open one is the last read."""
    pages = {
        "": _invalidations({"I1": "InProgress", "I2": "Completed"}, "p2"),
        "p2": _invalidations({"I3": "InProgress"}, "p3"),
        "p3": _invalidations({"I4": "Completed"}, "p4"),
    }

    def answer(request: Request) -> Response:
        name = request.path.partition("/invalidation/")[2]
        if name:
            return Response(
                f"<Invalidation><Id>{name}</Id><Status>InProgress</Status>"
                "<CreateTime>2026-01-01T00:00:00Z</CreateTime><InvalidationBatch><Paths>"
                "<Quantity>0</Quantity></Paths><CallerReference>r</CallerReference>"
                "</InvalidationBatch></Invalidation>",
                content_type="text/xml",
            )
        return Response(pages[request.args.get("Marker", "")], content_type="text/xml")

    httpserver.expect_request("/2020-05-31/distribution/E1/invalidation").respond_with_handler(
        answer
    )
    for name in ("I1", "I3"):
        where = f"/2020-05-31/distribution/E1/invalidation/{name}"
        httpserver.expect_request(where).respond_with_handler(answer)
    found = cloudfront.open_invalidations(cloud_at(httpserver.url_for("")), "E1")
    assert [each.id for each in found] == ["I1", "I3"]


def test_iam_decisions_of_every_page_count(httpserver: HTTPServer, cloud_at: Any) -> None:
    """SimulatePrincipalPolicy may cut its answer; the action on the second page is allowed."""

    def answer(request: Request) -> Response:
        last = request.form.get("Marker") == "m"
        action, decision = ("s:B", "allowed") if last else ("s:A", "implicitDeny")
        more = "<IsTruncated>false</IsTruncated>"
        if not last:
            more = "<IsTruncated>true</IsTruncated><Marker>m</Marker>"
        return Response(
            "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>"
            f"<member><EvalActionName>{action}</EvalActionName><EvalDecision>{decision}"
            f"</EvalDecision></member></EvaluationResults>{more}</SimulatePrincipalPolicyResult>"
            "</SimulatePrincipalPolicyResponse>",
            content_type="text/xml",
        )

    httpserver.expect_request("/").respond_with_handler(answer)
    assert iam.denied_actions(cloud_at(httpserver.url_for("")), ROLE, ["s:A", "s:B"]) == ("s:A",)
