"""Secrets of every shape that logs are known to carry are struck out; what a diagnosis needs stays."""

import pytest

from ops.redact import redact, redact_lines

SECRET = "hunter2Zq9"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.hunter2Zq9"


@pytest.mark.parametrize(
    "line",
    [
        f"PASSWORD={SECRET}",
        f"db password: {SECRET}, retrying",
        f'{{"username": "app", "password": "{SECRET}", "port": 5432}}',
        f'{{"username": "app", "password": "{SECRET}\\"{SECRET}", "port": 5432}}',
        f'{{\\"password\\":\\"{SECRET}\\",\\"port\\":5432}}',
        f"PGPASSWORD={SECRET} psql -h db",
        f"aws_secret_access_key = {SECRET}",
        f"AWS_SESSION_TOKEN={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"sent Bearer {SECRET}.{SECRET}",
        f"authorization: Basic {SECRET}==",
        f"postgres://app:{SECRET}@db.example.com:5432/davidshaevel?sslmode=require",
        f"postgres://app:p@{SECRET}/x@db.example.com:5432/davidshaevel",
        f"redis://:{SECRET}@cache:6379/0",
        f"https://b.s3.amazonaws.com/k?X-Amz-Credential=x&X-Amz-Signature={SECRET}&X-Amz-Expires=60",
        f"https://b.s3.amazonaws.com/k?X-Amz-Security-Token={SECRET}",
        f"token {JWT} rejected",
        f"x-api-key: {SECRET}",
        f"psql --password {SECRET} -h db",
        f"Set-Cookie: session={SECRET}; Path=/",
        f"ALTER USER app PASSWORD '{SECRET}'",
        f"clientSecret: '{SECRET}'",
    ],
)
def test_a_secret_is_hidden(line):
    """Not one character run of the secret is left."""
    assert SECRET not in redact(line)
    assert "***" in redact(line)


def test_an_access_key_id_is_hidden():
    """An AWS access key id is as good as a name tag for a leak."""
    assert redact("user AKIAIOSFODNN7EXAMPLE may not") == "user *** may not"


def test_a_private_key_is_hidden_line_by_line():
    """A key over several log lines goes, and the lines around it stay."""
    lines = ("before", "-----BEGIN PRIVATE KEY-----", "MIIabc", "def==", "-----END PRIVATE KEY-----", "after")
    hidden = redact_lines(lines)
    assert len(hidden) == len(lines)
    assert (hidden[0], hidden[-1]) == ("before", "after")
    assert not any("MII" in line or "def" in line for line in hidden)


@pytest.mark.parametrize(
    "line",
    [
        'password authentication failed for user "app"',
        "Error: connect ECONNREFUSED 10.0.0.1:5432",
        "pull image repo/backend@sha256:" + "ab12" * 16,
        "can't retrieve the secret with ARN 'arn:aws:secretsmanager:us-east-1:123456789012:secret:dev-davidshaevel-db-AbCdEf'",
        "http://localhost:3000/api/health answered 404",
        "SyntaxError: Unexpected token: } in JSON at position 3",
        "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/dev-backend-tg/1)",
    ],
)
def test_what_is_no_secret_stays(line):
    """A diagnosis is not redacted away."""
    assert redact(line) == line


def test_what_surrounds_a_secret_stays_readable():
    """User, host and the keys of a document are still there."""
    assert redact(f"postgres://app:{SECRET}@db:5432/x") == "postgres://app:***@db:5432/x"
    assert redact(f'{{"user":"app","password":"{SECRET}","port":1}}') == '{"user":"app","password":"***","port":1}'
