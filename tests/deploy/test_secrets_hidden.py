"""A task that prints its secrets, a commit's subject and a test that print them: no output and no
record holds them.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]

SECRET = "dev-davidshaevel-db-credentials"
CANARY = "k4naRy9/é\"+x'&z Q2w7"
PRINTS = f"""
import base64, json, os, sys, urllib.parse
for secret in (os.environ["DB_PASSWORD"], {CANARY!r}):
    print(json.dumps([{{"name": "DB_PASSWORD", "value": secret}}]))
    print("connecting with", secret)
    print("ERROR: nobody answers", secret)
    print("Access denied, using password", secret)
    quoted = urllib.parse.quote(secret, safe="")
    print("postgres://davidshaevel:" + quoted + "@db/x", urllib.parse.quote_plus(secret))
    print("basic", base64.b64encode(("davidshaevel:" + secret).encode()).decode())
    print("config", json.dumps({{"inner": json.dumps({{"any": secret}})}}), repr(secret))
    print("hex", secret.encode().hex())
print("environment", dict(os.environ), flush=True)
raise SystemExit("boom " + os.environ["DB_PASSWORD"])
"""


def written(secret: str) -> tuple[str, ...]:
    """Parts of the secret as the container prints it, long enough to be no accident."""
    encoded = (base64.b64encode(f"davidshaevel:{secret}".encode()).decode(), secret.encode().hex())
    return (
        secret,
        secret[:7],
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
        *(each[20:32] for each in encoded),
    )


def test_a_task_that_prints_its_secrets_gives_none_away(platform: Checkout) -> None:
    """The deploy fails and shows the log with its words, on the screen, as JSON and in the record;
    the secrets are in none of them.
    """
    secrets = world.aws(platform, "secretsmanager")
    before = secrets.get_secret_value(SecretId=SECRET)["SecretString"]
    secrets.put_secret_value(
        SecretId=SECRET, SecretString=json.dumps({**json.loads(before), "signing": CANARY})
    )
    world.commit(platform, {"backend/server.py": PRINTS}, "Print all that is secret")
    try:
        done = platform.inv("backend.deploy", "--skip", "tests", "--json", "--follow")
        health = platform.inv("health.logs", "--since", "10m")
    finally:
        secrets.put_secret_value(SecretId=SECRET, SecretString=before)
        world.revert(platform)
    assert done.returncode == 4, done.stderr
    document = json.loads(done.stdout)
    shown = [each["text"] for finding in document["findings"] for each in finding["evidence"]]
    assert any(text.startswith("boom ***") for text in shown), shown
    assert "connecting with ***" in done.stderr and "using password ***" in done.stderr
    assert "ERROR: nobody answers ***" in health.stdout, health.stdout + health.stderr
    everything = {"stdout": done.stdout, "stderr": done.stderr, "health": health.stdout}
    everything |= {**records(platform), **files(platform.root / ".ops")}
    assert any("boom ***" in text for name, text in everything.items() if name.startswith("s3://"))
    for secret in (json.loads(before)["password"], CANARY):
        for part in written(secret):
            assert not [name for name, text in everything.items() if part in text], part
    assert "davidshaevel" in done.stdout, "the user's name is no secret"


def records(platform: Checkout) -> dict[str, str]:
    """All release records of the backend, as they are in the bucket."""
    s3, bucket = world.aws(platform, "s3"), "dev-davidshaevel-terraform-state"
    keys = [
        each["Key"]
        for each in s3.list_objects_v2(Bucket=bucket, Prefix="ops/releases/")["Contents"]
    ]
    return {
        f"s3://{key}": s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys
    }


def files(folder: Path) -> dict[str, str]:
    return {
        str(path): path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()
    }


TEST = r"""
import unittest
class Leak(unittest.TestCase):
    def test_it(self):
        self.fail("\x1b[0;31mpostgres://app:hunter2Kx9@db/x\x1b[0m \x07")
"""


def test_preflight_shows_a_subject_and_a_test_without_secrets_and_escapes(
    platform: Checkout,
) -> None:
    """The user's tests print a password in colour, the commit's subject holds one: both are hidden,
    and nothing moves the cursor.
    """
    world.commit(
        platform, {"backend/test_leak.py": TEST}, "Set password=hunter2Kx9 \x1b[31mfor all"
    )
    try:
        text, document = platform.inv("preflight", "--verbose"), platform.inv("preflight", "--json")
    finally:
        world.revert(platform)
    for done in (text, document):
        assert done.returncode == 3, done.stderr
        assert "hunter2Kx9" not in done.stdout + done.stderr
        assert "postgres://app:***@db/x" in done.stdout and "Set password=***" in done.stdout
        assert "\x1b" not in done.stdout and "u001b" not in done.stdout
    checks = {
        each["name"]: each
        for each in json.loads(document.stdout)["checks"]
        if each["service"] in (None, "backend")
    }
    assert "\x1b" not in checks["tests"]["detail"] and "\\x07" in checks["tests"]["detail"]
