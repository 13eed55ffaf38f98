"""How the deploy tests change the sample, watch the site as a client does, and read the sandbox's
AWS as an operator does.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.checkout import Checkout
from tests.factories import inv_command, plain_environment

CRASH = 'import sys\nprint("boom: no such setting DATABSE_URL", flush=True)\nsys.exit(1)\n'

REGISTERED = (  # of a described revision, what another one is registered from
    "family",
    "containerDefinitions",
    "cpu",
    "memory",
    "networkMode",
    "executionRoleArn",
    "taskRoleArn",
    "requiresCompatibilities",
    "runtimePlatform",
)


@dataclass
class Client:
    """Somebody who keeps asking for the site while it is deployed."""

    site: str
    asked: int = 0
    failed: list[str] = field(default_factory=list)

    def ask(self, path: str) -> None:
        self.asked += 1
        try:
            with urllib.request.urlopen(self.site + path, timeout=10) as answer:
                answer.read()
        except (urllib.error.URLError, OSError) as problem:
            self.failed.append(f"{path}: {problem}")


@contextmanager
def client(site: str) -> Iterator[Client]:
    """A client in a loop, until the block ends; every failed request is noted."""
    someone, over = Client(site), threading.Event()

    def loop() -> None:
        while not over.is_set():
            for path in ("/api/health", "/api/projects", "/"):
                someone.ask(path)
            time.sleep(0.25)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield someone
    finally:
        over.set()
        thread.join(15)


def overlay(checkout: Checkout) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (checkout.root / ".sandbox/environment.yaml").read_text()
    )
    return found


def source(checkout: Checkout) -> Path:
    return Path(overlay(checkout)["source"])


def aws(checkout: Checkout, service: str) -> Any:
    import boto3

    found = overlay(checkout)["aws"]
    keys = {"aws_access_key_id": found["access_key"], "aws_secret_access_key": found["secret_key"]}
    return boto3.client(service, endpoint_url=found["endpoint"], region_name="us-east-1", **keys)


def git(checkout: Checkout, *words: str) -> str:
    identity = [
        "-c",
        "user.name=tester",
        "-c",
        "user.email=tester@example.invalid",
        "-c",
        "commit.gpgsign=false",
    ]
    return subprocess.run(
        ["git", *identity, *words], cwd=source(checkout), check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(checkout: Checkout, files: dict[str, str], message: str) -> str:
    """Commit and push a change of the sample; its short id."""
    for name, text in files.items():
        path = source(checkout) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(checkout, "add", "-A")
    git(checkout, "commit", "--allow-empty", "-q", "-m", message)
    git(checkout, "push", "-q", "origin", "HEAD:main")
    return git(checkout, "rev-parse", "--short", "HEAD")


def revert(checkout: Checkout) -> str:
    """The commit before the last one's content again, as a commit of its own."""
    git(checkout, "revert", "--no-edit", "HEAD")
    git(checkout, "push", "-q", "origin", "HEAD:main")
    return git(checkout, "rev-parse", "--short", "HEAD")


def version(checkout: Checkout) -> str:
    """What the site says that it runs."""
    with urllib.request.urlopen(overlay(checkout)["site"] + "/api/health", timeout=10) as answer:
        return str(json.load(answer)["version"])


def service(checkout: Checkout, name: str = "dev-davidshaevel-backend") -> dict[str, Any]:
    found = aws(checkout, "ecs").describe_services(
        cluster="dev-davidshaevel-cluster", services=[name]
    )["services"][0]
    return dict(found)


def newest_revision(checkout: Checkout) -> int:
    """Of the backend's family, whoever made it and whether it is still ACTIVE."""
    ecs = aws(checkout, "ecs")
    known = [
        ecs.list_task_definitions(familyPrefix="dev-davidshaevel-backend", status=status)
        for status in ("ACTIVE", "INACTIVE")
    ]
    return max(int(arn.rsplit(":", 1)[1]) for found in known for arn in found["taskDefinitionArns"])


def start(checkout: Checkout, *words: str) -> subprocess.Popen[str]:
    """`inv WORDS` in the background, stderr to be read."""
    return subprocess.Popen(
        inv_command(checkout.root, *words),
        cwd=checkout.root,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], text: str, seconds: float = 90) -> str:
    """What the process says until a line holds `text`. Fails where it ends, or takes too long,
    without.
    """
    said, end = [], time.monotonic() + seconds
    assert process.stderr
    for line in process.stderr:
        said.append(line)
        if text in line:
            return "".join(said)
        assert time.monotonic() < end, f"no {text!r} within {seconds} s:\n{''.join(said)}"
    raise AssertionError(f"ended without {text!r}:\n{''.join(said)}")


def projects(checkout: Checkout) -> list[dict[str, Any]]:
    """What the site lists."""
    with urllib.request.urlopen(overlay(checkout)["site"] + "/api/projects", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def sql(checkout: Checkout, statement: str) -> None:
    """As the application would, from inside of the platform's network."""
    import psycopg

    secret = json.loads(
        aws(checkout, "secretsmanager").get_secret_value(
            SecretId="dev-davidshaevel-db-credentials"
        )["SecretString"]
    )
    words = {
        "hostaddr": "127.0.0.1",
        "host": secret["host"],
        "port": secret["port"],
        "dbname": secret["dbname"],
    }
    with psycopg.connect(
        **words, user=secret["username"], password=secret["password"], autocommit=True
    ) as connection:
        connection.execute(statement)
