"""The door to AWS: whose credentials it uses, and what its errors say. The answers are real HTTP
answers of a local server.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import RefreshWithMFAUnsupportedError
from pytest_httpserver import HTTPServer

from ops.aws import ecs, secrets
from ops.aws import session as aws_session
from ops.aws.errors import Throttled, by_hand, program
from ops.core.config.settings import Settings
from ops.core.errors import ConfigError, CredentialsRefused, OpsError, Refused, Unreachable
from tests.aws_fixtures import SECRET_KEY

MakeSettings = Callable[..., Settings]
CloudAt = Callable[[str], aws_session.AwsSession]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with its own AWS credentials, profile and endpoint, which a rehearsal must never
    use.
    """
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAMACHINE",
        "AWS_SECRET_ACCESS_KEY": "machine-secret",
        "AWS_SESSION_TOKEN": "machine-token",
        "AWS_PROFILE": "no-such-profile",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "AWS_CA_BUNDLE": "/no/such/bundle",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config").write_text(
        "[profile machine]\nregion = eu-west-1\n[default]\nregion = "
        "eu-west-1\nendpoint_url = http://127.0.0.1:9\n"
    )
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = x\n"
    )
    return tmp_path


def test_a_rehearsal_uses_its_own_keys_alone(
    machine: Path, httpserver: HTTPServer, cloud_at: CloudAt
) -> None:
    """Whatever the machine has, the request goes to the overlay's endpoint, signed with its key for
    the configured region.
    """
    httpserver.expect_request("/").respond_with_data(
        "<GetCallerIdentityResponse "
        'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:root</Arn>'
        "<UserId>A</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
        content_type="text/xml",
    )
    found = aws_session.identity(cloud_at(httpserver.url_for("/")))
    assert (found.account, found.arn) == ("123456789012", "arn:aws:iam::123456789012:root")
    request, _ = httpserver.log[0]
    assert (
        "Credential=AKIAREHEARSAL/" in request.headers["authorization"]
        and "/us-east-1/sts/" in request.headers["authorization"]
    )
    assert "x-amz-security-token" not in request.headers
    assert "machine" not in str(request.headers)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"endpoint": "http://127.0.0.1:9"},
        {"access_key": "A", "secret_key": "B"},
        {"endpoint": "http://127.0.0.1:9", "access_key": "A"},
    ],
)
def test_an_overlay_without_endpoint_or_keys_never_falls_back(
    machine: Path, settings: MakeSettings, given: dict[str, str]
) -> None:
    """An environment with an overlay and half an AWS is a configuration error that says what to
    type.
    """
    with pytest.raises(ConfigError, match="never uses this machine's AWS credentials") as error:
        aws_session.connect(settings(overlay="x.yaml", overlay_hint="inv up", aws=given))
    assert error.value.next == "inv up"


def test_an_endpoint_without_overlay_needs_keys_too(machine: Path, settings: MakeSettings) -> None:
    """An endpoint of one's own is a rehearsal as well; the error names no overlay it lacks."""
    with pytest.raises(ConfigError) as error:
        aws_session.connect(settings(aws={"endpoint": "http://127.0.0.1:9"}))
    assert error.value.why == (
        "with aws.endpoint it never uses this machine's AWS credentials; "
        "not set: aws.access_key, aws.secret_key"
    )
    assert error.value.next.endswith(
        " an overlay with aws.access_key and aws.secret_key, or remove aws.endpoint"
    )


def test_a_missing_profile_is_named(
    machine: Path, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile that ~/.aws/config lacks: exit 2, its name, and how to make it."""
    monkeypatch.delenv("AWS_PROFILE")
    with pytest.raises(ConfigError, match="there is no profile absent") as error:
        aws_session.connect(settings(aws={"profile": "absent"}))
    assert "aws configure sso --profile absent" in error.value.next


def test_an_environment_without_overlay_takes_its_profile(
    machine: Path, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configured profile wins over the variables; the region is the configured one."""
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (machine / "credentials").write_text(
        "[machine]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = x\n"
    )
    monkeypatch.delenv("AWS_CA_BUNDLE")
    client = aws_session.connect(settings(aws={"profile": "machine"})).client("ecs")
    assert client.meta.region_name == "us-east-1"
    assert client._request_signer._credentials.access_key == "AKIAPROFILE"


def test_no_credentials_at_all(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing to sign with is said, with the way to log in."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unreachable, match="there are no AWS credentials") as error:
        aws_session.identity(aws_session.connect(settings()))
    assert "aws configure sso" in error.value.next


def answer(httpserver: HTTPServer, code: str, message: str, status: int = 400) -> None:
    body = json.dumps({"__type": code, "message": message})
    httpserver.expect_request("/").respond_with_data(
        body, status=status, content_type="application/x-amz-json-1.1"
    )


DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/dev/me is not authorized to perform: "
    "ecs:DescribeServices on resource: x"
)


@pytest.mark.parametrize(
    ("code", "message", "kind", "why", "next_words"),
    [
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            Unreachable,
            "the login has expired",
            "renew aws.access_key and aws.secret_key",
        ),
        (
            "UnrecognizedClientException",
            "The security token is invalid",
            Unreachable,
            "does not accept the credentials",
            "aws sts get-caller-identity",
        ),
        (
            "AccessDeniedException",
            DENIED,
            Unreachable,
            "assumed-role/dev/me may not ecs:DescribeServices",
            "have ecs:DescribeServices allowed",
        ),
        ("AccessDeniedException", "no", Unreachable, "access denied: no", "permission"),
        ("ServerException", "oops", Unreachable, "oops", "the service itself failed: wait"),
        (
            "ThrottlingException",
            "Rate exceeded",
            Throttled,
            "asked for fewer calls",
            "wait a minute",
        ),
        (
            "ClusterNotFoundException",
            "Cluster not found.",
            Refused,
            "ClusterNotFoundException",
            "--region us-east-1 ecs list-clusters",
        ),
        (
            "InvalidParameterException",
            "something odd",
            Unreachable,
            "InvalidParameterException: something odd",
            " ecs describe-services",
        ),
    ],
)
def test_errors_that_aws_answers(
    httpserver: HTTPServer,
    cloud_at: CloudAt,
    code: str,
    message: str,
    kind: type[OpsError],
    why: str,
    next_words: str,
) -> None:
    """Each error code has its three lines: the service and cluster, why, what to type."""
    answer(httpserver, code, message, 500 if code == "ServerException" else 400)
    with pytest.raises(kind) as error:
        ecs.service(cloud_at(httpserver.url_for("/")), "main", "web")
    lines = str(error.value).splitlines()
    assert len(lines) == 3 and "main" in lines[0]
    assert why in error.value.why and next_words in error.value.next


def test_the_login_names_the_profile() -> None:
    """With a profile configured, the command to log in is complete."""
    from botocore.exceptions import ClientError, SSOTokenLoadError, UnauthorizedSSOTokenError

    expired = ClientError(
        {"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "GetCallerIdentity"
    )
    for problem in (
        expired,
        UnauthorizedSSOTokenError(),
        SSOTokenLoadError(error_msg="Token for dev does not exist"),
    ):
        with pytest.raises(Unreachable) as error, aws_session.translated("identity", profile="dev"):
            raise problem
        assert error.value.next == "aws sso login --profile dev"


def test_nobody_answers(cloud_at: CloudAt) -> None:
    """A closed endpoint is named, and not called AWS."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable, match="cannot be reached") as error:
        aws_session.identity(cloud_at(endpoint))
    assert endpoint in error.value.why and endpoint in error.value.next


def test_an_answer_that_is_no_aws(httpserver: HTTPServer, cloud_at: CloudAt) -> None:
    """A web page where AWS should be is an error of ours."""
    httpserver.expect_request("/").respond_with_data(
        "<html>proxy login</html>", content_type="text/html"
    )
    with pytest.raises(Unreachable):
        aws_session.identity(cloud_at(httpserver.url_for("/")))


def test_a_bad_parameter_is_a_configuration_error(cloud: aws_session.AwsSession) -> None:
    """What botocore refuses before sending is a matter of configuration."""
    with pytest.raises(ConfigError, match="ParamValidationError"):
        secrets.parameter_exists(cloud, "")


def test_clients_are_made_once_and_shared(cloud: aws_session.AwsSession) -> None:
    """Twenty threads get the same client."""
    import threading

    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(cloud.client("ecs"))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in found}) == 1 and len(found) == 20


def test_no_secret_in_any_error_or_repr(httpserver: HTTPServer, cloud_at: CloudAt) -> None:
    """Keys, session tokens and signed URLs are in no message, whatever AWS quotes."""
    signed = "https://b.s3.amazonaws.com/x?X-Amz-Credential=HUSH&X-Amz-Signature=HUSH&X-Amz-Security-Token=HUSH"
    quoted = f"{signed}\nThe Canonical String: x-amz-security-token:HUSH"
    for code in (
        "SignatureDoesNotMatch",
        "InvalidParameterException",
        "AccessDeniedException",
        "ExpiredTokenException",
    ):
        httpserver.clear()
        answer(httpserver, code, quoted)
        with pytest.raises(OpsError) as error:
            ecs.service(cloud_at(httpserver.url_for("/")), "main", "web")
        shown = f"{error.value} {error.value!r} {error.value.as_document()}"
        assert "HUSH" not in shown and SECRET_KEY not in shown
    assert SECRET_KEY not in repr(cloud_at("http://127.0.0.1:9")) + repr(
        vars(cloud_at("http://127.0.0.1:9"))
    )


def test_what_is_typed_by_hand_acts_where_we_act() -> None:
    """Commands that are shown carry the environment's profile or endpoint, and its region; without
    any, the machine's own.
    """
    rehearsal = aws_session.of_overlay("http://127.0.0.1:9", "AKIATEST", "test", "eu-west-1")
    assert rehearsal.program == "aws --endpoint-url http://127.0.0.1:9 --region eu-west-1"
    assert program("my team", None, "us-east-1") == "aws --profile 'my team' --region us-east-1"
    assert program(None, None) == "aws"


def test_commands_by_hand_exist() -> None:
    """Each call that an error may name is a command of the AWS CLI: its service and operation are
    in botocore's models.
    """
    import botocore.session

    session, found = botocore.session.get_session(), 0
    for path in Path(aws_session.__file__).parent.rglob("*.py"):
        for service, operation in re.findall(r"\(([a-z0-9-]+):([A-Z]\w+)\)", path.read_text()):
            words = by_hand(f"x ({service}:{operation})", "aws").split()
            name = {"s3api": "s3"}.get(words[1], words[1])
            known = {
                botocore.xform_name(each, "-")
                for each in session.get_service_model(name).operation_names
            }
            assert words[0] == "aws" and words[2] in known, (path.name, words)
            found += 1
    assert found > 25


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (EOFError(), "asks for an MFA code"),
        (RefreshWithMFAUnsupportedError(), "asks for an MFA code"),
        (FileNotFoundError(2, "No such file or directory", "aws-vault"), "aws-vault"),
    ],
)
def test_a_profile_that_cannot_be_used_is_no_bug(problem: Exception, why: str) -> None:
    """botocore raises Python's own errors where a profile needs a terminal or a program."""
    with (
        pytest.raises(CredentialsRefused, match=why) as raised,
        aws_session.translated("identity", profile="dev"),
    ):
        raise problem
    assert raised.value.login == raised.value.next != ""
