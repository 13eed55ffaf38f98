"""Every call to AWS against answers that AWS would never give: an error of ours, never "nothing
there" and never a bug.
"""

from __future__ import annotations

import inspect
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.aws import (
    autoscaling,
    cloudtrail,
    ec2,
    ecr,
    ecs,
    ecs_tasks,
    elb,
    iam,
    rds,
    s3,
    secrets,
    session,
)
from ops.aws.cloudwatch import alarms, logs
from ops.aws.facts import LogGroupRef
from ops.aws.ssm import sessions
from ops.cdn import cloudfront
from ops.core.errors import OpsError, Unreachable
from ops.terraform import state_locks
from tests.factories import stop_listening

ARN = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/1"
Call = Callable[[session.AwsSession], object]
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
GROUP = LogGroupRef("g", "us-east-1", "123456789012")


def cloudtrail_updates(cloud: session.AwsSession) -> object:
    with cloud.translated("updates (cloudtrail:LookupEvents)"):
        return cloudtrail.newest_updates(cloud)


CALLS: dict[str, Call] = {
    "session.identity": session.identity,
    "s3.read": lambda cloud: s3.read(cloud, "b", "k"),
    "s3.create": lambda cloud: s3.create(cloud, "b", "k", {}),
    "s3.replace": lambda cloud: s3.replace(cloud, "b", "k", {}, "e"),
    "s3.put": lambda cloud: s3.put(cloud, "b", "k", {}, {}),
    "s3.keys": lambda cloud: s3.keys(cloud, "b", "k", 5),
    "s3.exists": lambda cloud: s3.exists(cloud, "arn:aws:s3:::b/k"),
    "s3.put_bytes": lambda cloud: s3.put_bytes(cloud, "b", "k", b""),
    "s3.get_bytes": lambda cloud: s3.get_bytes(cloud, "b", "k"),
    "s3.delete": lambda cloud: s3.delete(cloud, "b", "k"),
    "s3.entries": lambda cloud: s3.entries(cloud, "b", "k"),
    "cloudfront.distributions": cloudfront.distributions,
    "cloudfront.distribution": lambda cloud: cloudfront.distribution(cloud, "E1"),
    "cloudfront.invalidate": lambda cloud: cloudfront.invalidate(cloud, "E1", ["/*"], "r"),
    "cloudfront.invalidation": lambda cloud: cloudfront.invalidation(cloud, "E1", "I1"),
    "cloudfront.open_invalidations": lambda cloud: cloudfront.open_invalidations(cloud, "E1"),
    "cloudfront.newest_invalidation": lambda cloud: cloudfront.newest_invalidation(cloud, "E1"),
    "autoscaling.scalable_target": lambda cloud: autoscaling.scalable_target(cloud, "main", "web"),
    "elb.rule_weights": lambda cloud: elb.rule_weights(cloud, "arn:rule/1"),
    "alarms.alarms": lambda cloud: alarms.alarms(cloud, ["errors"]),
    "ec2.ingress": lambda cloud: ec2.ingress(cloud, ["sg-1"]),
    "ec2.balancer_groups": lambda cloud: ec2.balancer_groups(cloud, ARN),
    "ecr.repository": lambda cloud: ecr.repository(cloud, "web"),
    "ecr.image": lambda cloud: ecr.image(cloud, "web", "a"),
    "ecr.images": lambda cloud: ecr.images(cloud, "web"),
    "ecr.token": ecr.token,
    "ecs.service": lambda cloud: ecs.service(cloud, "main", "web"),
    "ecs.services": lambda cloud: ecs.services(cloud, "main", ["web"]),
    "ecs.stop_deployment": lambda cloud: ecs.stop_deployment(cloud, "main", "web"),
    "ecs.deployment_stage": lambda cloud: ecs.deployment_stage(cloud, "main", "web"),
    "ecs.cluster_status": lambda cloud: ecs.cluster_status(cloud, "main"),
    "ecs.cluster_names": ecs.cluster_names,
    "ecs.service_names": lambda cloud: ecs.service_names(cloud, "main"),
    "ecs.describe_tasks": lambda cloud: ecs.describe_tasks(cloud, "main", ["a"], "task a"),
    "ecs.tasks": lambda cloud: ecs.tasks(cloud, "main", "web"),
    "ecs.task_definition": lambda cloud: ecs.task_definition(cloud, "web"),
    "ecs.register": lambda cloud: ecs.register(cloud, {"family": "w", "containerDefinitions": []}),
    "ecs.update_service": lambda cloud: ecs.update_service(cloud, "main", "web", "web:2"),
    "ecs.restart_service": lambda cloud: ecs.restart_service(cloud, "main", "web"),
    "ecs.set_desired_count": lambda cloud: ecs.set_desired_count(cloud, "main", "web", 2),
    "ecs_tasks.launch": lambda cloud: ecs_tasks.launch(cloud, "main", "web"),
    "ecs_tasks.run": lambda cloud: ecs_tasks.run(cloud, "main", "web:1", {"clientToken": "t"}),
    "ecs_tasks.of_family": lambda cloud: ecs_tasks.of_family(cloud, "main", "web"),
    "ecs_tasks.started_by": lambda cloud: ecs_tasks.started_by(cloud, "main", "inv"),
    "ecs_tasks.describe": lambda cloud: ecs_tasks.describe(cloud, "main", "a"),
    "ecs_tasks.stop": lambda cloud: ecs_tasks.stop(cloud, "main", "a", "why"),
    "ecs_tasks.execute_command": lambda cloud: ecs_tasks.execute_command(
        cloud, "main", "a", "web", "ls"
    ),
    "cloudtrail.service_updates": lambda cloud: cloudtrail.service_updates(
        cloud, "main", "web", SINCE
    ),
    "cloudtrail.newest_updates": cloudtrail_updates,
    "iam.denied_actions": lambda cloud: iam.denied_actions(
        cloud, "arn:aws:iam::123456789012:role/web", ["ssmmessages:OpenDataChannel"]
    ),
    "elb.target_group": lambda cloud: elb.target_group(cloud, ARN),
    "elb.target_groups": lambda cloud: elb.target_groups(cloud, [ARN]),
    "elb.load_balancers": elb.load_balancers,
    "elb.load_balancer_names": elb.load_balancer_names,
    "elb.targets": lambda cloud: elb.targets(cloud, ARN),
    "logs.group_exists": lambda cloud: logs.group_exists(cloud, "g"),
    "logs.last_lines": lambda cloud: logs.last_lines(cloud, "g", "s"),
    "logs.since": lambda cloud: logs.since(cloud, "g", "s", None),
    "logs.events": lambda cloud: logs.events(cloud, "g", "s", None),
    "logs.group_arn": lambda cloud: logs.group_arn(cloud, "g"),
    "logs.stream_names": lambda cloud: logs.stream_names(cloud, GROUP, "s/"),
    "logs.filter_page": lambda cloud: logs.filter_page(cloud, logs.LogQuery(GROUP, 0)),
    "logs.filter_pages": lambda cloud: [*logs.filter_pages(cloud, logs.LogQuery(GROUP, 0))],
    "logs.live_tail": lambda cloud: [*logs.live_tail(cloud, GROUP)],
    "logs.events_between": lambda cloud: logs.events_between(cloud, "g", 0, 1, ""),
    "rds.instance": lambda cloud: rds.instance(cloud, "db"),
    "rds.cluster": lambda cloud: rds.cluster(cloud, "db"),
    "rds.start": lambda cloud: rds.start(cloud, "db"),
    "rds.create_snapshot": lambda cloud: rds.create_snapshot(cloud, "db", "s", {}),
    "rds.snapshot": lambda cloud: rds.snapshot(cloud, "s"),
    "secrets.keys": lambda cloud: secrets.keys(cloud, "db"),
    "secrets.value": lambda cloud: secrets.value(cloud, "db"),
    "secrets.parameter_exists": lambda cloud: secrets.parameter_exists(cloud, "/p"),
    "sessions.start": lambda cloud: sessions.start(
        cloud, sessions.forwarding_request("i-1", "db", 5432)
    ),
    "sessions.terminate": lambda cloud: sessions.terminate(cloud, "s-1"),
    "secrets.text": lambda cloud: secrets.text(cloud, "db"),
    "state_locks.dynamodb_locks": lambda cloud: [*state_locks.dynamodb_locks(cloud, "t", "k")],
    "state_locks.s3_locks": lambda cloud: [*state_locks.s3_locks(cloud, {"bucket": "b"}, "k")],
}
AWS = (
    session,
    s3,
    autoscaling,
    cloudtrail,
    ec2,
    ecr,
    ecs,
    ecs_tasks,
    elb,
    iam,
    alarms,
    logs,
    rds,
    secrets,
    sessions,
)
MODULES = (*AWS, cloudfront, state_locks)
HTML = Response("<html><body>proxy login</body></html>", content_type="text/html")
ODD = {
    "a web page": lambda request: HTML,
    "a cut answer": lambda request: answer(request, '{"services": [{"serv', "<a><b>"),
    "an empty answer": lambda request: answer(request, "{}", "<a/>"),
    "no body": lambda request: answer(request, "", ""),
    "a list": lambda request: answer(request, "[]", "<a><member/></a>"),
    "empty objects": lambda request: answer(request, json.dumps(skeleton(request)), "<a/>"),
}
# DynamoDB answers {} where there is no such item; StartDBInstance's answer is not used
EMPTY_IS_RIGHT = {"state_locks.dynamodb_locks", "rds.start"}


def answer(request: Request, document: str, xml: str) -> Response:
    """`document` to a service that speaks JSON, `xml` to the others."""
    if "x-amz-target" in request.headers:
        return Response(document, content_type="application/x-amz-json-1.1")
    return Response(xml, content_type="text/xml")


def skeleton(request: Request) -> dict[str, Any]:
    """The fields that AWS's model names for this call, with nothing in their objects."""
    import botocore.session

    target, _, name = request.headers.get("x-amz-target", "").partition(".")
    services = {"AmazonEC2ContainerServiceV20141113": "ecs", "Logs_20140328": "logs"}
    services |= {"AmazonEC2ContainerRegistry_V20150921": "ecr", "AmazonSSM": "ssm"}
    services |= {"secretsmanager": "secretsmanager"}
    if target not in services:
        return {}
    model = botocore.session.get_session().get_service_model(services[target])
    members = model.operation_model(name).output_shape.members
    empty: dict[str, Any] = {"structure": {}, "list": [{}]}
    return {
        key: empty[shape.type_name] for key, shape in members.items() if shape.type_name in empty
    }


def test_the_table_has_every_call() -> None:
    """A new function that takes the cloud is tried here, too."""
    helpers = {"translated_cloudfront", "translated_ecs", "ecs_answers", "read_locks"}
    helpers |= {"presigned_url"}  # which sends nothing
    found = {
        f"{module.__name__.rsplit('.', 1)[1]}.{name}"
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and "cloud" in inspect.signature(function).parameters
        and name not in helpers
        and not name.startswith("_")
    }
    assert found - set(CALLS) == set()


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_answer_is_an_error_of_ours(
    httpserver: HTTPServer, cloud_at: Any, kind: str
) -> None:
    """Whatever call it is: three lines that name the call, no traceback, and nothing taken for
    empty.
    """
    httpserver.expect_request(re.compile(".*")).respond_with_handler(ODD[kind])
    cloud, passed = cloud_at(httpserver.url_for("")), []
    for name, call in CALLS.items():
        if name in EMPTY_IS_RIGHT and kind not in ("a web page", "a cut answer", "a list"):
            continue
        try:
            passed.append((name, call(cloud)))
        except OpsError as error:
            assert "bug" not in str(error) and len(str(error).splitlines()) == 3, (name, str(error))
    assert passed == []


@contextmanager
def silent() -> Iterator[tuple[str, list[float]]]:
    """The address of a server that takes requests and never answers, and when each came."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        came: list[float] = []
        open_ends: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    open_ends.append(listening.accept()[0])
                    came.append(time.monotonic())

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", came
        stop_listening(listening)
        for end in open_ends:
            end.close()


def test_a_call_that_hangs_ends_after_two_attempts() -> None:
    """One call is bounded by two silences; as long as it hangs, the next one has a single
    attempt.
    """
    with silent() as (address, came):
        cloud = session.of_overlay(address, "AKIATEST", "test", "us-east-1", read_timeout=0.2)
        for attempts in (2, 3):
            with pytest.raises(Unreachable, match="did not answer in time"):
                ecs.service(cloud, "main", "web")
            assert len(came) == attempts
        assert came[-1] - came[0] < 10
    assert session.READ_TIMEOUT * session.HUNG_ATTEMPTS * max(session.READ_TIMES.values()) <= 40


def test_what_is_waited_for_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After some seconds of silence a line says which call it is, and to whom."""
    monkeypatch.setattr(session, "NOTICE_AFTER", 0.05)
    with silent() as (address, _):
        cloud = session.of_overlay(address, "AKIATEST", "test", "us-east-1", read_timeout=0.3)
        with pytest.raises(Unreachable):
            ecs.service(cloud, "main", "web")
    said = capsys.readouterr().err
    assert (
        f"still waiting for {address}: service web in cluster main (ecs:DescribeServices)" in said
    )
