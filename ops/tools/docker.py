"""The Docker engine: build, tag, push and inspect images.

Uses the API class of the `docker` library, and `docker buildx` for builds where there is one. The
library would send every login in ~/.docker/config.json along with a build; that is turned off, and
a push sends exactly the token that it is given, for that call alone. So the classic builder pulls
base images without a login (pull a private one beforehand).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.aws.ecr import Token
from ops.core import ui
from ops.core.errors import ConfigError, OpsError, Unreachable
from ops.core.parallel import importing
from ops.core.redaction.redact import redact
from ops.core.text import format_count
from ops.tools import buildx
from ops.tools.buildx import BuildxRequest
from ops.tools.docker_context import EngineAddress, client_options, find_engine, other_sockets
from ops.tools.docker_errors import build_failed, engine_down, push_failed, translated
from ops.tools.facts import BuildOptions, EngineInfo, LocalImage

_TIMEOUT = 10  # seconds, for queries
_STEP_TIMEOUT = 600  # seconds without output during a build or push
_LAST_LINES = 15  # of a failed build
_INSTALL_BUILDX = "install the plugin buildx (docker buildx version must answer), then run it again"
_NO_OPTIONS = BuildOptions()
REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True)
class Engine:
    """A connected engine: `quick` for queries, `patient` for builds and pushes."""

    address: str
    quick: Any
    patient: Any
    found: EngineAddress


def connect(address: str | None) -> Engine:
    """Connect to the engine at `address`, else to the one that the docker program would use.

    Raises Unreachable if it does not answer, and ConfigError for a missing docker context.
    """
    with importing:
        import docker

    found = find_engine(address, os.environ)
    try:
        options = client_options(found)
        quick, patient = (
            docker.APIClient(version="auto", timeout=timeout, **options)
            for timeout in (_TIMEOUT, _STEP_TIMEOUT)
        )
    except (docker.errors.DockerException, OSError, ValueError) as error:
        others = other_sockets(os.environ) if found.is_default else ()
        raise engine_down(str(found), error, others) from None
    for client in (quick, patient):
        client._set_auth_headers = lambda headers: None  # no other login leaves this machine
        client.trust_env = client.trust_env and not _is_local(found.url)
    return Engine(str(found), quick, patient, found)


def _is_local(where: str) -> bool:
    from urllib.parse import urlsplit

    from ops.http.errors import is_loopback

    return (
        "://" not in where
        or where.startswith("unix:")
        or is_loopback(urlsplit(where).hostname or "")
    )


def info(engine: Engine) -> EngineInfo:
    """Version, API version and architecture of the engine (GET /version)."""
    with translated(f"Docker engine at {engine.address}"):
        found = engine.quick.version()
    return EngineInfo(found.get("Version", ""), found.get("ApiVersion", ""), found.get("Arch", ""))


def image(engine: Engine, name: str) -> LocalImage | None:
    """Inspect an image by name or id (GET /images/NAME/json); None if the engine lacks it."""
    import docker

    with translated(f"image {name} in the engine"):
        try:
            found = engine.quick.inspect_image(name)
        except docker.errors.ImageNotFound:
            return None
    labels = (found.get("Config") or {}).get("Labels") or {}
    digests = dict(entry.split("@", 1) for entry in found.get("RepoDigests") or () if "@" in entry)
    return LocalImage(
        found["Id"], labels.get(REVISION) or None, found.get("Architecture", ""), digests
    )


def build(
    engine: Engine,
    context: Path,
    *,
    dockerfile: str,
    name: str,
    labels: Mapping[str, str],
    build_args: Mapping[str, str],
    platform: str,
    progress: Callable[[str], None],
    options: BuildOptions = _NO_OPTIONS,
) -> str:
    """Build `name` for `platform` ("linux/amd64") from a folder; return the image's id.

    BuildKit builds it if the engine and the docker program have it, else the classic builder (POST
    /build). `progress` receives each line of output. Raises ConfigError for a missing context or
    Dockerfile, OpsError with the build's last lines, or Unreachable.
    """
    if not (context / dockerfile).is_file():
        raise ConfigError(
            f"image {name}: no {dockerfile} in {context}",
            "the build needs it",
            "correct `context` or `dockerfile` in invoke.yaml, and commit the file",
        )
    request = BuildxRequest(context, dockerfile, name, labels, build_args, platform, options)
    lines = _BuildOutput(progress)
    if _offers_buildkit(engine) and buildx.is_available(engine.found):
        exit_code, error = buildx.build(engine.found, request, lines.emit)
        if exit_code:
            raise build_failed(name, error, lines.last)
    else:
        _build_classic(engine, request, lines)
    built = image(engine, name)
    if built is None:
        raise Unreachable(
            f"build of {name}",
            "the engine's answer broke off before the image was there",
            "run it again: finished steps are cached",
        )
    return built.id


def _offers_buildkit(engine: Engine) -> bool:
    """Whether the engine has BuildKit, by the headers of GET /_ping."""
    with translated(f"Docker engine at {engine.address}"):
        answer = engine.quick.get(f"{engine.quick.base_url}/_ping", timeout=_TIMEOUT)
    return buildx.has_buildkit(answer.headers)


def _build_classic(engine: Engine, request: BuildxRequest, lines: _BuildOutput) -> None:
    """Build by the classic builder. Raises ConfigError for an option that it does not have."""
    what, options = f"build of {request.name}", request.options
    if options.only_buildkit:
        raise ConfigError(
            what,
            f"{', '.join(options.only_buildkit)} in invoke.yaml: only BuildKit has that, and this "
            f"engine or docker program has no buildx",
            _INSTALL_BUILDX,
        )
    with translated(what):
        events = engine.patient.build(
            path=str(request.context),
            dockerfile=request.dockerfile,
            tag=request.name,
            labels=dict(request.labels),
            buildargs=dict(request.build_args),
            platform=request.platform,
            target=options.target or None,
            cache_from=list(options.cache_from) or None,
            rm=True,
            forcerm=True,
            decode=True,
        )
        for event in events:
            if "error" in event or "errorDetail" in event:
                raise _classic_failed(request, message(event), lines)
            lines.take(event)


def _classic_failed(request: BuildxRequest, text: str, lines: _BuildOutput) -> OpsError:
    error = build_failed(request.name, text, lines.last)
    dockerfile = (request.context / request.dockerfile).read_text(errors="replace")
    features = buildx.needed_features(dockerfile)
    if features:
        error.why += (
            f"\n       the classic builder, which built this, does not have {', '.join(features)}"
        )
        error.next = _INSTALL_BUILDX
    return error


def tag(engine: Engine, image: str, repository_uri: str, tag: str) -> None:
    """Tag a local image as `repository_uri:tag` (POST /images/NAME/tag)."""
    with translated(f"tag {repository_uri}:{tag}"):
        engine.quick.tag(image, repository_uri, tag, force=True)


def push(
    engine: Engine, repository_uri: str, tag: str, token: Token, progress: Callable[[str], None]
) -> str:
    """Push `repository_uri:tag` (POST /images/NAME/push) and return the manifest's digest.

    The token is sent with this call only. Raises Refused for an existing immutable tag or a missing
    repository, and Unreachable if access is denied or the connection is lost.
    """
    what = f"push of {repository_uri}:{tag}"
    digest, lines = "", _BuildOutput(progress)
    with translated(what, secrets=[token.password]):
        auth = {
            "username": token.username,
            "password": token.password,
            "serveraddress": repository_uri.partition("/")[0],
        }
        for event in engine.patient.push(
            repository_uri, tag=tag, stream=True, decode=True, auth_config=auth
        ):
            if "error" in event or "errorDetail" in event:
                raise push_failed(what, message(event), token)
            lines.take(event)
            digest = (event.get("aux") or {}).get("Digest") or digest
    if not digest:
        raise Unreachable(
            what,
            "the engine's answer broke off before the registry had the image",
            "run it again: layers already uploaded are reused",
        )
    return digest


_STEP = re.compile(r"Step \d+/(\d+) ")
_BUILDKIT_CACHED = re.compile(r"#\d+ CACHED$")
_BUILDKIT_STEP = re.compile(r"#(\d+) \[(?:\S+ )?\d+/\d+\] ")
_LAYER = re.compile(r"\w+: (Pushed|Layer already exists|Mounted from .*)$")


@dataclass
class OutputCount:
    """Counts what a build or a push did from its lines, which go on to `progress`."""

    progress: Callable[[str], None]
    _steps: int = 0
    _cached: int = 0
    _pushed: int = 0
    _layers: int = 0
    _buildkit_steps: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        """Count one line and pass it on."""
        if found := _STEP.match(line):
            self._steps = int(found[1])
        if found := _BUILDKIT_STEP.match(line):
            self._buildkit_steps.add(found[1])
        self._cached += line.strip() == "---> Using cache" or bool(_BUILDKIT_CACHED.match(line))
        if found := _LAYER.match(line):
            self._layers += 1
            self._pushed += found[1] == "Pushed"
        self.progress(line)

    @property
    def steps(self) -> str:
        """The steps of a build: `8 steps, 5 cached`."""
        count = self._steps or len(self._buildkit_steps)
        return f"{format_count(count, 'step')}, {self._cached} cached"

    @property
    def layers(self) -> str:
        """The layers of a push: `1 of 3 layers`; the registry has the others."""
        return f"{self._pushed} of {format_count(self._layers, 'layer')}"


class _BuildOutput:
    """The engine's events as lines: build output, and one line per change of a layer's state.

    Progress within a state (percentages) is left out.
    """

    def __init__(self, progress: Callable[[str], None]) -> None:
        self.progress = progress
        self.last: list[str] = []
        self.states: dict[str, str] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        for line in ui.plain(str(event.get("stream") or "").replace("\r", "\n")).split("\n"):
            if line.strip():
                self.emit(line.rstrip())
        status, layer = event.get("status"), event.get("id")
        if status and (not layer or self.states.get(layer) != status):
            if layer:
                self.states[layer] = status
            self.emit(f"{layer}: {status}" if layer else status)

    def emit(self, line: str) -> None:
        hidden = redact(line)  # a build may print its arguments
        self.last = [*self.last[1 - _LAST_LINES :], hidden]
        self.progress(hidden)


def message(event: Mapping[str, Any]) -> str:
    detail = event.get("errorDetail")
    with suppress(AttributeError):
        return (
            str(detail.get("message") or event.get("error") or "")
            if detail
            else str(event.get("error"))
        )
    return str(event.get("error"))
