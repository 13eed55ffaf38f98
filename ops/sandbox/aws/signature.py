"""The check of Signature Version 4, in a header or in the query (a presigned URL).

Emulates AWS's authentication: an unknown access key, a wrong signature, an unsigned or expired call
and a body that does not match its signature are rejected with the codes of each protocol. Differs
from AWS: only the two keys created at `up` are known (a key of IAM's CreateAccessKey or STS's
AssumeRole is rejected); SigV4a and the signatures of single chunks (`STREAMING-…`) are not checked.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, unquote

from botocore.utils import normalize_url_path
from moto.core.request import environ_key_for_header

from ops.sandbox.aws.refusals import SERVICE, Start, protocol, refuse
from ops.sandbox.keys import Keys

ACCESS_KEY = "sandbox.access_key"  # in the WSGI environment: who signed the call
_ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
_SKEW = timedelta(minutes=15)
_WEEK = 604_800  # seconds that a presigned URL may live
_LARGEST_BODY = 512 << 20  # bytes; moto holds a body in memory

_PART = re.compile(r"(\w+)=([^,\s]+)")
_BLOCK = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_TIME = "%Y%m%dT%H%M%SZ"

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service "
    "documentation for details."
)
_UNKNOWN_KEY = "The security token included in the request is invalid."
_SESSION_OVER = "The security token included in the request is expired"
_SKEWED = "The difference between the request time and the current time is too large."
_UNSIGNED = "Request is missing Authentication Token"
_NOT_VALIDATED = "AWS was not able to validate the provided access credentials"

# status, code, message (None: what is wrong in this very call), by reason and protocol
_REFUSALS: dict[str, dict[str, tuple[int, str, str | None]]] = {
    "unsigned": {
        "json": (400, "MissingAuthenticationTokenException", _UNSIGNED),
        "query": (403, "MissingAuthenticationToken", _UNSIGNED),
        "ec2": (403, "MissingAuthenticationToken", _UNSIGNED),
        "s3": (403, "AccessDenied", "Access Denied"),
    },
    "malformed": {
        "json": (400, "IncompleteSignatureException", None),
        "query": (400, "IncompleteSignature", None),
        "ec2": (400, "IncompleteSignature", None),
        "s3": (400, "AuthorizationHeaderMalformed", None),
    },
    "unknown key": {
        "json": (400, "UnrecognizedClientException", _UNKNOWN_KEY),
        "query": (403, "InvalidClientTokenId", _UNKNOWN_KEY),
        "ec2": (401, "AuthFailure", _NOT_VALIDATED),
        "s3": (
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
    },
    "mismatch": {
        "json": (400, "InvalidSignatureException", _MISMATCH),
        "query": (403, "SignatureDoesNotMatch", _MISMATCH),
        "ec2": (401, "AuthFailure", _NOT_VALIDATED),
        "s3": (403, "SignatureDoesNotMatch", _MISMATCH),
    },
    "clock": {
        "json": (400, "InvalidSignatureException", None),
        "query": (403, "SignatureDoesNotMatch", None),
        "ec2": (400, "RequestExpired", None),
        "s3": (403, "RequestTimeTooSkewed", _SKEWED),
    },
    "expired token": {
        "json": (400, "ExpiredTokenException", _SESSION_OVER),
        "query": (403, "ExpiredToken", _SESSION_OVER),
        "ec2": (400, "RequestExpired", "Request has expired."),
        "s3": (400, "ExpiredToken", "The provided token has expired."),
    },
    "expired": {
        "json": (400, "InvalidSignatureException", None),
        "query": (403, "SignatureDoesNotMatch", None),
        "ec2": (400, "RequestExpired", None),
        "s3": (403, "AccessDenied", "Request has expired"),
    },
    "body": {
        "json": (400, "InvalidSignatureException", _MISMATCH),
        "query": (403, "SignatureDoesNotMatch", _MISMATCH),
        "ec2": (401, "AuthFailure", _NOT_VALIDATED),
        "s3": (
            400,
            "XAmzContentSHA256Mismatch",
            ("The provided 'x-amz-content-sha256' header does not match what was computed."),
        ),
    },
}


class _RefusedError(Exception):
    """A rejected call; `reason` is a key of the table of errors."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class _Claim:
    """The signature that a call carries."""

    access_key: str
    scope: str  # DATE/REGION/SERVICE/aws4_request
    time: str
    headers: tuple[str, ...]  # the signed ones
    signature: str
    lifetime: timedelta | None  # of a presigned URL

    @property
    def service(self) -> str:
        return self.scope.split("/")[2]


class Signed:
    """WSGI middleware that passes a call on if one of `keys` signed it.

    The environment passed on holds the access key and the service of the signature.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], keys: Keys) -> None:
        self.application, self.keys = application, keys
        self._expired: frozenset[str] = frozenset()
        self._ahead: dict[str, timedelta] = {}  # key → by how much AWS's clock is ahead for it

    def expire(self, access_key: str, *, expired: bool) -> None:
        """Refuse the key as one whose session token has expired, or take it again."""
        others = self._expired - {access_key}
        self._expired = others | {access_key} if expired else others

    def shift(self, access_key: str, minutes: float) -> None:
        """Show the caller with this key a clock that is so much ahead."""
        self._ahead = {**self._ahead, access_key: timedelta(minutes=minutes)}

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        claim = None
        try:
            claim = _claim(environ)
            environ[SERVICE] = claim.service
            self._verify(environ, claim)
        except _RefusedError as refused:
            status, code, message = _REFUSALS[refused.reason][protocol(environ)]
            ahead = self._ahead.get(claim.access_key) if claim else None
            start = _dated(start_response, ahead) if ahead else start_response
            return refuse(environ, start, status, code, message or str(refused))
        environ[ACCESS_KEY] = claim.access_key
        environ.pop(
            "HTTP_X_MOTO_ACCOUNT_ID", None
        )  # the account is the key's, never the caller's choice
        return self.application(environ, start_response)

    def _verify(self, environ: dict[str, Any], claim: _Claim) -> None:
        """Verify the signature; read the body for a known key only. Raises _RefusedError."""
        secret = self.keys.secret(claim.access_key)
        if secret is None:
            raise _RefusedError("unknown key")
        if claim.access_key in self._expired:
            raise _RefusedError("expired token")
        _check_time(claim, self._ahead.get(claim.access_key, timedelta()))
        _check_headers(environ, claim)
        body = _read_body(environ)
        expected = _signature(secret, claim, _canonical_request(environ, claim, body))
        if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
            raise _RefusedError("mismatch")
        declared = str(environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""))
        if _HEX.match(declared) and declared != hashlib.sha256(body).hexdigest():
            raise _RefusedError("body")


def _claim(environ: dict[str, Any]) -> _Claim:
    """Parse the signature. Raises _RefusedError for a missing or malformed one."""
    header = str(environ.get("HTTP_AUTHORIZATION", ""))
    if header.startswith(_ALGORITHM):
        return _checked(dict(_PART.findall(header)), str(environ.get("HTTP_X_AMZ_DATE", "")), None)
    query = {name: unquote(value) for name, value in _query(environ)}
    if query.get("X-Amz-Algorithm") == _ALGORITHM:
        words = {name.removeprefix("X-Amz-"): value for name, value in query.items()}
        return _checked(words, query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "none"))
    raise _RefusedError("unsigned")


def _checked(words: dict[str, str], time: str, expires: str | None) -> _Claim:
    access_key, _, scope = words.get("Credential", "").partition("/")
    headers, signature = words.get("SignedHeaders", ""), words.get("Signature", "")
    parts = scope.split("/")
    if len(parts) != 4 or not all(parts) or parts[3] != "aws4_request":
        raise _RefusedError("malformed", "Credential must be KEY/DATE/REGION/SERVICE/aws4_request.")
    if not headers or not signature:
        raise _RefusedError("malformed", "Authorization requires SignedHeaders and Signature.")
    if not time.startswith(parts[0]):
        raise _RefusedError(
            "malformed", "The date in the credential scope is not the date of the call."
        )
    lifetime = None if expires is None else _lifetime(expires)
    return _Claim(access_key, scope, time, tuple(headers.lower().split(";")), signature, lifetime)


def _lifetime(expires: str) -> timedelta:
    if not (
        expires.isascii() and expires.isdigit() and len(expires) <= 6 and int(expires) <= _WEEK
    ):
        raise _RefusedError("malformed", f"X-Amz-Expires must be between 0 and {_WEEK} seconds.")
    return timedelta(seconds=int(expires))


def _dated(start_response: Start, ahead: timedelta) -> Start:
    """The same, with a `Date` header of a clock that is so much ahead."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
        return start_response(status, [*headers, ("Date", date)], *more)

    return start


def _check_time(claim: _Claim, ahead: timedelta = timedelta()) -> None:
    try:
        signed = datetime.strptime(claim.time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise _RefusedError(
            "malformed", f"{claim.time!r} is no date of the form YYYYMMDD'T'HHMMSS'Z'."
        ) from None
    now = datetime.now(UTC) + ahead
    late = (
        f"Signature expired: {claim.time} is now earlier than {now - _SKEW:{_TIME}} "
        f"({now:{_TIME}} - 15 min.)"
        if signed < now
        else f"Signature not yet current: {claim.time} is still later than {now + _SKEW:{_TIME}} "
        f"({now:{_TIME}} + 15 min.)"
    )
    if signed - now > _SKEW or (claim.lifetime is None and now - signed > _SKEW):
        raise _RefusedError("clock", late)
    if claim.lifetime is not None and now - signed > claim.lifetime:
        raise _RefusedError("expired", late)


def _check_headers(environ: dict[str, Any], claim: _Claim) -> None:
    """Require signatures of `Host` and every x-amz-* header, or of a presigned URL's query."""
    signed = {environ_key_for_header(name) for name in claim.headers}
    needed = {"HTTP_HOST"}
    if claim.lifetime is None:
        needed |= {name for name in environ if name.startswith("HTTP_X_AMZ_")}
    if needed - signed:
        raise _RefusedError(
            "malformed", "'Host' and every 'X-Amz-…' header must be a signed header."
        )


def _read_body(environ: dict[str, Any]) -> bytes:
    """Read the whole body and make it readable again.

    Raises _RefusedError for one that is too large.
    """
    chunked = bool(environ.get("wsgi.input_terminated"))
    length = str(environ.get("CONTENT_LENGTH") or 0)
    expected = _LARGEST_BODY + 1 if chunked else int(length) if length.isdigit() else 0
    body = bytearray()
    while len(body) < min(expected, _LARGEST_BODY + 1):
        block = environ["wsgi.input"].read(min(_BLOCK, expected - len(body)))
        if not block:
            break
        body += block
    if len(body) > _LARGEST_BODY:
        raise _RefusedError("malformed", f"The body is larger than {_LARGEST_BODY} bytes.")
    if not chunked and len(body) != expected:
        raise _RefusedError("malformed", "The body is not as long as Content-Length says.")
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    return bytes(body)


def _query(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the parameters as sent, neither decoded nor sorted."""
    raw = str(environ.get("RAW_URI", "")).partition("?")[2]
    return [
        (name, value) for name, _, value in (pair.partition("=") for pair in raw.split("&")) if name
    ]


def _canonical_request(environ: dict[str, Any], claim: _Claim, body: bytes) -> str:
    path = str(environ.get("RAW_URI", "")).partition("?")[0] or "/"
    if claim.service != "s3":
        path = quote(normalize_url_path(path), safe="/~")
    query = sorted(pair for pair in _query(environ) if pair[0] != "X-Amz-Signature")
    values = {name: str(environ.get(environ_key_for_header(name), "")) for name in claim.headers}
    headers = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in values.items())
    payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256")
    if not payload:
        presigned = claim.service == "s3" and claim.lifetime is not None
        payload = UNSIGNED if presigned else hashlib.sha256(body).hexdigest()
    return "\n".join(
        (
            str(environ["REQUEST_METHOD"]),
            path,
            "&".join(f"{name}={value}" for name, value in query),
            headers,
            ";".join(claim.headers),
            str(payload),
        )
    )


def _signature(secret: str, claim: _Claim, canonical: str) -> str:
    # A header is latin-1 in WSGI; what was sent is UTF-8.
    digest = hashlib.sha256(canonical.encode("latin-1", errors="replace")).hexdigest()
    key = f"AWS4{secret}".encode()
    for word in claim.scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.digest(
        key, f"{_ALGORITHM}\n{claim.time}\n{claim.scope}\n{digest}".encode(), "sha256"
    ).hex()
