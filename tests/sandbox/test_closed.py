"""What another user of this machine, or a web page in the operator's browser, gets of a running
sandbox: nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from ops.sandbox import lifecycle, status
from ops.sandbox.contracts import Paths
from tests.front_door import forks
from tests.sandbox.faults_support import QUICK
from tests.sandbox.lifecycle_support import get, operator
from tests.sandbox.other_user import MARK, ask, attack

EVIL = "evil.example"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A sandbox below a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="open-to-all-"))
    folder.chmod(0o755)
    (folder / "control").write_text("a file that everybody reads")
    (folder / "control").chmod(0o644)
    lifecycle.up(folder / ".sandbox", rollout="ecs", timing=QUICK)
    yield folder / ".sandbox"
    lifecycle.down(folder / ".sandbox", purge=True)
    shutil.rmtree(folder)


def places(root: Path) -> dict[str, str]:
    """host:port of each server."""
    record, endpoints = status.read(Paths(root)), lifecycle.status(root).endpoints()
    assert record is not None and record.ports is not None
    return {
        "aws": str(endpoints["aws"]).removeprefix("http://"),
        "registry": str(endpoints["registry"]),
        "control": f"127.0.0.1:{record.control}",
        "database": f"127.0.0.1:{record.ports.database}",
        "engine": urlsplit(str(endpoints["docker"])).path,
    }


@pytest.fixture(scope="module")
def found(root: Path) -> dict[str, Any]:
    """What came of all attempts of another user, each once."""
    if os.geteuid() != 0:
        pytest.skip("another user: only root can become one")
    files = [str(root.parent / "control"), *(str(path) for path in root.rglob("*"))]
    key = yaml.safe_load((root / "environment.yaml").read_text())["aws"]["access_key"]
    image = operator(root).ecs.describe_task_definition(taskDefinition="dev-davidshaevel-backend")[
        "taskDefinition"
    ]
    receiving, sending = forks().Pipe(duplex=False)
    process = forks().Process(
        target=attack,
        args=(sending, places(root), key, image["containerDefinitions"][0]["image"], files),
    )
    process.start()
    sending.close()
    try:
        assert receiving.poll(60), "the other user's attempts did not end"
        result: dict[str, Any] = receiving.recv()
        return result
    finally:
        process.join(10)


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("unsigned", "MissingAuthenticationTokenException"),
        ("another's key", "UnrecognizedClientException"),
        ("the operator's key", "InvalidSignatureException"),
    ],
)
def test_another_user_runs_no_code_and_reads_no_secret(
    root: Path, found: dict[str, Any], who: str, code: str
) -> None:
    """RegisterTaskDefinition, CreateService, RunTask and GetSecretValue are refused as AWS refuses
    them, and nothing ran.
    """
    assert found[f"code, {who}"] == [(400, code)] * 3
    assert found[f"secret, {who}"] == (400, code)
    assert not Path(tempfile.gettempdir(), MARK).exists()
    assert (
        len(operator(root).ecs.list_services(cluster="dev-davidshaevel-cluster")["serviceArns"])
        == 2
    )


def test_another_user_does_not_end_the_sandbox(root: Path, found: dict[str, Any]) -> None:
    """moto's own API and the instance metadata are not there; the control port takes no order
    without its token.
    """
    assert (found["reset"], found["metadata"]) == ([404, 404], 404)
    assert (found["control, break"], found["control, mend-all"]) == (403, 403)
    assert lifecycle.status(root).ready and get(root, "/api/health")["status"] == "ok"


def test_another_user_builds_and_pushes_nothing(found: dict[str, Any]) -> None:
    """The engine's socket can't be connected to; the registry asks for ECR's login, for reading
    too.
    """
    assert found["engine"] == "PermissionError"
    registry = {name: answer for name, answer in found.items() if name.startswith("registry")}
    assert len(registry) == 3
    for code, challenge in registry.values():
        assert (
            code == 401
            and challenge.startswith('Basic realm="')
            and 'service="ecr.amazonaws.com"' in challenge
        )


def test_another_user_reads_nothing_of_the_sandbox(root: Path, found: dict[str, Any]) -> None:
    """No file or folder below `.sandbox` can be opened, though its path is known; the database
    wants a password.
    """
    assert found["files"] == [str(root.parent / "control")]
    assert found["database"] == "OperationalError"


PREFLIGHT = {
    "Origin": f"https://{EVIL}",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-amz-target,authorization,content-type",
}


@pytest.mark.parametrize("server", ["aws", "registry", "control"])
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("OPTIONS", "/", PREFLIGHT),
        ("POST", "/", {"Origin": f"https://{EVIL}"}),
        ("GET", "/", {"Origin": "null"}),
        ("GET", "/", {"Host": EVIL}),  # its name resolves to 127.0.0.1
        ("GET", "/v2/", {"Host": f"127.0.0.1.{EVIL}:80"}),
        ("POST", "/faults/mend-all", {"Host": f"{EVIL}:80"}),
        ("GET", "/", {"Host": ""}),
    ],
)
def test_a_web_page_is_refused(
    root: Path, server: str, method: str, path: str, headers: dict[str, str]
) -> None:
    """A foreign Host or any Origin: 403, and no header lets the page read the answer."""
    code, answered, _ = ask(places(root)[server], method, path, headers)
    assert code == 403
    assert not [name for name in answered if name.startswith("access-control-")]


def test_no_answer_has_a_cors_header(root: Path) -> None:
    """Not even a call that is answered, of a bucket that has a CORS configuration."""
    s3 = operator(root).s3
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]
    s3.put_bucket_cors(
        Bucket="dev-davidshaevel-terraform-state", CORSConfiguration={"CORSRules": rules}
    )
    answered = s3.list_objects_v2(Bucket="dev-davidshaevel-terraform-state")["ResponseMetadata"][
        "HTTPHeaders"
    ]
    assert not [name for name in answered if name.startswith("access-control-")]
