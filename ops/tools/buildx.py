"""Builds by BuildKit, through the `docker buildx` program.

The Docker library knows the classic builder alone, which can't do `RUN --mount`, heredocs or
`COPY --chmod`. Where the engine offers BuildKit and the program has the plugin buildx, images are
built by it, as `docker build` does since version 23. No value of a build argument or secret is in
its command line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import redacted
from ops.tools import shell
from ops.tools.docker_context import EngineAddress
from ops.tools.facts import BuildOptions, BuildSecret

PROGRAM = "docker"
_TIMEOUT = 3600.0
_OWN_NAMES = ("DOCKER", "BUILDX", "BUILDKIT", "COMPOSE")
_FEATURES = (
    (re.compile(r"RUN\s+(?:--\S+\s+)*--(mount|network|security)=", re.I), "RUN --{}"),
    (re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*--(chmod|link|parents|exclude|checksum)\b", re.I),
     "COPY --{}"),
    (re.compile(r"(?:RUN|COPY|ADD)\s.*<<-?[\"']?\w", re.I), "heredoc"),
)  # fmt: skip


@dataclass(frozen=True)
class BuildxRequest:
    """What is built: as `docker.build` receives it."""

    context: Path
    dockerfile: str
    name: str
    labels: Mapping[str, str]
    build_args: Mapping[str, str]
    platform: str
    options: BuildOptions


def has_buildkit(headers: Mapping[str, str]) -> bool:
    """Whether an engine that answers GET /_ping with these headers has BuildKit.

    dockerd names its builder from version 23 on ("2" is BuildKit); older ones have BuildKit too.
    Podman and other engines with Docker's API do not.
    """
    builder = headers.get("Builder-Version")
    if builder is None:
        return headers.get("Server", "").startswith("Docker/")
    return builder == "2"


def is_available(address: EngineAddress) -> bool:
    """Whether the docker program is on PATH and has the plugin buildx."""
    try:
        done = shell.run(
            [PROGRAM, "buildx", "version"], env=_program_environment(address), timeout=15.0
        )
    except OpsError:
        return False
    return done.exit_code == 0


def build(
    address: EngineAddress, request: BuildxRequest, emit: Callable[[str], None]
) -> tuple[int, str]:
    """Build and load the image into the engine; return the exit code and the error's text.

    `emit` receives each line of output, without the values of secrets. Raises ConfigError for a
    secret whose variable or file does not exist, and TimedOut.
    """
    values = tuple(_secret_value(request.name, each) for each in request.options.secrets)
    error = ""

    def on_line(line: str) -> None:
        nonlocal error
        if line.startswith("ERROR: "):
            error = redacted(line.removeprefix("ERROR: "), values)
        elif line.strip():
            emit(redacted(line.rstrip(), values))

    environment = _program_environment(address)
    passed = {
        key: value
        for key, value in request.build_args.items()
        if not _is_own_variable(key, environment)
    }
    if not request.options.provenance:  # also without attestations of the builder's own
        environment["BUILDX_NO_DEFAULT_ATTESTATIONS"] = "1"
    done = shell.run(
        command(request, frozenset(passed)),
        env={**environment, **passed},
        timeout=_TIMEOUT,
        on_line=on_line,
    )
    return done.exit_code, error or f"docker buildx build: exit code {done.exit_code}"


def command(request: BuildxRequest, in_environment: frozenset[str]) -> list[str]:
    """The command line; the build arguments `in_environment` are named without their value."""
    options = request.options
    words = [PROGRAM, "buildx", "build", "--load", "--progress=plain"]
    words += [f"--platform={request.platform}", f"--file={request.context / request.dockerfile}"]
    words += [f"--tag={request.name}"]
    words += [f"--label={key}={value}" for key, value in request.labels.items()]
    words += [
        f"--build-arg={key}" if key in in_environment else f"--build-arg={key}={value}"
        for key, value in request.build_args.items()
    ]
    words += [f"--target={options.target}"] if options.target else []
    words += [f"--secret={_secret_words(each)}" for each in options.secrets]
    words += [f"--cache-from={each}" for each in options.cache_from]
    words += [f"--cache-to={each}" for each in options.cache_to]
    words += ["--provenance=true"] if options.provenance else []
    return [*words, str(request.context)]


def _secret_words(secret: BuildSecret) -> str:
    """A secret in buildx's CSV form."""
    if secret.environment:
        return f"id={secret.id},env={secret.environment}"
    quoted = f"src={secret.file}".replace('"', '""')
    return f'id={secret.id},type=file,"{quoted}"'


def _secret_value(image: str, secret: BuildSecret) -> str:
    """The secret's value, to remove it from the output."""
    what = f"image {image}: build secret {secret.id}"
    if secret.environment:
        value = os.environ.get(secret.environment)
        if value is None:
            why = f"the environment variable {secret.environment} is not set"
            raise ConfigError(what, why, f"export {secret.environment}=…, then run it again")
        return value
    try:
        return Path(secret.file or "").read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        why = f"{secret.file} cannot be read ({error.strerror})"
        raise ConfigError(what, why, "correct `build_secrets` in invoke.yaml") from None


def _program_environment(address: EngineAddress) -> dict[str, str]:
    """Our environment, in which the docker program uses the engine at `address`."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DOCKER_HOST", "DOCKER_CONTEXT")
    }
    return {**inherited, **address.program_environment, "DOCKER_CLI_HINTS": "false"}


def _is_own_variable(name: str, environment: Mapping[str, str]) -> bool:
    """Whether the docker program itself may read a variable of this name."""
    return (
        name in environment
        or name.upper().startswith(_OWN_NAMES)
        or name.upper().endswith("_PROXY")
    )


def needed_features(dockerfile: str) -> tuple[str, ...]:
    """The features of a Dockerfile that the classic builder does not have, with their lines."""
    return tuple(
        f"{feature.format(*found.groups())} (line {number})"
        for number, text in _instructions(dockerfile)
        for pattern, feature in _FEATURES
        if (found := pattern.match(text))
    )


def _instructions(dockerfile: str) -> Iterator[tuple[int, str]]:
    """Number and text of each instruction, with its continued lines."""
    first, text = 0, ""
    for number, line in enumerate(dockerfile.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#") or not (stripped or text):
            continue
        first = first if text else number
        text += f" {stripped.removesuffix(chr(92))}" if text else stripped.removesuffix(chr(92))
        if not stripped.endswith("\\"):
            yield first, text
            text = ""
    if text:
        yield first, text
