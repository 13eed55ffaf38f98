"""What another user of this machine tries on a sandbox that is not theirs. Run in a process of its
own, which becomes that user.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg

NOBODY = 65534
MARK = "ran-by-another-user"
JSON = "application/x-amz-json-1.1"
SIGNED = "content-type;host;x-amz-date;x-amz-target"


Answer = tuple[int, dict[str, str], str]


def ask(
    where: str, method: str, path: str, headers: dict[str, str] | None = None, body: str = ""
) -> Answer:
    """One request to `where` (host:port): status, headers, text."""
    connection = http.client.HTTPConnection(where, timeout=10)
    try:
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read().decode(errors="replace"),
        )
    finally:
        connection.close()


def call(
    where: str, service: str, target: str, words: dict[str, Any], key: str | None
) -> tuple[int, str]:
    """One call of a JSON protocol, unsigned or with a forged signature: status and error code."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    claim = (
        f"Credential={key}/{now[:8]}/us-east-1/{service}/aws4_request, SignedHeaders={SIGNED}, "
        f"Signature={'0' * 64}"
    )
    signed = {"Authorization": f"AWS4-HMAC-SHA256 {claim}", "X-Amz-Date": now} if key else {}
    code, _, text = ask(
        where,
        "POST",
        "/",
        {"X-Amz-Target": target, "Content-Type": JSON, **signed},
        json.dumps(words),
    )
    return code, json.loads(text).get("__type", "no error") if text.startswith("{") else text


def run_code(where: str, key: str | None, image: str, mark: str) -> list[tuple[int, str]]:
    """The two calls by which a task would run our command."""
    prefix = "AmazonEC2ContainerServiceV20141113."
    container = {
        "name": "x",
        "image": image,
        "essential": True,
        "command": ["python3", "-c", f"open({mark!r}, 'w')"],
    }
    place = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    definition = {"family": "x", "networkMode": "awsvpc", "containerDefinitions": [container]}
    service = {
        "serviceName": "x",
        "taskDefinition": "x",
        "desiredCount": 1,
        "networkConfiguration": place,
    }
    calls = (
        ("RegisterTaskDefinition", definition),
        ("CreateService", service),
        ("RunTask", service),
    )
    return [
        call(where, "ecs", prefix + action, {"cluster": "dev-davidshaevel-cluster", **words}, key)
        for action, words in calls
    ]


def attack(
    channel: Connection, where: dict[str, str], known: str, image: str, files: list[str]
) -> None:
    """Everything that another user tries; `known`: the operator's access key id, as if it had been
    seen somewhere.
    """
    mark = str(Path(tempfile.gettempdir(), MARK))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    found: dict[str, Any] = {}
    for name, key in (
        ("unsigned", None),
        ("another's key", "AKIA" + "A" * 16),
        ("the operator's key", known),
    ):
        found[f"code, {name}"] = run_code(where["aws"], key, image, mark)
        words = {"SecretId": "dev-davidshaevel-db-credentials"}
        found[f"secret, {name}"] = call(
            where["aws"], "secretsmanager", "secretsmanager.GetSecretValue", words, key
        )
    found["reset"] = [
        ask(where["aws"], "POST", "/moto-api/reset")[0],
        ask(where["aws"], "GET", "/moto-api/")[0],
    ]
    found["metadata"] = ask(
        where["aws"], "GET", "/latest/meta-data/iam/security-credentials/default-role"
    )[0]
    images = "/v2/davidshaevel/backend"
    for method, path in (
        ("GET", "/v2/"),
        ("GET", f"{images}/tags/list"),
        ("POST", f"{images}/blobs/uploads/"),
    ):
        code, headers, _ = ask(where["registry"], method, path)
        found[f"registry, {method} {path}"] = (code, headers.get("www-authenticate", ""))
    for verb in ("break", "mend-all"):
        token, order = {"Authorization": "Bearer x"}, '{"fault": "page-500"}'
        found[f"control, {verb}"] = ask(where["control"], "POST", f"/faults/{verb}", token, order)[
            0
        ]
    found["engine"] = outcome(lambda: socket.socket(socket.AF_UNIX).connect(where["engine"]))
    host, _, port = where["database"].partition(":")
    address: dict[str, Any] = {
        "host": host,
        "port": port,
        "dbname": "davidshaevel",
        "user": "postgres",
        "connect_timeout": 5,
    }
    found["database"] = outcome(lambda: psycopg.connect(**address))
    found["files"] = [file for file in files if outcome(lambda: read(file)) == "done"]  # noqa: B023
    channel.send(found)


def read(file: str) -> None:
    os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK))


def outcome(action: Any) -> str:
    """`done`, or the name of the refusal."""
    try:
        action()
    except (OSError, psycopg.Error) as refused:
        return type(refused).__name__
    return "done"
