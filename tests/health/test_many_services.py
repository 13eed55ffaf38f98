"""One sweep of fifty services: few calls, bounded connections. AWS and the site are one server that
counts what reaches it.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from ops.aws import session
from ops.http import client
from tests.checkout import Checkout

pytestmark = pytest.mark.timeout(180)
ARN, ACCOUNT = "arn:aws:ecs:us-east-1:123456789012", "123456789012"
NAMES = [f"service{number}" for number in range(50)]
IMAGE = "r/app:1"
IDENTITY = (
    "<GetCallerIdentityResponse "
    'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/x</Arn><UserId>x</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)
AWAY = 0.05  # seconds: long enough for calls to meet


class Counting(BaseHTTPRequestHandler):
    """ECS, CloudWatch Logs, STS and a page, each as much as a sweep asks for."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.kind = ""

    def finish(self) -> None:
        self.server.open[self.kind] -= 1
        super().finish()

    def of(self, kind: str) -> None:
        """This connection is a client's of that kind; how many of it are open at once is noted."""
        if not self.kind:
            with self.server.lock:
                self.kind = kind
                self.server.open[kind] += 1
                self.server.most[kind] = max(self.server.most[kind], self.server.open[kind])

    def do_GET(self) -> None:
        self.of("page")
        time.sleep(AWAY)
        self.answer("text/html", "well")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        service, _, action = self.headers.get("X-Amz-Target", "Sts.GetCallerIdentity").rpartition(
            "."
        )
        self.of(service.partition("_")[0])
        asked = json.loads(body) if body.startswith("{") else {}
        with self.server.lock:
            self.server.calls[action] += 1
            self.server.services.append(asked.get("services", []))
        time.sleep(AWAY)
        self.answer("text/xml", IDENTITY) if action == "GetCallerIdentity" else self.answer(
            "application/x-amz-json-1.1", json.dumps(getattr(self, action)(asked))
        )

    def answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def DescribeClusters(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"clusters": [{"clusterName": "c", "status": "ACTIVE"}], "failures": []}

    def DescribeServices(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"services": [service(name) for name in asked["services"]], "failures": []}

    def ListTasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"taskArns": [f"{ARN}:task/c/{asked['serviceName']}"]}

    def DescribeTasks(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"tasks": [task(arn) for arn in asked["tasks"]], "failures": []}

    def DescribeTaskDefinition(self, asked: dict[str, Any]) -> dict[str, Any]:
        container = {"name": "app", "image": IMAGE, "essential": True}
        family = asked["taskDefinition"].rpartition("/")[2].partition(":")[0]
        arn = f"{ARN}:task-definition/{family}:1"
        return {
            "taskDefinition": {
                "taskDefinitionArn": arn,
                "status": "ACTIVE",
                "revision": 1,
                "containerDefinitions": [container],
            }
        }

    def FilterLogEvents(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"events": []}


class Server(ThreadingHTTPServer):
    """`calls` by action, the services of each DescribeServices, and the most connections open at
    once by kind of client.
    """

    daemon_threads, request_queue_size = True, 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counting)
        self.lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.services: list[list[str]] = []


def service(name: str) -> dict[str, Any]:
    revision = f"{ARN}:task-definition/{name}:1"
    done = {
        "id": "ecs-svc/1",
        "status": "PRIMARY",
        "taskDefinition": revision,
        "rolloutState": "COMPLETED",
        "createdAt": 1.0,
    }
    counts = {"desiredCount": 1, "runningCount": 1, "pendingCount": 0}
    return {
        "serviceName": name,
        "status": "ACTIVE",
        "taskDefinition": revision,
        **counts,
        "deployments": [{**done, **counts}],
        "events": [],
        "loadBalancers": [],
    }


def task(arn: str) -> dict[str, Any]:
    revision = f"{ARN}:task-definition/{arn.rpartition('/')[2]}:1"
    container = {"name": "app", "image": IMAGE, "imageDigest": "sha256:1", "lastStatus": "RUNNING"}
    states = {"lastStatus": "RUNNING", "desiredStatus": "RUNNING", "healthStatus": "HEALTHY"}
    return {
        "taskArn": arn,
        "taskDefinitionArn": revision,
        "startedBy": "ecs-svc/1",
        "containers": [container],
        **states,
    }


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


def test_fifty_services_in_one_sweep(
    new_checkout: Callable[[str], Checkout], server: Server
) -> None:
    """All green; DescribeServices asks for ten at a time and for none twice; no client opens more
    connections than it may.
    """
    checkout = new_checkout("many")
    address = f"http://127.0.0.1:{server.server_address[1]}"
    pages = [{"path": "/", "content_type": "text/html"}]
    shared = {"container": "app", "repository": "r", "log_group": "/app", "endpoints": pages}
    services = {name: {"ecs_service": name, **shared} for name in NAMES}
    environment = {
        "account": ACCOUNT,
        "region": "us-east-1",
        "cluster": "c",
        "overlay": "overlay.yaml",
        "services": services,
        "health": {"timeout": "30s", "slow": "30s", "deadline": "60s"},
    }
    (checkout.root / "overlay.yaml").write_text(
        yaml.safe_dump(
            {
                "aws": {"endpoint": address, "access_key": "AKIAMANY", "secret_key": "b"},
                "site": address,
            }
        )
    )
    (checkout.root / "invoke.yaml").write_text(
        yaml.safe_dump(
            {"tasks": {"dedupe": False}, "env": "many", "environments": {"many": environment}}
        )
    )
    done = checkout.inv("health.all", "--only", "ecs,logs,endpoints,targets", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert {check["status"] for check in found["checks"] if check["group"] != "targets"} == {"ok"}
    for suffix in ("tasks", "deployment", "image", "revision", "log"):
        assert {f"{name} {suffix}" for name in NAMES} <= {
            check["name"] for check in found["checks"]
        }
    batches = [batch for batch in server.services if batch]
    assert server.calls["DescribeServices"] == len(batches) == 5 and {
        len(batch) for batch in batches
    } == {10}
    assert sorted(name for batch in batches for name in batch) == sorted(NAMES)
    assert server.calls["GetCallerIdentity"] == server.calls["DescribeClusters"] == 1
    for action, most in (
        ("ListTasks", 1),
        ("DescribeTasks", 1),
        ("DescribeTaskDefinition", 1),
        ("FilterLogEvents", 2),
    ):
        assert server.calls[action] <= most * len(NAMES), (
            server.calls
        )  # what is judged of a log is read by itself
    assert (
        max(most for kind, most in server.most.items() if kind != "page") <= session.CONNECTIONS
    ), server.most
    assert 1 < server.most["page"] <= client.AT_ONCE, server.most
