"""Translate AWS errors into `OpsError`s, by error code or botocore exception name."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Any

from ops.core.errors import ConfigError, CredentialsRefused, Denied, OpsError, Refused, Unreachable
from ops.core.redaction.redact import one_line

_EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "TokenRefreshRequired",
        "RequestExpired",
        "InvalidGrantException",
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
        "TokenRetrievalError",
        "SSOError",
        "PendingAuthorizationExpiredError",
        "LoginRefreshRequired",
    }
)
_WRONG_KEYS = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "AuthFailure",
        "InvalidAccessKeyId",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "IncompleteSignature",
        "NotSignedUp",
        "OptInRequired",
    }
)
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestInTheFuture"})
_CLOCK_MESSAGE = re.compile(r"Signature (expired|not yet current)")  # of SignatureDoesNotMatch
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AuthorizationError",
        "AuthorizationErrorException",
        "UnauthorizedException",
    }
)
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "SlowDown",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
    }
)
_NO_CREDENTIALS = frozenset(
    {
        "NoCredentialsError",
        "CredentialRetrievalError",
        "NoAuthTokenError",
        "MissingDependencyException",
    }
)
_MFA = "RefreshWithMFAUnsupportedError"  # botocore asks for a code once in a process
_MFA_CODE = re.compile(r"MultiFactorAuthentication failed|\bTokenCode\b", re.IGNORECASE)
_NO_LOGIN = frozenset({"SSOTokenLoadError"})
_WRONG_PROFILE = frozenset(
    {
        "PartialCredentialsError",
        "InfiniteLoopConfigError",
        "UnknownCredentialError",
        "ConfigParseError",
        "InvalidConfigError",
    }
)
_SLOW = frozenset({"ConnectTimeoutError", "ReadTimeoutError"})
_UNREACHED = frozenset(
    {
        "EndpointConnectionError",
        "ConnectionClosedError",
        "ProxyConnectionError",
        "HTTPClientError",
        "ConnectionError",
        "ResponseStreamingError",
    }
)
_ENDPOINT_KINDS = (
    (re.compile(r"//(?:\S*[.-])?fips[.-]"), "AWS_USE_FIPS_ENDPOINT or use_fips_endpoint"),
    (
        re.compile(r"//\S*(?:\.api\.aws|\.dualstack\.)"),
        "AWS_USE_DUALSTACK_ENDPOINT or use_dualstack_endpoint",
    ),
)
_CREDENTIAL_MODULES = ("botocore.credentials", "botocore.tokens")
_CREDENTIAL_SOURCES = {
    "Environment": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "Ec2InstanceMetadata": "run it on an EC2 instance that has a role",
    "EcsContainer": "run it in an ECS task that has a role",
}  # of a profile's credential_source, and where its keys come from
_PROFILE_KEYS = ("credential_process", "web_identity_token_file", "sso_session", "role_arn")
_PERMISSION = re.compile(r"not authorized to perform:? \[?([\w:*-]+)")
_USER = re.compile(r"User: (arn:\S+)")


class AwsRefused(Refused):
    """AWS rejected a call that would have changed something, and changed nothing."""


class Throttled(Unreachable):
    """AWS throttled the calls even after botocore's retries: wait longer before the next poll."""


def translate_error(
    what: str, error: Any, profile: str | None = None, endpoint: str | None = None
) -> OpsError:
    """Translate a ClientError or BotoCoreError into an OpsError."""
    answered = getattr(error, "response", None)
    found: dict[str, Any] = answered.get("Error", {}) if isinstance(answered, dict) else {}
    name = str(found.get("Code") or type(error).__name__)
    message = _first_line(found.get("Message") or error)
    if _MFA_CODE.search(str(error)):  # STS's AccessDenied, or a code of another length
        why = f"the MFA code was not accepted ({name}: {one_line(error)})"
        return CredentialsRefused(what, why, "run it again, and type a new code")
    for cause in (_credentials_error, _denied_action, _unreachable_error, _profile_hint):
        problem = cause(what, name, message, profile, endpoint)
        if problem:
            return problem
    same = by_hand(what, program(profile, endpoint))
    advice = (
        "the service itself failed: wait a minute, then run it again"
        if _status(answered) >= 500
        else "look up the code in AWS's API reference"
    )
    return Unreachable(what, f"{name}: {message}", f"{advice}; the same call by hand: {same}")


def _status(answered: Any) -> int:
    """The HTTP status of an answer, or 0 without one."""
    metadata = answered.get("ResponseMetadata", {}) if isinstance(answered, dict) else {}
    return int(metadata.get("HTTPStatusCode") or 0)


def _credentials_error(
    what: str, name: str, message: str, profile: str | None, endpoint: str | None
) -> OpsError | None:
    if name in _EXPIRED or ("expired" in message.lower() and name in _NO_CREDENTIALS):
        state = "there is no valid login" if name in _NO_LOGIN else "the login has expired"
        advice = login_advice(profile, endpoint)
        if name == "RequestExpired":  # EC2's code for both
            state, advice = (
                f"{state}, or this machine's clock is wrong",
                f"{advice}; or set the clock",
            )
        return CredentialsRefused(what, f"{state} ({name}: {message})", advice)
    if name == _MFA:
        return no_mfa_code(what)
    if name in _NO_CREDENTIALS:
        if name == "MissingDependencyException":
            advice = "install what it names in this tool's .venv, or use another profile"
        elif profile or name != "NoCredentialsError":
            advice = login_advice(profile, endpoint)
        else:
            advice = "set aws.profile in invoke.yaml, or log in: aws configure sso"
        return CredentialsRefused(what, f"there are no AWS credentials ({message})", advice)
    if name in _WRONG_PROFILE:
        return profile_error(what, f"{name}: {message}", profile)
    if name == "ProfileNotFound":
        return ConfigError(
            what,
            f"there is no profile {profile or 'of this name (AWS_PROFILE)'} in ~/.aws/config",
            f"aws configure sso --profile {profile or 'NAME'}, or correct aws.profile in "
            f"invoke.yaml",
        )
    if name in _CLOCK or _CLOCK_MESSAGE.match(message):
        return CredentialsRefused(
            what,
            f"this machine's clock is wrong ({name}: {message})",
            "set the clock, then run it again",
        )
    if name in _WRONG_KEYS:
        return CredentialsRefused(
            what,
            f"AWS does not accept the credentials ({name}: {message})",
            f"aws sts get-caller-identity{f' --profile {profile}' if profile else ''}",
        )
    return None


def refusal(what: str, error: Any, aws: str) -> AwsRefused:
    """The error for a call that AWS rejected; `aws` is the result of `program`."""
    found = error.response.get("Error", {})
    name, message = (
        str(found.get("Code") or type(error).__name__),
        _first_line(found.get("Message")),
    )
    first = "correct what AWS names, and run it again"
    if "limit" in name.lower() or "quota" in name.lower():
        first = "have the quota raised (Service Quotas), or free some of it"
    if "InProgress" in name or name == "ConflictException":
        first = "wait until what is in progress has ended, then run it again"
    why = f"AWS refused it, so it changed nothing ({name}: {message})"
    return AwsRefused(what, why, f"{first}; the same call by hand: {by_hand(what, aws)}")


def credentials_failed(error: BaseException) -> bool:
    """Whether an error was raised while botocore loaded credentials, by its traceback.

    What runs there raises anything: a `credential_process` that prints no JSON is a ValueError.
    """
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") in _CREDENTIAL_MODULES:
            return True
        trace = trace.tb_next
    return False


def no_mfa_code(what: str) -> CredentialsRefused:
    """The error for a profile that needs an MFA code, and gets none.

    botocore asks once in a process: later calls, and those of other threads, are refused.
    """
    if sys.stdin and sys.stdin.isatty():
        why = (
            "the profile asks for an MFA code; this run's was not accepted, or its session is over"
        )
        return CredentialsRefused(what, why, "run it again, and type a new code")
    why = "the profile asks for an MFA code, and there is no terminal to type it on"
    return CredentialsRefused(what, why, "run it on a terminal, or get session credentials first")


def profile_error(what: str, problem: object, profile: str | None) -> ConfigError:
    """The error for a profile whose credentials botocore cannot load."""
    config = _profile_config(profile)
    key = next((each for each in _PROFILE_KEYS if each in config), "")
    name = f"the AWS profile {profile or config.get('name', 'default')}"
    why = f"{name} cannot be used: {f'{key}: ' if key else ''}{one_line(problem)}"
    found = ConfigError(what, why, "correct it in ~/.aws/config")
    found.login = f"correct {name} in ~/.aws/config"
    return found


def login_advice(profile: str | None, endpoint: str | None) -> str:
    """The command that renews the credentials of a profile, by the kind of the profile."""
    if endpoint:
        return "renew aws.access_key and aws.secret_key in the environment's overlay"
    option = f" --profile {profile}" if profile else ""
    config = _profile_config(profile)
    if source := config.get("source_profile"):
        return login_advice(source, None) if source != profile else "correct ~/.aws/config"
    if "credential_process" in config:
        return "run the profile's credential_process by hand, to see what it prints"
    if file := config.get("web_identity_token_file"):
        return f"renew the token in {file}"
    if source := config.get("credential_source"):
        return _CREDENTIAL_SOURCES.get(source, "correct credential_source in ~/.aws/config")
    if "login_session" in config:
        return f"aws login{option}"
    if "aws_access_key_id" in config:
        return f"renew the profile's keys: aws configure{option}"
    if any(key.startswith("sso_") for key in config) or (profile and not config):
        return f"aws sso login{option}"
    if profile:
        return f"aws configure sso{option}"
    return "aws sso login (or renew the credentials in your environment)"


def _profile_config(profile: str | None) -> dict[str, str]:
    """The settings of a profile of this machine; empty if they cannot be read."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        session = Session(profile=profile)
        known = session.full_config["profiles"].get(profile or session.profile or "default", {})
    except (BotoCoreError, KeyError):
        return {}
    return {str(key): str(value) for key, value in known.items()}


def _denied_action(
    what: str, name: str, message: str, profile: str | None, endpoint: str | None
) -> OpsError | None:
    if name not in _DENIED:
        return None
    missing, who = _PERMISSION.search(message), _USER.search(message)
    if missing is None:
        return Denied(
            what, f"access denied: {message}", "have the permission added, or use other credentials"
        )
    whom = who[1] if who else "the credentials"
    return Denied(
        what,
        f"{whom} may not {missing[1]} ({name})",
        f"have {missing[1]} allowed for {whom}, or use other credentials",
        denied_action=missing[1],
        denied_to=whom,
    )


def _unreachable_error(
    what: str, name: str, message: str, profile: str | None, endpoint: str | None
) -> OpsError | None:
    where = endpoint or "AWS"
    again = (
        f"check that {endpoint} is up"
        if endpoint
        else "check network, VPN and region, then run it again"
    )
    if name in _THROTTLED:
        return Throttled(
            what, f"AWS asked for fewer calls ({name})", "wait a minute, then run it again"
        )
    if name in _SLOW:
        return Unreachable(what, f"{where} did not answer in time ({message})", again)
    if name in _UNREACHED:
        for pattern, setting in _ENDPOINT_KINDS:
            if pattern.search(message):
                again = (
                    f"check that AWS has such an endpoint there: {setting} is set, in the "
                    f"environment or in the profile; then network and VPN"
                )
        return Unreachable(what, f"{where} cannot be reached ({message})", again)
    if name == "SSLError":
        return Unreachable(
            what,
            f"TLS to {where} failed ({message})",
            "check the clock, a proxy in between, and AWS_CA_BUNDLE",
        )
    return None


def _profile_hint(
    what: str, name: str, message: str, profile: str | None, endpoint: str | None
) -> OpsError | None:
    if name in (
        "ParamValidationError",
        "InvalidRegionError",
        "NoRegionError",
        "InvalidEndpointConfigurationError",
    ):
        return ConfigError(
            what,
            f"{name}: {message}",
            "correct the name or value in invoke.yaml (or in ~/.aws/config)",
        )
    return None


def _first_line(message: object) -> str:
    """The first line of a message: a signature mismatch goes on with the whole signed request."""
    lines = [line for line in str(message).splitlines() if line.strip()]
    return one_line(lines[0]) if lines else ""


def program(profile: str | None, endpoint: str | None, region: str | None = None) -> str:
    """`aws` with the options that select this environment's profile, endpoint and region.

    Without them, a command typed by hand could act on another account.
    """
    options = {"--profile": profile, "--endpoint-url": endpoint, "--region": region}
    return " ".join(
        ["aws", *(f"{option} {shlex.quote(value)}" for option, value in options.items() if value)]
    )


def by_hand(what: str, aws: str) -> str:
    """The CLI command for a `what` that names an API call, such as `ecs:DescribeServices`.

    `aws` is the result of `program`.
    """
    named = re.search(r"\b([a-z0-9-]+):([A-Z]\w+)", what)
    if named is None:
        return f"{aws} help"
    from botocore import xform_name

    service = {"elasticloadbalancing": "elbv2", "s3": "s3api"}.get(named[1], named[1])
    operation = {"ListBucket": "ListObjectsV2"}.get(
        named[2], named[2]
    )  # a permission is not always named after its call
    return f"{aws} {service} {xform_name(operation, '-')}"
