"""What the lifecycle tests ask of a sandbox: its site, its processes, a deploy, and a client in a
loop.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import docker
import psutil
import yaml

from ops.sandbox import lifecycle, seed, status
from ops.sandbox.contracts import Paths
from ops.sandbox.database.cluster import located
from ops.sandbox.keys import Key
from ops.sandbox.sample import Commit
from ops.sandbox.seed.names import BACKEND


def get(root: Path, path: str) -> Any:
    """The document at `path` of the site; raises as urllib does."""
    site = lifecycle.status(root).endpoints()["site"]
    with build_opener(ProxyHandler({})).open(f"{site}{path}", timeout=10) as answer:
        return json.load(answer)


def processes(root: Path) -> dict[str, list[int]]:
    """Living processes of the sandbox: its supervisor, its PostgreSQL, its tasks (those that run
    below its folder or were written down).
    """
    found: dict[str, list[int]] = {"supervisor": [], "postgres": [], "tasks": []}
    written = (
        {json.loads(file.read_text())["pid"] for file in (root / "tasks").glob("*/pid-*.json")}
        if root.exists()
        else set()
    )
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] == psutil.STATUS_ZOMBIE or not command:
            continue
        if str(root) in command and status.MODULE in command:
            found["supervisor"].append(process.pid)
        elif "-D" in command and str(database(root)) in command:
            found["postgres"].append(process.pid)
        elif process.pid in written:
            found["tasks"].append(process.pid)
    return found


def database(root: Path) -> Path:
    """Where the sandbox's PostgreSQL has its data."""
    return located(Paths(root))


def healthy(root: Path, group: str) -> int:
    """Healthy targets of a target group, by its name."""
    clients = operator(root)
    arn = clients.elb.describe_target_groups(Names=[group])["TargetGroups"][0]["TargetGroupArn"]
    states = clients.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return sum(each["TargetHealth"]["State"] == "healthy" for each in states)


def operator(root: Path) -> seed.Clients:
    """Clients with the operator's key, by what the overlay says."""
    found = yaml.safe_load(Paths(root).overlay.read_text())["aws"]
    return seed.Clients(found["endpoint"], Key(found["access_key"], found["secret_key"]))


@contextlib.contextmanager
def visiting(root: Path) -> Iterator[list[str]]:
    """A client in a loop: what each of its requests came to."""
    answers: list[str] = []
    ended = threading.Event()

    def visit() -> None:
        while not ended.wait(0.02):
            try:
                answers.append(get(root, "/api/health")["status"])
            except OSError as problem:
                answers.append(repr(problem))

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield answers
    finally:
        ended.set()
        visitor.join()


def deploy(paths: Paths, commit: Commit) -> None:
    """Build, push and roll the backend out as an operator would."""
    endpoints = lifecycle.status(paths.root).endpoints()
    clients = operator(paths.root)
    image = f"{endpoints['registry']}/{BACKEND.repository}:{commit.short}"
    seed.build_and_push(
        docker.DockerClient(base_url=endpoints["docker"]), clients, paths, BACKEND, image, commit
    )
    secret = clients.secrets.describe_secret(SecretId="dev-davidshaevel-db-credentials")["ARN"]
    clients.ecs.update_service(
        cluster=seed.CLUSTER,
        service=BACKEND.service,
        taskDefinition=seed.register(clients, BACKEND, image, secret),
    )


def memory(root: Path) -> str | None:
    """The image that the next world would start the backend on."""
    found = json.loads((root / "services.json").read_text())
    return found.get("backend") if isinstance(found, dict) else None
