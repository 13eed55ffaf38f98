"""Translate errors of the Docker engine and, through it, of the registry.

They are recognised by fragments of their texts, each taken from a real error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ops.aws.ecr import Token
from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.redaction.redact import one_line, redacted

_DISK_FULL = ("no space left on device", "disk quota exceeded", "enospc")
_IMMUTABLE = ("tag is immutable", "cannot be overwritten", "immutable")
_UNKNOWN_REPOSITORY = (
    "name unknown",
    "repository does not exist",
    "name_unknown",
    "does not exist in the registry",
)
_DENIED = (
    "no basic auth credentials",
    "unauthorized",
    "denied",
    "authorization token has expired",
    "authentication required",
    "forbidden",
)
_STEP = re.compile(r"Step \d|\s*> \[")  # of the classic builder, and of BuildKit
_BASE_MISSING = (
    "manifest unknown",
    "pull access denied",
    "not found: manifest",
    "failed to resolve source metadata",
)
_NO_SUCH_HOST = ("no such host", "name resolution", "server misbehaving")


def engine_down(where: str, error: Exception, others: Sequence[str] = ()) -> OpsError:
    """The error for an engine that does not answer at `where`.

    `others`: addresses of other engines on this machine.
    """
    text = str(error)
    if "Permission denied" in text or "PermissionError" in text:
        return Unreachable(
            f"Docker engine at {where}",
            "this user may not use its socket",
            "sudo usermod -aG docker $USER, then log in again",
        )
    if "No such file" in text or "FileNotFoundError" in text:
        why = "it is not running (there is no socket)"
    elif "refused" in text.lower():
        why = "it is not running (connection refused)"
    elif "timed out" in text.lower():
        why = "it does not answer in time"
    else:
        why = one_line(text.removeprefix("Error while fetching server API version: "))
    if others:
        how = f"start it, or use the engine whose socket exists: export DOCKER_HOST={others[0]}"
    else:
        how = "start it, or name another: `engine` in invoke.yaml, DOCKER_HOST, docker context use"
    return Unreachable(f"Docker engine at {where}", why, how)


@contextmanager
def translated(what: str, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Translate errors of the docker library and of its HTTP libraries during `what`."""
    import docker
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        raise _engine_error(what, one_line(error.explanation or error, secrets)) from None
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Unreachable(
            what, _connection_lost(error), "check that the engine is up, then run it again"
        ) from None
    except (
        docker.errors.DockerException,
        ValueError,
    ) as error:  # ValueError: an answer that is not JSON
        raise Unreachable(
            what,
            one_line(error, secrets),
            "check that a Docker engine answers there, then run it again",
        ) from None
    except OSError as error:
        raise OpsError(
            what,
            "the disk is full"
            if _contains_any(str(error), _DISK_FULL)
            else one_line(error, secrets),
            "free space (df -h), then run it again",
        ) from None


def _connection_lost(error: Exception) -> str:
    import requests
    import urllib3

    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return "the engine did not answer in time"
    if isinstance(error, ValueError):
        return "what answers there is no Docker engine (its answer is no JSON)"
    return f"the connection to the engine was lost ({type(error).__name__})"


def _engine_error(what: str, text: str) -> OpsError:
    """The error for a 4xx or 5xx response of the engine itself."""
    if _contains_any(text, _DISK_FULL):
        return OpsError(
            what, f"the engine's disk is full ({text})", "docker system prune, then run it again"
        )
    return OpsError(what, f"the engine answers: {text}", "correct what it names, then run it again")


def build_failed(name: str, text: str, last: Sequence[str]) -> OpsError:
    """The error for a failed build: its step, its last lines, its error."""
    if _contains_any(text, _DISK_FULL):
        return _engine_error(f"build of {name}", text)
    step = next((line for line in reversed(last) if _STEP.match(line)), "")
    what = f"build of {name} failed" + (f" at {step.strip(' >:')}" if step else "")
    if _contains_any(text, _BASE_MISSING) or _contains_any(text, _NO_SUCH_HOST):
        return OpsError(
            what,
            one_line(text),
            "check the FROM line, the network, and (for a private base image) pull it "
            "beforehand: docker pull",
        )
    own = last[len(last) - list(reversed(last)).index(step) :] if step else last
    return OpsError(
        what,
        "\n       ".join(redacted(line) for line in (*own, text.strip())),
        "correct the Dockerfile, commit, and run it again",
    )


def push_failed(what: str, text: str, token: Token) -> OpsError:
    """The error for a failed push, from the registry or on the way to it."""
    why = one_line(text, [token.password])
    if _contains_any(text, _IMMUTABLE):
        return Refused(
            what,
            f"the tag exists, and the repository's tags are immutable ({why})",
            "deploy the image that has it (--tag), or make a new commit for a new tag",
        )
    if _contains_any(text, _UNKNOWN_REPOSITORY):
        return Refused(
            what,
            f"the registry has no such repository ({why})",
            "correct `repository` in invoke.yaml; see: aws ecr describe-repositories",
        )
    if _contains_any(text, _DENIED):
        return Unreachable(
            what,
            f"the registry denies the push ({why})",
            "check the permissions ecr:InitiateLayerUpload, UploadLayerPart, "
            "CompleteLayerUpload, PutImage",
        )
    if _contains_any(text, _DISK_FULL):
        return _engine_error(what, why)
    if _contains_any(text, _NO_SUCH_HOST):
        return Unreachable(
            what,
            f"the registry's name cannot be resolved ({why})",
            "check network, VPN and region, then run it again",
        )
    return Unreachable(
        what, f"the push broke off ({why})", "run it again: layers already uploaded are reused"
    )


def _contains_any(text: str, fragments: Sequence[str]) -> bool:
    lowered = text.lower()
    return any(fragment in lowered for fragment in fragments)
