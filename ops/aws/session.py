"""AWS clients, created once and shared between threads, with translated errors.

An environment with its own endpoint, or with an overlay, is a rehearsal: it uses the overlay's keys
and nothing else, so that no profile, no `AWS_*` variable and no credentials file of this machine
can lead to a real account. Any other environment uses its profile, or AWS's own credential chain.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from ops.aws.errors import (
    credentials_failed,
    no_mfa_code,
    profile_error,
    program,
    refusal,
    translate_error,
)
from ops.aws.facts import Identity
from ops.core import ui
from ops.core.errors import ConfigError, CredentialsRefused, OpsError, Unreachable
from ops.core.redaction.redact import one_line

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_CHECK_ADDRESS = (
    "run it again; if it stays, check the address, and a proxy or login page in between"
)
NEWER_FIELDS = "newerFields"  # added to DescribeTaskDefinition's answer
_REJECTED = "Rejected"  # added to an error's ResponseMetadata
_CONNECT_TIMEOUT = 5  # seconds
READ_TIMEOUT = 10.0  # seconds without a byte of the answer, for one attempt
READ_TIMES = {
    "s3": 0.5,
    "logs": 2.0,
    "rds": 2.0,
    "cloudfront": 2.0,
}  # of READ_TIMEOUT: small objects, long searches
_ATTEMPTS = 5
HUNG_ATTEMPTS = 2  # for a call that timed out: with READ_TIMEOUT this bounds the call
_READS = (
    "BatchGet",
    "Describe",
    "Filter",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Simulate",
    "StartSession",  # of Session Manager: a tunnel to the database, for reads
    "TerminateSession",
)  # how the names of operations begin that change nothing
NOTICE_AFTER = 5.0  # seconds until a slow call is reported
# per client: a sweep runs 16 probes at once, and a service's probe makes two ECS calls at once
_PRESIGNER = "s3, presigned"  # the key of its client
CONNECTIONS = 32


class AwsSession:
    """AWS as one environment sees it: `client("ecs")` from any thread.

    `profile` None: the credential chain, or an overlay's keys.
    """

    def __init__(
        self,
        session: Any,
        config: Any,
        endpoint: str | None,
        profile: str | None,
        region: str,
        read_timeout: float = READ_TIMEOUT,
        read_only: bool = False,
    ) -> None:
        self.endpoint, self.profile, self.region = endpoint, profile, region
        self._read_only = read_only
        self._session, self._config, self._read_timeout = session, config, read_timeout
        self._clients: dict[str, Any] = {}
        self._regions: dict[str, AwsSession] = {}
        self._lock = threading.Lock()
        self._hung: set[str] = set()  # operations whose last call timed out

    def client(self, name: str) -> Any:
        """The client of an AWS service.

        Clients are thread-safe but creating one is not, hence the lock.
        """
        with self._lock:
            if name not in self._clients:
                with self.translated(f"AWS client for {name}"):
                    self._clients[name] = self._make(name)
            return self._clients[name]

    def in_region(self, region: str) -> AwsSession:
        """The same credentials and endpoint in another Region; this session for its own Region."""
        if region == self.region:
            return self
        with self._lock:
            if region not in self._regions:
                self._regions[region] = AwsSession(
                    self._session,
                    self._config,
                    self.endpoint,
                    self.profile,
                    region,
                    self._read_timeout,
                    self._read_only,
                )
            return self._regions[region]

    def for_arn(self, text: str) -> AwsSession:
        """The session for the Region that an ARN names; this one for a name or a global ARN."""
        parts = text.split(":", 5)
        region = parts[3] if parts[0] == "arn" and len(parts) > 4 else ""
        return self.in_region(region) if region else self

    def read_only(self) -> AwsSession:
        """The same credentials in a session that refuses every call that could change something.

        Its clients raise `NotARead` before such a call is sent.
        """
        return AwsSession(
            self._session,
            self._config,
            self.endpoint,
            self.profile,
            self.region,
            self._read_timeout,
            read_only=True,
        )

    def presigner(self) -> Any:
        """The S3 client for presigned URLs.

        They are signed by Signature Version 4, at the Region's own endpoint: botocore would take
        Version 2 and the global one in us-east-1.
        """
        from botocore.config import Config

        regional = {"us_east_1_regional_endpoint": "regional"}
        with self._lock:
            if _PRESIGNER not in self._clients:
                more = Config(signature_version="s3v4", s3=regional)
                with self.translated("AWS client for s3"):
                    self._clients[_PRESIGNER] = self._make("s3", more)
            return self._clients[_PRESIGNER]

    def _make(self, name: str, more: Any = None) -> Any:
        from botocore.config import Config

        timeout = Config(read_timeout=self._read_timeout * READ_TIMES.get(name, 1.0))
        try:
            client = self._session.client(
                name,
                region_name=self.region,
                endpoint_url=self.endpoint,
                config=self._config.merge(timeout).merge(more or Config()),
            )
        except ValueError as error:
            if credentials_failed(error):
                raise
            how = "correct endpoint_url in ~/.aws/config, AWS_ENDPOINT_URL, or aws.endpoint"
            raise ConfigError(f"AWS client for {name}", one_line(error), how) from None
        if self._read_only:
            client.meta.events.register("provide-client-params", _refuse_changes)
        client.meta.events.register("needs-retry", _note_rejection)
        client.meta.events.register("needs-retry", self._stop_waiting)
        client.meta.events.register("after-call", _refuse_foreign)
        client.meta.events.register("after-call.ecs.DescribeTaskDefinition", _note_newer_fields)
        return client

    def _stop_waiting(
        self, operation: Any, attempts: int, caught_exception: Exception | None, **_: Any
    ) -> None:
        """Raise `caught_exception` when a call has timed out too often.

        botocore would try `ATTEMPTS` times, which suits a throttled call but is far too long for
        one that hangs. An operation that has hung before gets one attempt until it answers again.
        """
        from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

        if not isinstance(caught_exception, ConnectTimeoutError | ReadTimeoutError):
            self._hung.discard(operation.name)
        elif attempts >= HUNG_ATTEMPTS or operation.name in self._hung:
            self._hung.add(operation.name)
            raise caught_exception

    @property
    def program(self) -> str:
        """The `aws` program for this environment, for commands that are printed."""
        return program(self.profile, self.endpoint, self.region)

    def translated(
        self, what: str, answers: Mapping[str, OpsError] | None = None
    ) -> AbstractContextManager[None]:
        """Translate AWS errors during `what`, naming this environment's profile."""
        return translated(what, profile=self.profile, endpoint=self.endpoint, answers=answers)

    @contextmanager
    def changing(self, what: str, answers: Mapping[str, OpsError] | None = None) -> Iterator[None]:
        """Translate AWS errors of one call that changes something.

        An error by which AWS rejected every attempt (4xx) is marked `untouched`: nothing was
        changed. If no other class fits it is AwsRefused. After any other error, something may have
        changed.
        """
        from botocore.exceptions import ClientError

        rejections: list[Any] = []
        try:
            with self.translated(what, answers):
                try:
                    yield
                except ClientError as error:
                    rejections = [error] if was_rejected(error) else []
                    raise
        except OpsError as problem:
            if not rejections:
                raise
            expected = any(problem is each for each in (answers or {}).values())
            if type(problem) is Unreachable and not expected:  # no cause of its own was found
                problem = refusal(what, rejections[0], self.program)
            problem.untouched = True
            raise problem from None

    def __repr__(self) -> str:
        return (
            f"Cloud(region={self.region!r}, endpoint={self.endpoint!r}, profile={self.profile!r})"
        )


@contextmanager
def translated(
    what: str,
    *,
    profile: str | None = None,
    endpoint: str | None = None,
    answers: Mapping[str, OpsError] | None = None,
) -> Iterator[None]:
    """Translate AWS errors during `what`.

    Raises Unreachable, ConfigError, or the error in `answers` for AWS's error code.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    where = endpoint or "AWS"
    notice = threading.Timer(NOTICE_AFTER, ui.progress, [f"still waiting for {where}: {what}"])
    notice.daemon = True
    notice.start()
    try:
        yield
    except ClientError as error:
        expected = (answers or {}).get(code(error))
        raise (expected or translate_error(what, error, profile, endpoint)) from None
    except BotoCoreError as error:
        raise translate_error(what, error, profile, endpoint) from None
    except EOFError:
        ui.progress()  # botocore's prompt ends without a line break
        raise no_mfa_code(what) from None
    except (FileNotFoundError, PermissionError) as error:
        why = f"a file or program that the AWS profile names cannot be used ({error})"
        raise CredentialsRefused(what, why, "correct the profile in ~/.aws/config") from None
    except (LookupError, ValueError, TypeError, AttributeError, ResponseParserError) as error:
        if credentials_failed(error):
            raise profile_error(what, error, profile) from None
        raise Unreachable(what, _answer_problem(error, where), _CHECK_ADDRESS) from None
    finally:
        notice.cancel()


def _answer_problem(error: Exception, where: str) -> str:
    """What is wrong with an answer that could not be read."""
    if isinstance(error, KeyError):
        return f"{where} answered without {error.args[0]}"
    if isinstance(error, IndexError):
        return f"{where} answered with an empty list"
    return f"what answers at {where} is not AWS ({type(error).__name__}: {one_line(error)})"


class NotARead(RuntimeError):
    """A call that is not a read, made in a session that only reads. Nothing was sent."""


def _refuse_changes(model: Any, **_: Any) -> None:
    """Raise NotARead for an operation whose name is not that of a read."""
    if not str(model.name).startswith(_READS):
        raise NotARead(f"{model.service_model.service_name}:{model.name} is not a read")


def _note_newer_fields(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """Add to the answer the paths of the fields that the installed SDK left out of it."""
    try:
        raw = json.loads(http_response.content)["taskDefinition"]
    except (ValueError, KeyError, TypeError):
        return
    parsed[NEWER_FIELDS] = sorted(set(_left_out(raw, parsed.get("taskDefinition") or {})))


def _left_out(raw: Any, parsed: Any, path: str = "") -> Iterator[str]:
    """The paths of keys in `raw` that `parsed` does not have; elements of lists share a path."""
    if isinstance(raw, dict) and isinstance(parsed, dict):
        for key, value in raw.items():
            where = f"{path}.{key}" if path else key
            if key not in parsed and value is not None:
                yield where
            elif key in parsed:
                yield from _left_out(value, parsed[key], where)
    elif isinstance(raw, list) and isinstance(parsed, list):
        for one, other in zip(raw, parsed, strict=False):
            yield from _left_out(one, other, f"{path}[]")


class ForeignAnswer(ValueError):
    """A successful response that does not come from AWS: a login page, a truncated document."""


def _refuse_foreign(http_response: Any, parsed: Mapping[str, Any], model: Any, **_: Any) -> None:
    """Raise ForeignAnswer for an HTML page, or for a body that should be JSON and is not.

    botocore parses both as a response without any fields, which looks like an empty result.
    """
    streamed = model.has_streaming_output or model.has_event_stream_output
    if http_response.status_code >= 300 or streamed:
        return
    body = bytes(http_response.content)
    if body[:100].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ForeignAnswer("a web page")
    empty = not set(parsed) - {"ResponseMetadata"}
    if empty and body and "json" in model.service_model.protocol:
        json.loads(body)


def _note_rejection(response: Any, request_dict: Mapping[str, Any], **_: Any) -> None:
    """Add to an error's answer whether AWS rejected this attempt and all before it (4xx).

    After a lost answer or a 5xx, the call may have been carried out.
    """
    context = request_dict["context"]
    status = response[0].status_code if response else 0
    context[_REJECTED] = context.get(_REJECTED, True) and 400 <= status < 500
    if response:
        response[1].setdefault("ResponseMetadata", {})[_REJECTED] = context[_REJECTED]


def was_rejected(error: Any) -> bool:
    """Whether AWS rejected every attempt of a call: it has changed nothing."""
    return bool(error.response.get("ResponseMetadata", {}).get(_REJECTED))


def code(error: Any) -> str:
    """The error code of a ClientError, such as `ClusterNotFoundException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def connect(settings: Settings) -> AwsSession:
    """The AWS session of an environment; sends nothing yet.

    Raises ConfigError for a missing profile, or an overlay without endpoint or keys.
    """
    environment, aws = settings.environment, settings.environment.aws
    if not environment.overlay and not aws.endpoint:
        return _of_machine(aws.profile, environment.region, aws.read_timeout)
    if not (aws.endpoint and aws.access_key and aws.secret_key):
        raise unreachable_local_aws(settings)
    keys = (aws.access_key, aws.secret_key)
    return of_overlay(aws.endpoint, *keys, environment.region, aws.read_timeout)


def unreachable_local_aws(settings: Settings) -> ConfigError:
    """The refusal of a local AWS, by an overlay or `aws.endpoint`, without endpoint or keys."""
    environment, aws = settings.environment, settings.environment.aws
    needed = ("endpoint", "access_key", "secret_key")
    missing = [f"aws.{key}" for key in needed if not getattr(aws, key)]
    local = "an overlay" if environment.overlay else "aws.endpoint"
    change = (
        environment.overlay_hint or f"add {' and '.join(missing)} to {environment.overlay}"
        if environment.overlay
        else f"give environments.{settings.name} an overlay with {' and '.join(missing)}, "
        "or remove aws.endpoint"
    )
    return ConfigError(
        f"environment {settings.name} cannot reach its AWS",
        f"with {local} it never uses this machine's AWS credentials; not set: {', '.join(missing)}",
        change,
    )


def _of_machine(profile: str | None, region: str, read_timeout: float = READ_TIMEOUT) -> AwsSession:
    """An AWS session with a profile of this machine, or with AWS's own credential chain."""
    import boto3

    if not (sys.stdin and sys.stdin.isatty()):  # an MFA code is refused then, in one line
        warnings.simplefilter("ignore", getpass.GetPassWarning)
    with translated(
        f"AWS credentials of profile {profile}" if profile else "AWS credentials", profile=profile
    ):
        session = boto3.Session(profile_name=profile, region_name=region)
    return AwsSession(session, configuration(), None, profile, region, read_timeout)


def of_overlay(
    endpoint: str, access_key: str, secret_key: str, region: str, read_timeout: float = READ_TIMEOUT
) -> AwsSession:
    """An AWS session for `endpoint` with these keys.

    botocore does not read AWS_* variables or ~/.aws.
    """
    import boto3
    from botocore.session import Session

    variables = {
        name: (found[0], None, *found[2:]) for name, found in Session.SESSION_VARIABLES.items()
    }
    for file in ("config_file", "credentials_file"):
        variables[file] = (None, None, os.devnull, None)
    with translated(f"AWS at {endpoint}", endpoint=endpoint):
        session = boto3.Session(
            access_key,
            secret_key,
            region_name=region,
            botocore_session=Session(session_vars=variables),
        )
    # no proxy, no FIPS or dual-stack host, no prefix of the host name: the endpoint is the whole
    # address
    alone = {
        "proxies": {},
        "use_fips_endpoint": False,
        "use_dualstack_endpoint": False,
        "inject_host_prefix": False,
    }
    return AwsSession(session, configuration(**alone), endpoint, None, region, read_timeout)


def configuration(**more: Any) -> Any:
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": _ATTEMPTS}
    return Config(
        connect_timeout=_CONNECT_TIMEOUT,
        tcp_keepalive=True,
        retries=retries,
        max_pool_connections=CONNECTIONS,
        **more,
    )


def identity(cloud: AwsSession) -> Identity:
    """The identity of the credentials (STS GetCallerIdentity, which needs no permission)."""
    with cloud.translated("AWS identity (sts:GetCallerIdentity)"):
        found = cloud.client("sts").get_caller_identity()
        return Identity(found["Account"], found["Arn"])
