"""What a task runs first, as processes of their own: fetch, check, install, and say what failed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.database_task import run_log
from ops.database_task.rules import requirements
from ops.migrator.model import MigrateError
from ops.migrator.task import loader
from ops.migrator.task.variables import libpq_parameters

KEY = "0123456789abcdef"


def run_task(url: str, sha256: str) -> tuple[int, str]:
    """The command of RunTask's overrides, with their variables alone."""
    (container,) = requirements.overrides("api", sys.executable, url, sha256, KEY)[
        "containerOverrides"
    ]
    variables = {each["name"]: each["value"] for each in container["environment"]}
    done = subprocess.run(
        container["command"], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def error_of(output: str) -> str:
    found = [run_log.marked(line) for line in output.splitlines()]
    return next((each["error"] for each in found if each and "error" in each), "")


def test_a_loader_with_another_digest_is_not_run(httpserver: HTTPServer) -> None:
    """Somebody else's object in the bucket: exit code 70, and no line of it is executed."""
    httpserver.expect_request("/loader").respond_with_data("print('executed')")
    code, output = run_task(httpserver.url_for("/loader"), "0" * 64)
    assert code == loader.FAILED and "wrong digest" in error_of(output)
    assert "executed" not in output


def test_a_bucket_that_does_not_answer_is_said(httpserver: HTTPServer) -> None:
    """The URL itself, which is a bearer token, is not printed."""
    httpserver.expect_request("/loader").respond_with_data("<Error/>", status=403)
    url = httpserver.url_for("/loader?X-Amz-Signature=abc")
    code, output = run_task(url, "0" * 64)
    assert code == loader.FAILED and "HTTP Error 403" in error_of(output)
    assert "X-Amz-Signature" not in output


def archive(**files: str) -> bytes:
    raw = BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as made:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            made.addfile(member, BytesIO(text.encode()))
    return raw.getvalue()


@pytest.mark.parametrize(
    ("digest", "says"),
    [("0" * 64, "the archive code-1 has the digest"), (None, "No module named 'ops'")],
)
def test_what_can_not_be_installed_is_answered(
    httpserver: HTTPServer, digest: str | None, says: str
) -> None:
    """A wrong archive, and one without the engine: the reply and the log say which."""
    content = archive(README="no engine")
    part = {
        "name": "code-1",
        "url": httpserver.url_for("/code"),
        "sha256": digest or hashlib.sha256(content).hexdigest(),
    }
    request = loader.signed(
        KEY.encode(), "request", {"number": 1, "verb": "install", "parts": [part]}
    )
    urls = {"request": httpserver.url_for("/request"), "reply": httpserver.url_for("/reply")}
    text = Path(loader.__file__).read_text() + f"\nmain(json.loads({json.dumps(urls)!r}), 20.0)\n"
    for path, body in (("/loader", text.encode()), ("/code", content), ("/request", request)):
        httpserver.expect_request(path).respond_with_data(body)
    httpserver.expect_request("/reply", method="PUT").respond_with_data("")
    code, output = run_task(
        httpserver.url_for("/loader"), hashlib.sha256(text.encode()).hexdigest()
    )
    assert code == loader.FAILED and says in error_of(output)
    replies = [
        loader.verified(KEY.encode(), "reply", sent.get_data())
        for sent, _ in httpserver.log
        if sent.path == "/reply"
    ]
    assert replies[0] and replies[0]["version"] == list(sys.version_info[:2])
    assert replies[1] and says in replies[1]["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no signature",
        loader.signed(b"another key", "request", {"number": 1}),
        loader.signed(KEY.encode(), "reply", {"number": 1}),
        loader.signed(KEY.encode(), "request", {"number": 1}) + b" ",
    ],
)
def test_a_request_that_was_not_signed_is_none(body: bytes) -> None:
    """Write access to the bucket is not enough: foreign, reflected and changed messages."""
    assert loader.verified(KEY.encode(), "request", body) is None


def test_a_signed_request_is_taken() -> None:
    """By the key of this run."""
    message = {"number": 1, "verb": "end"}
    signed = loader.signed(KEY.encode(), "request", message)
    assert loader.verified(KEY.encode(), "request", signed) == message


ENVIRONMENT = {
    "DB_USER": "app",
    "DB_PASSWORD": "from the container",
    "DB_HOST": "db.internal",
    "DB_NAME": "app",
    "URL": "postgresql://app:secret%20word@db.internal:6432/app?sslmode=prefer",
    "SECRET": json.dumps({"username": "app", "password": "p", "host": "h", "dbname": "d"}),
}
SINGLE = {"password": "DB_PASSWORD", "user": "DB_USER", "host": "DB_HOST", "name": "DB_NAME"}


@pytest.mark.parametrize(
    ("variables", "given", "expected"),
    [
        (
            SINGLE,
            {"sslmode": "verify-full"},
            {"user": "app", "password": "from the container", "host": "db.internal"},
        ),
        (SINGLE, {"host": "configured"}, {"host": "configured", "dbname": "app"}),
        (
            {"url": "URL"},
            {"sslmode": "verify-full"},
            {"password": "secret word", "port": "6432", "sslmode": "verify-full"},
        ),
        ({"secret": "SECRET"}, {"dbname": "other"}, {"user": "app", "dbname": "other"}),
        ({"secret": "SECRET", "password": "DB_PASSWORD"}, {}, {"password": "from the container"}),
    ],
)
def test_the_parameters_come_from_the_containers_variables(
    tmp_path: Path, variables: dict[str, str], given: dict[str, Any], expected: dict[str, str]
) -> None:
    """What is configured here wins over the variables, single ones over a URL or a secret."""
    found = libpq_parameters(given, variables, tmp_path, ENVIRONMENT)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({**SINGLE, "password": "DB_PASS"}, "has no DB_PASS"),
        ({"password": "DB_PASSWORD", "host": "DB_HOST", "name": "DB_NAME"}, "user is not known"),
        ({"url": "DB_PASSWORD"}, "not a postgresql:// URL"),
        ({"secret": "DB_PASSWORD"}, "not a secret as JSON"),
    ],
)
def test_variables_that_do_not_fit_are_named_without_their_values(
    tmp_path: Path, variables: dict[str, str], says: str
) -> None:
    """A bad configuration: exit code 2, and no password in it."""
    with pytest.raises(MigrateError) as wrong:
        libpq_parameters({}, variables, tmp_path, ENVIRONMENT)
    assert wrong.value.kind == "config" and "from the container" not in str(wrong.value)
    assert says in f"{wrong.value.what}: {wrong.value.why}"


def test_the_ca_bundle_is_sent_by_its_content(tmp_path: Path) -> None:
    """A path of this machine means nothing in the task."""
    found = libpq_parameters({"authority": "PEM"}, SINGLE, tmp_path, ENVIRONMENT)
    assert Path(found["sslrootcert"]).read_text() == "PEM" and "authority" not in found


def test_a_folder_is_found_or_the_reasons_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only root file system with a volume at TMPDIR."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder, problem = loader.writable_folder()
    assert Path(folder).parent == tmp_path and not problem
    assert Path(folder).stat().st_uid == os.getuid()
