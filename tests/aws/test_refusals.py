"""What AWS rejected has changed nothing and is called refused; what it may have done is not.

And errors by their meaning: a wrong clock in each service's words, profiles that botocore cannot
load.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from ops.aws import ecs, ecs_tasks, rds, session
from ops.aws.errors import AwsRefused, translate_error
from ops.cdn import cloudfront
from ops.core.apply import Journal, StepHandlers, apply
from ops.core.errors import ConfigError, CredentialsRefused, Denied, OpsError, Refused
from ops.core.plan import Plan
from ops.deploy.run import verdict_of
from tests.core.test_apply import One

DOCUMENT = {"family": "web", "containerDefinitions": []}
CHANGES: dict[str, Callable[[session.AwsSession], object]] = {
    "UpdateService": lambda cloud: ecs.update_service(cloud, "main", "web", "web:2"),
    "restart": lambda cloud: ecs.restart_service(cloud, "main", "web"),
    "scale": lambda cloud: ecs.set_desired_count(cloud, "main", "web", 2),
    "RegisterTaskDefinition": lambda cloud: ecs.register(cloud, DOCUMENT, lambda _: None),
    "RunTask": lambda cloud: ecs_tasks.run(cloud, "main", "web:1", {"clientToken": "t"}),
    "StopTask": lambda cloud: ecs_tasks.stop(cloud, "main", "a", "why"),
    "CreateInvalidation": lambda cloud: cloudfront.invalidate(cloud, "E1", ["/*"], "r"),
    "StartDBInstance": lambda cloud: rds.start(cloud, "db"),
    "CreateDBSnapshot": lambda cloud: rds.create_snapshot(cloud, "db", "s", {}),
}
BY_CODE = (
    "InvalidParameterException",
    "ClientException",
    "PlatformTaskDefinitionIncompatibilityException",
    "PlatformUnknownException",
    "LimitExceededException",
    "ServiceQuotaExceededException",
    "UnsupportedFeatureException",
    "BlockedException",
    "ConflictException",
    "UpdateInProgressException",
    "AnExceptionOfTomorrow",
)


def _answer(httpserver: HTTPServer, status: int, code: str, message: str = "no") -> None:
    """Answer every call with this error, in the protocol of the service that is called."""

    def respond(request: Request) -> Response:
        if "x-amz-target" in request.headers:
            body = json.dumps({"__type": code, "message": message})
            return Response(body, status, content_type="application/x-amz-json-1.1")
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>"
        return Response(body, status, content_type="text/xml")

    httpserver.clear()
    httpserver.expect_request("/").respond_with_handler(respond)
    path = "/2020-05-31/distribution/E1/invalidation"
    httpserver.expect_request(path).respond_with_handler(respond)


@pytest.mark.parametrize("name", CHANGES)
def test_a_rejected_change_is_refused_whatever_its_code(
    name: str, httpserver: HTTPServer, cloud_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 4xx at every attempt: exit 3, AWS's words, and that nothing was changed."""
    monkeypatch.setattr("time.sleep", lambda _: None)  # of botocore's pauses
    cloud = cloud_at(httpserver.url_for("/"))
    for code in BY_CODE:
        _answer(httpserver, 400, code, "not with these values")
        with pytest.raises(AwsRefused) as raised:
            CHANGES[name](cloud)
        error = raised.value
        assert error.untouched and error.exit_code == 3
        assert "it changed nothing" in error.why and "not with these values" in error.why
        assert ("quota" in error.next) is ("Limit" in code or "Quota" in code)
        assert ("has ended" in error.next) is ("InProgress" in code or "Conflict" in code)


def test_too_many_invalidations_have_their_own_advice(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    """An answer that is expected is not replaced by the general refusal."""
    _answer(httpserver, 400, "TooManyInvalidationsInProgress")
    with pytest.raises(AwsRefused, match="too many in progress, so it changed nothing") as raised:
        CHANGES["CreateInvalidation"](cloud_at(httpserver.url_for("/")))
    assert raised.value.next.startswith("inv cdn.status") and raised.value.untouched


@pytest.mark.parametrize("name", CHANGES)
def test_a_denied_change_names_the_permission_and_has_changed_nothing(
    name: str, httpserver: HTTPServer, cloud_at: Any
) -> None:
    text = "User: arn:aws:iam::1:user/me is not authorized to perform: x:Y on resource: z"
    _answer(httpserver, 403, "AccessDeniedException", text)
    with pytest.raises(Denied) as raised:
        CHANGES[name](cloud_at(httpserver.url_for("/")))
    assert raised.value.untouched and raised.value.denied_action == "x:Y"


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_may_have_been_made_is_not_called_refused(
    name: str, httpserver: HTTPServer, cloud_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 5xx, and a 4xx after one: an earlier attempt may have been carried out."""
    monkeypatch.setattr("time.sleep", lambda _: None)  # of botocore's pauses
    _answer(httpserver, 500, "ServerException")
    with pytest.raises(OpsError) as raised:
        CHANGES[name](cloud_at(httpserver.url_for("/")))
    assert not raised.value.untouched and not isinstance(raised.value, Refused)
    answers = iter([(500, "ServerException"), (400, "InvalidParameterException")])
    first: list[Response] = []

    def respond(request: Request) -> Response:
        status, code = next(answers, (400, "InvalidParameterException"))
        json_body = json.dumps({"__type": code, "message": "no"})
        xml = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
        by_json = "x-amz-target" in request.headers
        kind = "application/x-amz-json-1.1" if by_json else "text/xml"
        first.append(Response(json_body if by_json else xml, status, content_type=kind))
        return first[-1]

    httpserver.clear()
    httpserver.expect_request("/").respond_with_handler(respond)
    path = "/2020-05-31/distribution/E1/invalidation"
    httpserver.expect_request(path).respond_with_handler(respond)
    with pytest.raises(OpsError) as raised:
        CHANGES[name](cloud_at(httpserver.url_for("/")))
    assert len(first) > 1 and not raised.value.untouched


def test_a_missing_cluster_or_service_is_named_and_nothing_was_changed(
    httpserver: HTTPServer, cloud_at: Any
) -> None:
    cloud = cloud_at(httpserver.url_for("/"))
    for code in (
        "ClusterNotFoundException",
        "ServiceNotFoundException",
        "ServiceNotActiveException",
    ):
        _answer(httpserver, 400, code)
        with pytest.raises(Refused) as raised:
            ecs.update_service(cloud, "main", "web", "web:2")
        assert raised.value.untouched and "invoke.yaml" in raised.value.next


def test_a_refused_step_is_not_undone(httpserver: HTTPServer, cloud_at: Any) -> None:
    """The journal has it as refused, no undo is tried, and the deploy's verdict is refused."""
    _answer(httpserver, 400, "InvalidParameterException", "CODE_DEPLOY deployment controller")
    cloud = cloud_at(httpserver.url_for("/"))
    undone: list[Any] = []
    handlers, journal = StepHandlers(), Journal(lambda line: None)

    def do(step: One) -> None:
        ecs.update_service(cloud, "main", "web", "web:2")

    handlers.add(One, do, undone.append)
    with pytest.raises(AwsRefused) as raised:
        apply(Plan((One(),)), handlers, journal)
    assert [entry.status for entry in journal.entries] == ["refused"] and not undone
    assert verdict_of(raised.value).value == "refused"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20260127T001427Z is now earlier than 20260127T014428Z",
        ),
        (
            "SignatureDoesNotMatch",
            "Signature not yet current: 20260127T031427Z is still later than 20260127T015928Z",
        ),
        (
            "InvalidSignatureException",
            "Signature expired: 20260707T233021Z is now earlier than 20260710T071214Z",
        ),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time"),
        ("RequestInTheFuture", "x"),
        ("RequestExpired", "Request has expired."),
        ("InvalidClientTokenId", "Signature expired: now earlier"),
    ],
)
def test_a_wrong_clock_in_each_services_words(code: str, message: str) -> None:
    """STS, ECS, ECR, S3 and EC2 say it each in another way."""
    error = ClientError({"Error": {"Code": code, "Message": message}}, "GetCallerIdentity")
    found = translate_error("identity (sts:GetCallerIdentity)", error)
    assert "clock" in found.why and "clock" in found.next


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidSignatureException"])
def test_a_wrong_key_is_no_wrong_clock(code: str) -> None:
    text = "The request signature we calculated does not match the signature you provided."
    error = ClientError({"Error": {"Code": code, "Message": text}}, "GetCallerIdentity")
    assert "clock" not in translate_error("identity (sts:GetCallerIdentity)", error).why


ROLE = "role_arn = arn:aws:iam::123456789012:role/x"
PROFILES = {
    "credential_process that is not there": (
        "credential_process = /opt/company/get",
        OpsError,
        "/opt/company/get",
        "correct the profile",
    ),
    "credential_process with an open quote": (
        'credential_process = /bin/echo "x',
        ConfigError,
        "profile ours cannot be used: credential_process: No closing quotation",
        "~/.aws/config",
    ),
    "credential_process that prints no JSON": (
        "credential_process = /bin/echo hello",
        ConfigError,
        "profile ours cannot be used: credential_process:",
        "~/.aws/config",
    ),
    "credential_process without a version": (
        'credential_process = /bin/echo \'{"AccessKeyId":"a"}\'',
        Denied,
        "Unsupported version",
        "run the profile's credential_process by hand",
    ),
    "credential_process that fails": (
        "credential_process = /bin/false",
        Denied,
        "no AWS credentials",
        "run the profile's credential_process by hand",
    ),
    "a role of a profile that is not there": (
        f"{ROLE}\nsource_profile = nope",
        ConfigError,
        'source_profile "nope"',
        "~/.aws/config",
    ),
    "a role without a source": (ROLE, ConfigError, "missing: source_profile", "~/.aws/config"),
    "a role of itself through another": (
        f"{ROLE}\nsource_profile = q\n[profile q]\n{ROLE}\nsource_profile = ours",
        ConfigError,
        "Infinite loop",
        "~/.aws/config",
    ),
    "a token file that is not there": (
        f"{ROLE}\nweb_identity_token_file = /nope/token",
        OpsError,
        "/nope/token",
        "correct the profile",
    ),
    "SSO without a login": (
        "sso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\n"
        "sso_region = us-east-1\nsso_start_url = https://x.awsapps.com/start",
        Denied,
        "there is no valid login",
        "aws sso login --profile ours",
    ),
    "SSO without its address": (
        "sso_session = s\n[sso-session s]\nsso_region = us-east-1",
        ConfigError,
        "sso_start_url",
        "~/.aws/config",
    ),
    "no address of an endpoint": (
        "endpoint_url = notaurl\naws_access_key_id = a\naws_secret_access_key = b",
        ConfigError,
        "Invalid endpoint: notaurl",
        "endpoint_url",
    ),
    "MFA without a terminal": (
        f"{ROLE}\nsource_profile = q\nmfa_serial = arn:aws:iam::1:mfa/me\n[profile q]\n"
        "aws_access_key_id = a\naws_secret_access_key = b",
        OpsError,
        "MFA code, and there is no terminal",
        "session credentials",
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_that_cannot_be_loaded(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error of the profile, named with its key; never a bug, nor "what answers is not AWS"."""
    text, kind, why, advice = PROFILES[name]
    for each in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(each)
    (tmp_path / "config").write_text(f"[profile ours]\n{text}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(kind) as raised:
        session.identity(session.connect(settings(aws={"profile": "ours"})))
    assert why in f"{raised.value.what} {raised.value.why}" and advice in raised.value.next
    assert "is not AWS" not in raised.value.why
    assert ("sso login" in raised.value.next) is (name == "SSO without a login")
    printed = capsys.readouterr().err
    assert "GetPassWarning" not in printed
    assert not printed or printed.endswith("\n"), "the error begins a line of its own"


@pytest.mark.parametrize(
    "error",
    [
        ClientError(
            {
                "Error": {
                    "Code": "AccessDenied",
                    "Message": "MultiFactorAuthentication failed with invalid MFA one time pass "
                    "code.",
                }
            },
            "AssumeRole",
        ),
        ParamValidationError(report="Invalid length for parameter TokenCode, value: 3"),
    ],
)
def test_a_wrong_mfa_code_is_no_missing_permission(error: Exception) -> None:
    found = translate_error("identity", error, "ours")
    assert isinstance(found, CredentialsRefused) and "the MFA code was not accepted" in found.why
    assert found.next == "run it again, and type a new code"


@pytest.mark.parametrize(
    ("profile", "advice"),
    [
        ("aws_access_key_id = a\naws_secret_access_key = b", "aws configure --profile ours"),
        ("sso_start_url = https://x.awsapps.com/start", "aws sso login --profile ours"),
        ("login_session = arn:aws:iam::1:user/me", "aws login --profile ours"),
        ("region = us-east-1", "aws configure sso --profile ours"),
        (f"{ROLE}\ncredential_source = EcsContainer", "run it in an ECS task that has a role"),
        ("credential_process = p", "run the profile's credential_process by hand"),
        (f"{ROLE}\nweb_identity_token_file = /run/token", "renew the token in /run/token"),
        (
            f"{ROLE}\nsource_profile = q\n[profile q]\nsso_session = s",
            "aws sso login --profile q",
        ),
    ],
)
def test_the_advice_after_an_expired_login_fits_the_profile(
    profile: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[profile ours]\n{profile}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    expired = ClientError({"Error": {"Code": "ExpiredToken", "Message": "x"}}, "GetCallerIdentity")
    found = translate_error("identity", expired, "ours")
    assert "the login has expired" in found.why and advice in found.next
