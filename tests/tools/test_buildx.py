"""Builds by `docker buildx`: its command line, its output in BuildKit's own words, and what the
classic builder cannot do. The program here is a stand-in that records its call.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler

from ops.core.config.settings import Service
from ops.core.errors import ConfigError, OpsError
from ops.deploy.handlers import _with_paths
from ops.deploy.rules.plan import _build_options
from ops.tools import buildx, docker
from ops.tools.buildx import needed_features
from ops.tools.docker_context import find_engine
from ops.tools.facts import BuildOptions, BuildSecret
from tests.tools.engine_support import LABELS, new_context

PROGRAM = r"""#!{python} -IS
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
if sys.argv[1:] == ["buildx", "version"]:
    sys.exit(0 if (here / "buildx").exists() else 1)
call = {{"argv": sys.argv[1:], "environment": dict(os.environ)}}
(here / "call.json").write_text(json.dumps(call))
for line in json.loads((here / "output.json").read_text()):
    print(line.replace("SECRET", os.environ.get("NPM_TOKEN", "")), file=sys.stderr, flush=True)
sys.exit(1 if (here / "fails").exists() else 0)
"""
OUTPUT = [
    "#1 [internal] load build definition from Dockerfile",
    "#1 DONE 0.0s",
    "",
    "#5 [2/2] RUN --mount=type=secret,id=npm npm ci",
    "#5 0.211 using SECRET",
    "#5 DONE 0.4s",
]
FAILED = [
    "#6 [2/2] RUN npm ci",
    "#6 0.120 npm ERR! missing: left-pad",
    '#6 ERROR: process "/bin/sh -c npm ci" did not complete successfully: exit code: 3',
    "------",
    " > [2/2] RUN npm ci:",
    "0.120 npm ERR! missing: left-pad",
    "------",
    "Dockerfile:2",
    "--------------------",
    "   1 |     FROM node",
    "   2 | >>> RUN npm ci",
    "--------------------",
    'ERROR: failed to solve: process "/bin/sh -c npm ci" did not complete: exit code: 3',
]


class Desk:
    """An engine that answers as dockerd, and a docker program on PATH."""

    def __init__(self, server: HTTPServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.folder = server, folder / "bin"
        self.folder.mkdir()
        self.builds: list[str] = []
        program = self.folder / "docker"
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        self.prints(OUTPUT)
        self.has("buildx")
        monkeypatch.setenv("PATH", f"{self.folder}:{os.environ['PATH']}")
        monkeypatch.setenv("DOCKER_CONTEXT", "other")
        server.expect_request("/version").respond_with_json(
            {"Version": "27.1", "ApiVersion": "1.41", "Arch": "amd64"}
        )
        server.expect_request("/v1.41/images/web:local/json").respond_with_json(
            {"Id": "sha256:i", "Architecture": "amd64", "RepoDigests": None, "Config": None}
        )
        server.expect_request("/v1.41/build", method="POST").respond_with_handler(self._classic)

    def _classic(self, request: Request) -> Response:
        self.builds.append(request.query_string.decode())
        text = "the --mount option requires BuildKit"
        events = (
            {"stream": "Step 2/2 : RUN --mount=type=cache,target=/c npm ci\n"},
            {"errorDetail": {"message": text}, "error": text},
        )
        WSGIRequestHandler.protocol_version = "HTTP/1.1"  # chunked, as an engine streams
        lines = [json.dumps(each).encode() + b"\r\n" for each in events]
        return Response(iter(lines), 200, content_type="application/json")

    def has(self, name: str) -> None:
        (self.folder / name).touch()

    def prints(self, lines: list[str]) -> None:
        (self.folder / "output.json").write_text(json.dumps(lines))

    def offers_buildkit(self) -> None:
        self.server.expect_request("/_ping").respond_with_data(
            "OK", headers={"Builder-Version": "2"}
        )

    @property
    def call(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "call.json").read_text())
        return found

    @property
    def was_called(self) -> bool:
        return (self.folder / "call.json").exists()

    def build(self, context: Path, options: BuildOptions, **more: str) -> list[str]:
        lines: list[str] = []
        engine = docker.connect(f"tcp://127.0.0.1:{self.server.port}")
        docker.build(
            engine,
            context,
            dockerfile="Dockerfile",
            name="web:local",
            labels=LABELS,
            build_args={"VERSION": "1", **more},
            platform="linux/arm64",
            progress=lines.append,
            options=options,
        )
        return lines


@pytest.fixture
def desk(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(httpserver, tmp_path, monkeypatch)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    return new_context(tmp_path / "context")


def test_buildx_builds_with_all_options(
    desk: Desk, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line has every option, and no value of an argument or secret."""
    desk.offers_buildkit()
    monkeypatch.setenv("NPM_TOKEN", "HUSH-token")
    (tmp_path / "npmrc, mine").write_text("HUSH-file\n")
    secrets = (
        BuildSecret("npm", environment="NPM_TOKEN"),
        BuildSecret("rc", file=str(tmp_path / "npmrc, mine")),
    )
    options = BuildOptions("runtime", secrets, ("type=registry,ref=r/c",), ("type=inline",), True)
    lines = desk.build(context, options, TOKEN="HUSH-argument", HTTP_PROXY="http://proxy:3128")
    words = desk.call["argv"]
    assert words[:4] == ["buildx", "build", "--load", "--progress=plain"]
    assert words[-1] == str(context) and f"--file={context}/Dockerfile" in words
    for expected in (
        "--platform=linux/arm64",
        "--tag=web:local",
        f"--label={docker.REVISION}=abc123",
        "--target=runtime",
        "--secret=id=npm,env=NPM_TOKEN",
        f'--secret=id=rc,type=file,"src={tmp_path}/npmrc, mine"',
        "--cache-from=type=registry,ref=r/c",
        "--cache-to=type=inline",
        "--provenance=true",
        "--build-arg=TOKEN",
        "--build-arg=HTTP_PROXY=http://proxy:3128",
    ):
        assert expected in words
    assert "HUSH" not in " ".join(words)
    environment = desk.call["environment"]
    assert environment["TOKEN"] == "HUSH-argument" and environment["VERSION"] == "1"
    assert environment["DOCKER_HOST"] == f"tcp://127.0.0.1:{desk.server.port}"
    assert "DOCKER_CONTEXT" not in environment and "HTTP_PROXY" not in environment
    assert any(line.startswith("#5 [2/2] RUN") for line in lines)
    assert "HUSH" not in "\n".join(lines) and "" not in lines
    assert desk.builds == []


def test_no_provenance_by_default(desk: Desk, context: Path) -> None:
    desk.offers_buildkit()
    desk.build(context, BuildOptions())
    assert desk.call["environment"]["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
    assert not any(word.startswith(("--provenance", "--target")) for word in desk.call["argv"])


def test_a_failed_step_is_named(desk: Desk, context: Path) -> None:
    """BuildKit's own summary of the step is the error: its instruction, lines and exit code."""
    desk.offers_buildkit()
    desk.prints(FAILED)
    desk.has("fails")
    with pytest.raises(OpsError) as error:
        desk.build(context, BuildOptions())
    assert error.value.what == "build of web:local failed at [2/2] RUN npm ci"
    assert "npm ERR! missing: left-pad" in error.value.why
    assert error.value.why.count("failed to solve") == 1 and "exit code: 3" in error.value.why


@pytest.mark.parametrize("missing", ["buildx", "engine", "program"])
def test_the_classic_builder_says_what_it_cannot_do(
    missing: str, desk: Desk, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without plugin, program or an engine with BuildKit: docker-py, and a plain sentence."""
    if missing == "buildx":
        (desk.folder / "buildx").unlink()
    if missing == "program":
        monkeypatch.setenv("PATH", "/nowhere")
    if missing != "engine":
        desk.offers_buildkit()
    (context / "Dockerfile").write_text("FROM node\nRUN --mount=type=cache,target=/c npm ci\n")
    with pytest.raises(OpsError, match="requires BuildKit") as error:
        desk.build(context, BuildOptions(target="runtime"))
    assert "does not have RUN --mount (line 2)" in error.value.why
    assert "docker buildx version" in error.value.next
    assert not desk.was_called and "target=runtime" in desk.builds[0]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (BuildOptions(secrets=(BuildSecret("npm", environment="HOME"),)), "build_secrets"),
        (BuildOptions(cache_to=("type=inline",)), "cache_to"),
        (BuildOptions(cache_from=("type=gha",)), "cache_from"),
        (BuildOptions(provenance=True), "provenance"),
    ],
)
def test_options_that_need_buildkit_are_refused_without_it(
    options: BuildOptions, key: str, desk: Desk, context: Path
) -> None:
    with pytest.raises(ConfigError, match=f"{key} in invoke.yaml: only BuildKit has that"):
        desk.build(context, options)
    assert desk.builds == []


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        (BuildSecret("npm", environment="NOT_SET_HERE"), "NOT_SET_HERE is not set"),
        (BuildSecret("npm", file="/nowhere/npmrc"), "/nowhere/npmrc cannot be read"),
    ],
)
def test_a_secret_without_a_value(secret: BuildSecret, why: str, desk: Desk, context: Path) -> None:
    """Refused before anything is built."""
    desk.offers_buildkit()
    with pytest.raises(ConfigError, match=why):
        desk.build(context, BuildOptions(secrets=(secret,)))
    assert not desk.was_called


@pytest.mark.parametrize(
    ("line", "features"),
    [
        ("RUN --mount=type=cache,target=/c pip install x", ("RUN --mount (line 1)",)),
        ("RUN \\\n  --mount=type=ssh \\\n  git clone x", ("RUN --mount (line 1)",)),
        ("FROM a\n# note\nCOPY --chown=1 --chmod=755 a b", ("COPY --chmod (line 3)",)),
        ("COPY --link a b", ("COPY --link (line 1)",)),
        ("RUN <<EOF\necho x\nEOF", ("heredoc (line 1)",)),
        ("COPY <<-'END' /x\ny\nEND", ("heredoc (line 1)",)),
        ("# syntax=docker/dockerfile:1\nFROM a\nCOPY --chown=1 --from=b a b\nRUN x --mount=y", ()),
    ],
)
def test_features_of_buildkit_in_a_dockerfile(line: str, features: tuple[str, ...]) -> None:
    assert needed_features(line) == features


def test_the_configured_options_reach_the_build(tmp_path: Path) -> None:
    """A service's keys become the step's options; a secret's file is relative to the project."""
    service = Service.model_validate(
        {
            "ecs_service": "s",
            "container": "c",
            "repository": "r",
            "target": "runtime",
            "build_secrets": {"npm": {"environment": "NPM_TOKEN"}, "rc": {"file": "ci/npmrc"}},
            "cache_from": ["type=gha"],
            "cache_to": ["type=gha"],
        }
    )
    options = _with_paths(_build_options(service), tmp_path)
    assert options == BuildOptions(
        "runtime",
        (
            BuildSecret("npm", environment="NPM_TOKEN"),
            BuildSecret("rc", file=str(tmp_path / "ci/npmrc")),
        ),
        ("type=gha",),
        ("type=gha",),
    )
    with pytest.raises(ValidationError, match="one of environment and file"):
        Service.model_validate({**service.model_dump(), "build_secrets": {"npm": {}}})


def test_buildx_uses_the_same_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program gets the address that was found, whatever else the environment names."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://other:1")
    found = buildx._program_environment(find_engine("tcp://mine:2375", {}))
    assert found["DOCKER_HOST"] == "tcp://mine:2375" and "DOCKER_CONTEXT" not in found


@pytest.mark.parametrize(
    ("headers", "offered"),
    [
        ({"Server": "Docker/28.2.2 (linux)", "Builder-Version": "2"}, True),
        ({"Server": "Docker/28.2.2 (linux)", "Builder-Version": "1"}, False),
        ({"Server": "Docker/20.10.24+dfsg1 (linux)"}, True),
        ({"Server": "Libpod/4.3.1 (linux)", "Builder-Version": ""}, False),
        ({}, False),
    ],
)
def test_which_engines_offer_buildkit(headers: dict[str, str], offered: bool) -> None:
    """By the headers that dockerd 20.10 and 28 and Podman send."""
    assert buildx.has_buildkit(headers) is offered


def test_steps_of_buildkit_are_counted() -> None:
    """Each step once, however often BuildKit prints its heading."""
    lines: list[str] = []
    count = docker.OutputCount(lines.append)
    for line in (
        "#1 [internal] load build definition from Dockerfile",
        "#4 [build 1/2] FROM docker.io/library/node",
        "#5 [build 2/2] RUN npm ci",
        "#4 CACHED",
        "#5 [build 2/2] RUN npm ci",
        "#6 [stage-1 1/1] COPY --from=build a b",
        "#6 DONE 0.1s",
    ):
        count.take(line)
    assert count.steps == "3 steps, 1 cached" and len(lines) == 7
