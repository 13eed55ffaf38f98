"""Causes in the operator's access to AWS. They are found although nothing of AWS can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ops.core.findings import Finding
from ops.diagnosis.facts import Incident, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause

_SKEW_S = 300.0  # AWS tolerates 5 to 15 minutes, by service
_EXPIRED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "TokenRefreshRequired",
    "LoginRefreshRequired",
)
_SSO = (
    "UnauthorizedSSOTokenError",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "SSOError",
    "PendingAuthorizationExpiredError",
    "InvalidGrantException",
)
_MISSING = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "NoAuthTokenError",
)
_INVALID = (
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "InvalidAccessKeyId",
    "AuthFailure",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "IncompleteSignature",
    "NotSignedUp",
    "OptInRequired",
)
_CLOCK_CODES = ("RequestTimeTooSkewed", "RequestInTheFuture")
_CLOCK_TEXT = re.compile(r"Signature (expired|not yet current)", re.IGNORECASE)
BLOCKING = frozenset(
    {"clock_wrong", "credentials_expired", "sso_session_ended", "credentials_missing"}
    | {"credentials_invalid"}
)  # causes with which no call to AWS is answered


def _refusal(incident: Incident) -> tuple[str, str]:
    """Code and message of AWS's (or botocore's) refusal; empty if it answered."""
    refused = (incident.content("aws/identity") or {}).get("refused") or {}
    return str(refused.get("code", "")), str(refused.get("message", ""))


def clock_offset_s(incident: Incident) -> float | None:
    """Seconds by which this machine's clock is ahead of AWS's; None if unknown."""
    found = incident.content("aws/identity") or {}
    try:
        aws = parsedate_to_datetime(str(found["aws_clock"]))
        machine = datetime.fromisoformat(str(found["machine_clock"]))
    except (KeyError, ValueError, TypeError):
        return None
    return (machine - (aws if aws.tzinfo else aws.replace(tzinfo=UTC))).total_seconds()


def _clock_is_wrong(incident: Incident) -> bool:
    code, message = _refusal(incident)
    offset = clock_offset_s(incident)
    refused_for_it = code in _CLOCK_CODES or bool(_CLOCK_TEXT.search(message))
    return refused_for_it or (bool(code) and offset is not None and abs(offset) > _SKEW_S)


@cause(
    "wrong_account",
    layer="access",
    symptoms="Every check that uses AWS is unknown or shows another platform.",
    cure="Log in to the environment's account, or correct aws.profile in invoke.yaml.",
    explains=("*",),
)
def wrong_account(incident: Incident) -> Iterator[Candidate]:
    """The credentials belong to another account than the environment's."""
    found, expected = incident.content("aws/identity") or {}, str(incident.subject["account"])
    if not found.get("account") or found["account"] == expected:
        return
    finding = Finding(
        "wrong_account",
        f"the credentials belong to account {found['account']}, {incident.environment} is "
        f"{expected}",
        "certain",
        (
            evidence("sts:GetCallerIdentity Account", found["account"]),
            evidence("sts:GetCallerIdentity Arn", found.get("arn", "")),
            evidence("invoke.yaml account", expected),
        ),
        (_other_credentials(incident), f"{incident.aws} sts get-caller-identity"),
    )
    yield Candidate(finding, because="AWS names the account; nothing read there is this platform's")


@cause(
    "clock_wrong",
    layer="access",
    symptoms="Signature expired, Signature not yet current, RequestTimeTooSkewed.",
    cure="Set this machine's clock (time synchronisation), then run it again.",
    explains=("*",),
)
def clock_wrong(incident: Incident) -> Iterator[Candidate]:
    """AWS refuses signatures of this machine, whose clock differs from AWS's."""
    if not _clock_is_wrong(incident):
        return
    code, message = _refusal(incident)
    found, offset = incident.content("aws/identity") or {}, clock_offset_s(incident)
    wrong = "wrong"
    if offset is not None:
        wrong = f"{abs(offset) / 60:.0f} minutes {'ahead' if offset > 0 else 'behind'}"
    clocks = [evidence("Date header of AWS", found["aws_clock"])] if found.get("aws_clock") else []
    finding = Finding(
        "clock_wrong",
        f"this machine's clock is {wrong}, and AWS refuses what it signs",
        "certain",
        (
            evidence("sts:GetCallerIdentity", f"{code}: {message}"),
            *clocks,
            evidence("clock of this machine", found.get("machine_clock", "")),
        ),
        ("timedatectl status", f"{incident.aws} sts get-caller-identity"),
    )
    because = (
        "AWS names the time as the reason; a wrong key would be refused without it"
        if _CLOCK_TEXT.search(message) or code in _CLOCK_CODES
        else "the two clocks differ by more than AWS tolerates"
    )
    yield Candidate(finding, because=because)


@cause(
    "credentials_expired",
    layer="access",
    symptoms="ExpiredToken: The security token included in the request is expired.",
    cure="Log in again.",
    explains=("*",),
)
def credentials_expired(incident: Incident) -> Iterator[Candidate]:
    """The session token of the credentials has expired."""
    code, _ = _refusal(incident)
    if code in _EXPIRED and not _clock_is_wrong(incident):
        yield _refused(
            incident,
            "credentials_expired",
            "AWS: the session of these credentials has expired",
            (_login(incident),),
            "AWS knows the key and refuses its token for its age",
        )


@cause(
    "sso_session_ended",
    layer="access",
    symptoms="Error loading SSO Token; the SSO session has expired or is otherwise invalid.",
    cure="Log in again: aws sso login.",
    explains=("*",),
)
def sso_session_ended(incident: Incident) -> Iterator[Candidate]:
    """The SSO session from which the credentials come has ended."""
    if _refusal(incident)[0] in _SSO:
        yield _refused(
            incident,
            "sso_session_ended",
            "AWS: the SSO session has ended",
            (_login(incident),),
            "the SSO token on this machine is missing or refused; nothing was sent to AWS",
        )


@cause(
    "credentials_missing",
    layer="access",
    symptoms="Unable to locate credentials; an MFA code, a file or a program of the profile fails.",
    cure="Set aws.profile in invoke.yaml, correct the profile, or log in.",
    explains=("*",),
)
def credentials_missing(incident: Incident) -> Iterator[Candidate]:
    """This machine has no credentials for AWS, or cannot load those of the profile."""
    found = (incident.content("aws/identity") or {}).get("refused") or {}
    code, answered = str(found.get("code", "")), (*_EXPIRED, *_SSO, *_INVALID, *_CLOCK_CODES)
    not_loaded = bool(found.get("login")) and code not in answered
    if code in _MISSING or (not_loaded and not _clock_is_wrong(incident)):
        yield _refused(
            incident,
            "credentials_missing",
            "AWS: this machine has no usable credentials",
            (str(found.get("login") or _login(incident)),),
            "no call to AWS could be signed",
        )


@cause(
    "credentials_invalid",
    layer="access",
    symptoms="InvalidClientTokenId, SignatureDoesNotMatch: AWS does not accept the key.",
    cure="Use the credentials of this environment.",
    explains=("*",),
)
def credentials_invalid(incident: Incident) -> Iterator[Candidate]:
    """AWS does not know the access key, or its secret does not belong to it."""
    if _refusal(incident)[0] in _INVALID and not _clock_is_wrong(incident):
        yield _refused(
            incident,
            "credentials_invalid",
            "AWS does not accept the credentials",
            (_login(incident), f"{incident.aws} sts get-caller-identity"),
            "the clocks agree, so it is the key or its secret",
        )


def _login(incident: Incident) -> str:
    """How to renew these credentials; incidents saved by earlier versions do not say it."""
    return str(incident.subject.get("login") or "renew the credentials")


def _other_credentials(incident: Incident) -> str:
    if overlay := incident.subject.get("overlay"):
        return f"correct aws.access_key and aws.secret_key in {overlay}"
    key = f"environments.{incident.environment}.aws.profile"
    profile = incident.subject.get("profile")
    if profile:
        return f"correct {key} ({profile}), or log in to the environment's account"
    return f"set {key}, or AWS_PROFILE=NAME inv …"


def _refused(
    incident: Incident, name: str, summary: str, fix: tuple[str, ...], because: str
) -> Candidate:
    code, message = _refusal(incident)
    shown = evidence("sts:GetCallerIdentity", f"{code}: {message}")
    return Candidate(Finding(name, summary, "certain", (shown,), fix), because=because)
