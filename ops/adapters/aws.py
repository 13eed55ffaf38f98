"""The door to AWS: clients that are made once and shared between threads, and AWS's errors in our three lines.

An environment with an endpoint of its own, or with an overlay, is a rehearsal: it gets the overlay's keys and nothing else, so no
profile, no `AWS_*` variable and no credentials file of this machine can send it to an account. Any other uses its profile, else AWS's own
chain.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from ops.adapters.aws_errors import program, told
from ops.errors import ConfigError, OpsError, Unreachable
from ops.model import Identity
from ops.redact import one_line

if TYPE_CHECKING:
    from ops.settings import Settings

CONNECT_TIMEOUT = 5  # seconds
READ_TIMEOUT = 20  # seconds
ATTEMPTS = 5
CONNECTIONS = 32  # of one client: a sweep asks 16 questions at once, and one about a service makes two calls of ECS at once


class Cloud:
    """One environment's AWS: `client("ecs")` from any thread. `profile` None: the credential chain, or an overlay's keys."""

    def __init__(self, session: Any, config: Any, endpoint: str | None, profile: str | None, region: str) -> None:
        self.endpoint, self.profile, self.region = endpoint, profile, region
        self._session, self._config = session, config
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, name: str) -> Any:
        """The client of an AWS service. Clients are safe between threads, making one is not: hence the lock."""
        with self._lock:
            if name not in self._clients:
                with self.translated(f"AWS client for {name}"):
                    self._clients[name] = self._session.client(
                        name, region_name=self.region, endpoint_url=self.endpoint, config=self._config
                    )
            return self._clients[name]

    @property
    def program(self) -> str:
        """The `aws` program for this environment, for commands that are shown."""
        return program(self.profile, self.endpoint, self.region)

    def translated(self, what: str, answers: Mapping[str, OpsError] | None = None) -> AbstractContextManager[None]:
        """AWS's errors during `what` as ours, naming this environment's profile."""
        return translated(what, profile=self.profile, endpoint=self.endpoint, answers=answers)

    def __repr__(self) -> str:
        return f"Cloud(region={self.region!r}, endpoint={self.endpoint!r}, profile={self.profile!r})"


@contextmanager
def translated(
    what: str, *, profile: str | None = None, endpoint: str | None = None, answers: Mapping[str, OpsError] | None = None
) -> Iterator[None]:
    """AWS's errors during `what` as ours: Unreachable, ConfigError, or what `answers` gives for AWS's error code."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        expected = (answers or {}).get(code(error))
        raise (expected or told(what, error, profile, endpoint)) from None
    except BotoCoreError as error:
        raise told(what, error, profile, endpoint) from None
    except (LookupError, ValueError) as error:   # botocore stumbles over a web page where AWS should be
        why = f"what answers at {endpoint or 'its address'} is not AWS ({type(error).__name__}: {one_line(error)})"
        raise Unreachable(what, why, "check the address, and a proxy or login page in between") from None


def code(error: Any) -> str:
    """AWS's error code of a ClientError, `ClusterNotFoundException` for example."""
    return str(error.response.get("Error", {}).get("Code", ""))


def connect(settings: Settings) -> Cloud:
    """The environment's AWS; nothing is sent yet. Raises ConfigError (no such profile; an overlay without endpoint or keys)."""
    environment, aws = settings.environment, settings.environment.aws
    if not environment.overlay and not aws.endpoint:
        return of_machine(aws.profile, environment.region)
    if not (aws.endpoint and aws.access_key and aws.secret_key):
        hint = (
            environment.overlay_hint or f"give environments.{settings.name} an overlay with aws.endpoint, aws.access_key and aws.secret_key"
        )
        why = "with an overlay it never uses this machine's AWS credentials, and it has no endpoint or no keys of its own"
        raise ConfigError(f"environment {settings.name} cannot reach its AWS", why, hint)
    return of_overlay(aws.endpoint, aws.access_key, aws.secret_key, environment.region)


def of_machine(profile: str | None, region: str) -> Cloud:
    import boto3

    with translated(f"AWS credentials of profile {profile}" if profile else "AWS credentials", profile=profile):
        session = boto3.Session(profile_name=profile, region_name=region)
    return Cloud(session, configuration(), None, profile, region)


def of_overlay(endpoint: str, access_key: str, secret_key: str, region: str) -> Cloud:
    """AWS at `endpoint` with these keys; botocore's reading of AWS_* variables and of ~/.aws is turned off."""
    import boto3
    from botocore.session import Session

    variables = {name: (found[0], None, *found[2:]) for name, found in Session.SESSION_VARIABLES.items()}
    for file in ("config_file", "credentials_file"):
        variables[file] = (None, None, os.devnull, None)
    with translated(f"AWS at {endpoint}", endpoint=endpoint):
        session = boto3.Session(access_key, secret_key, region_name=region, botocore_session=Session(session_vars=variables))
    # no proxy, no FIPS or dual-stack host, no prefix put before the host name: the endpoint is the whole address
    alone = {"proxies": {}, "use_fips_endpoint": False, "use_dualstack_endpoint": False, "inject_host_prefix": False}
    return Cloud(session, configuration(**alone), endpoint, None, region)


def configuration(**more: Any) -> Any:
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": ATTEMPTS}
    waits = {"connect_timeout": CONNECT_TIMEOUT, "read_timeout": READ_TIMEOUT, "tcp_keepalive": True}
    return Config(**waits, retries=retries, max_pool_connections=CONNECTIONS, **more)


def identity(cloud: Cloud) -> Identity:
    """Who the credentials are (STS GetCallerIdentity, which needs no permission)."""
    with cloud.translated("AWS identity (sts:GetCallerIdentity)"):
        found = cloud.client("sts").get_caller_identity()
    return Identity(found["Account"], found["Arn"])
