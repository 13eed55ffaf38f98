"""The parts together, nothing pretended: engine, registry, ECR, agent with the process runtime,
load balancer and CDN.
"""

import base64
import threading
import urllib.request
from dataclasses import replace
from typing import Any

import docker
import pytest

from ops.sandbox.agent import Agent
from ops.sandbox.aws import serve
from ops.sandbox.contracts import Paths
from ops.sandbox.edge import start_edge
from ops.sandbox.engine.server import serve_engine
from ops.sandbox.registry.server import serve_registry
from ops.sandbox.runtime.runtime import ProcessRuntime
from tests.factories import free_port
from tests.sandbox.aws_platform import CRASH, QUICK, SERVER, Platform, ports
from tests.sandbox.images_support import context
from tests.waiting import until

DOCKERFILE = (
    'FROM {base}\nCOPY app.py /app/app.py\nENV VERSION={tag}\nWORKDIR /app\nCMD ["python3", '
    '"app.py"]\n'
)


@pytest.fixture
def house(tmp_path):
    paths = Paths(tmp_path)
    chosen, socket = (
        replace(ports(), registry=free_port(), site=free_port(), alb=free_port()),
        tmp_path / "engine.sock",
    )
    aws = serve(chosen, QUICK)
    parts = [
        serve_registry(paths.images / "registry", aws.cloud.ecr, chosen.registry),
        serve_engine(paths.images / "engine", socket),
        start_edge(aws.cloud.load_balancer, chosen.site, chosen.alb),
    ]
    agent = Agent(
        aws.cloud,
        ProcessRuntime(paths, aws.cloud.ecr, f"127.0.0.1:{chosen.registry}"),
        QUICK,
        chosen.network,
    )
    agent.start()
    platform: Any = Platform(aws, None)  # with an engine, a registry and a site
    platform.engine = docker.DockerClient(base_url=f"unix://{socket}")
    platform.ecr = platform.client("ecr")
    platform.ecr.create_repository(repositoryName="demo/web", imageTagMutability="IMMUTABLE")
    platform.site = f"http://127.0.0.1:{chosen.site}/"
    yield platform
    platform.engine.close()
    agent.stop()
    for part in parts:
        part.stop()
    aws.stop()


def ship(house, tag, script=SERVER):
    """Build, log in with a token of ECR's, push; the image of a task definition and its digest in
    ECR.
    """
    uri = house.ecr.describe_repositories(repositoryNames=["demo/web"])["repositories"][0][
        "repositoryUri"
    ]
    base = next(tag for image in house.engine.images.list() for tag in image.tags)
    source = context(DOCKERFILE.format(base=base, tag=tag), {"app.py": script})
    list(
        house.engine.api.build(
            fileobj=source, custom_context=True, decode=True, rm=True, tag=f"{uri}:{tag}"
        )
    )
    token = house.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, password = base64.b64decode(token).decode().split(":")
    lines = list(
        house.engine.api.push(
            uri, tag, stream=True, decode=True, auth_config={"username": user, "password": password}
        )
    )
    assert "error" not in lines[-1], lines[-1]
    described = house.ecr.describe_images(repositoryName="demo/web", imageIds=[{"imageTag": tag}])[
        "imageDetails"
    ][0]
    return f"{uri}:{tag}", described["imageDigest"]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


class Client(threading.Thread):
    """`curl` of the site in a loop."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.seen, self.failures, self.ended = url, [], [], threading.Event()

    def run(self):
        while not self.ended.wait(0.02):
            try:
                self.seen.append(get(self.url))
            except OSError as failure:
                self.failures.append(repr(failure))


def test_from_build_to_site_and_back(house):
    """Version 2 replaces version 1 and a crashing version 3 never shows, with no failed request;
    the running digest is the pushed one.
    """
    first, _ = ship(house, "v1")
    house.create(house.revision(first))
    house.completed(30)
    until(lambda: get(house.site) == "v1")
    client = Client(house.site)
    client.start()
    second, digest = ship(house, "v2")
    house.update(taskDefinition=house.revision(second))
    house.completed(30)
    assert {task["containers"][0]["imageDigest"] for task in house.tasks(serviceName="web")} == {
        digest
    }
    third, _ = ship(house, "v3", CRASH)
    bad = house.update(taskDefinition=house.revision(third))["deployments"][0]["id"]
    until(lambda: house.deployment(bad)["failedTasks"] >= 2)
    client.ended.set()
    client.join()
    assert client.failures == [] and set(client.seen) == {"v1", "v2"} and client.seen[-1] == "v2"
    assert "boom: cannot start" in house.lines()


def test_image_deleted_from_ecr_after_the_check(house):
    """A tag deleted from ECR cannot be pulled any more, and the old version serves on."""
    first, _ = ship(house, "v1")
    house.create(house.revision(first))
    house.completed(30)
    gone, _ = ship(house, "v2")
    revision = house.revision(gone)
    house.ecr.batch_delete_image(repositoryName="demo/web", imageIds=[{"imageTag": "v2"}])
    deployment = house.update(taskDefinition=revision)["deployments"][0]["id"]
    task = until(
        lambda: next(
            (
                each
                for each in house.tasks("STOPPED", startedBy=deployment)
                if each["lastStatus"] == "STOPPED"
            ),
            None,
        )
    )
    assert task["stopCode"] == "TaskFailedToStart"
    assert (
        task["stoppedReason"].startswith("CannotPullContainerError")
        and ": not found" in task["stoppedReason"]
    )
    assert get(house.site) == "v1"
