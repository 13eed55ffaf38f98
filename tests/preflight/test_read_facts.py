"""Gathering a release's facts, from a real AWS interface (moto's server), real git and real
HTTP.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from ops.aws import ecr
from ops.aws.facts import Identity, Image, Repository, ServiceState, TaskDefinition
from ops.core.errors import ConfigError
from ops.core.findings import Unknown
from ops.platform import Platform
from ops.preflight import read_facts
from ops.preflight.facts import ReleaseFacts, TestRun
from ops.preflight.read_facts import GatherRequest, image, release_facts
from ops.tools.facts import Checkout, Commit, EngineInfo
from tests import plain_aws
from tests.preflight import preflight_platform as made
from tests.preflight.preflight_facts import FULL

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    yield from plain_aws.served()


@pytest.fixture(scope="module")
def secret(aws: str) -> str:
    return made.seeded(aws)


@pytest.fixture
def folder(tmp_path: Path, httpserver: HTTPServer) -> Path:
    made.checkout(tmp_path)
    made.answering(httpserver)
    return tmp_path


def quiet(line: str = "") -> None:
    """Progress is not what these tests are about."""


def looked(settings: Any, tag: str | None = None, **options: Any) -> ReleaseFacts:
    return release_facts(Platform.of(settings), "backend", tag, say=quiet, **options)


def test_everything_is_seen(folder: Path, aws: str, secret: str, httpserver: HTTPServer) -> None:
    """A platform that is whole leaves nothing unknown: commit, account, engine, service, secrets'
    keys, log group, pages, tests.
    """
    facts = looked(made.settings(folder, aws, httpserver))
    assert isinstance(facts.checkout, Checkout)
    assert (facts.checkout.branch, facts.checkout.changes, facts.checkout.pushed) == (
        "main",
        (),
        True,
    )
    assert facts.tag == made.git(folder / "platform", "rev-parse", "--short", "HEAD")
    assert isinstance(facts.identity, Identity)
    assert facts.identity.account == made.ACCOUNT
    assert str(facts.tools["git"]).startswith("git version")
    assert facts.engine == EngineInfo("27.1", "1.43", "amd64")
    assert (facts.image, facts.local_image) == (None, None)
    assert isinstance(facts.repository, Repository)
    assert facts.repository.immutable
    assert isinstance(facts.state, ServiceState)
    assert isinstance(facts.revision, TaskDefinition)
    assert facts.revision.label == "backend:1"
    assert [group.health_path for group in facts.target_groups] == ["/api/health"]  # type: ignore[union-attr]
    assert facts.targets == ()
    assert facts.secrets == {secret: frozenset({"username", "password"}), "/dev/mode": frozenset()}
    assert facts.log_groups == {"/ecs/backend": True}
    assert facts.schema is None
    assert facts.tests == TestRun(("python3", "-c", "print('all well')"), 0, "all well")
    assert [answer.healthy for answer in facts.answers] == [True]  # type: ignore[union-attr]
    assert "hunter2" not in repr(facts)


def test_a_tag_needs_neither_checkout_nor_engine_nor_tests(
    tmp_path: Path, aws: str, secret: str, httpserver: HTTPServer
) -> None:
    """With --tag nothing is built: no git checkout, no engine and no test run is needed, and none
    is looked at.
    """
    httpserver.expect_request("/api/health").respond_with_json({"status": "ok"})
    settings = made.settings(tmp_path, aws, httpserver, source="no-such-folder", engine=made.CLOSED)
    facts = looked(settings, "v1")
    assert (facts.checkout, facts.engine, facts.tests, facts.local_image, facts.image) == (
        None,
        None,
        None,
        None,
        None,
    )
    assert set(facts.tools) == {"python"}
    assert isinstance(facts.state, ServiceState)


def test_what_does_not_answer_is_unknown_with_its_reason(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    """No AWS, no checkout, no engine, no site: every fact says why it is not known, nothing raises,
    and what hangs on it says the same.
    """
    nowhere = {"engine": made.CLOSED, "source": "no-such-folder", "site": "http://127.0.0.1:1"}
    settings = made.settings(tmp_path, "http://127.0.0.1:1", httpserver, **nowhere)
    facts = looked(settings, tests=False)
    for fact in (
        facts.checkout,
        facts.identity,
        facts.engine,
        facts.repository,
        facts.image,
        facts.state,
        facts.revision,
        facts.running,
    ):
        assert isinstance(fact, Unknown), fact
    assert isinstance(facts.state, Unknown)
    assert facts.revision == facts.state
    assert "127.0.0.1:1" in facts.state.why
    assert facts.tag is None
    assert [answer.status for answer in facts.answers] == [0]  # type: ignore[union-attr]


def test_a_missing_service_leaves_nothing_to_look_at(
    folder: Path, aws: str, secret: str, httpserver: HTTPServer
) -> None:
    """A service that ECS does not have is None, not Unknown; so is its task definition, and it has
    no tasks.
    """
    facts = looked(
        made.settings(folder, aws, httpserver, service={"ecs_service": "typo"}), tests=False
    )
    assert (facts.state, facts.revision, facts.running, facts.targets) == (None, None, (), ())


def test_tests_that_fail_show_their_end(
    folder: Path, aws: str, secret: str, httpserver: HTTPServer
) -> None:
    """The tests run in the service's context; their exit code and last ten lines are kept."""
    command = [
        sys.executable,
        "-c",
        "import os, sys; print(os.listdir()); [print(n) for n in range(20)]; sys.exit(3)",
    ]
    run = looked(made.settings(folder, aws, httpserver, service={"tests": command})).tests
    assert isinstance(run, TestRun)
    assert (run.exit_code, run.tail.splitlines()) == (3, [str(number) for number in range(10, 20)])
    short = [sys.executable, "-c", "import os; print(os.listdir())"]
    assert looked(
        made.settings(folder, aws, httpserver, service={"tests": short})
    ).tests == TestRun(tuple(short), 0, "['Dockerfile']")


def test_tests_that_cannot_start_are_unknown(
    folder: Path, aws: str, secret: str, httpserver: HTTPServer
) -> None:
    """A tests command that is not there was not seen to pass."""
    run = looked(
        made.settings(folder, aws, httpserver, service={"tests": ["no-such-program"]})
    ).tests
    assert isinstance(run, Unknown)
    assert "no-such-program" in run.why


def test_skipped_looks_are_not_taken(
    folder: Path, aws: str, secret: str, httpserver: HTTPServer
) -> None:
    """--skip tests runs none of them; --skip secrets reads none."""
    marker = folder / "ran"
    settings = made.settings(folder, aws, httpserver, service={"tests": ["touch", str(marker)]})
    facts = looked(settings, skip=frozenset({"tests", "secrets"}))
    assert (facts.tests, facts.secrets, marker.exists()) == (None, {}, False)


@pytest.mark.parametrize(
    ("database", "why"),
    [
        ({"run": "remote", "secret": "db", "host": "h", "name": "d"}, "has no bastion"),
        ({"secret": "none-such"}, "none-such does not exist"),
        ({"secret": "db"}, "host is not known"),
    ],
)
def test_a_database_that_cannot_be_read_is_unknown(
    folder: Path, aws: str, secret: str, httpserver: HTTPServer, database: dict[str, str], why: str
) -> None:
    """Pending migrations are not "none" where nobody could look. Without revisions nothing can be
    pending, so the database is not asked.
    """
    without = looked(made.settings(folder, aws, httpserver, database=database), tests=False)
    assert without.schema is None
    (folder / "alembic" / "versions").mkdir(parents=True)
    schema = looked(made.settings(folder, aws, httpserver, database=database), tests=False).schema
    assert isinstance(schema, Unknown)
    assert why in schema.why


@pytest.mark.parametrize(
    ("service", "tag", "skip"),
    [
        ("backend", "; rm -rf /", ()),
        ("backend", "v1\n", ()),
        ("backend", None, ("tets",)),
        ("backend", None, ("image",)),
        ("b", None, ()),
    ],
)
def test_mistakes_are_refused_before_any_look(
    folder: Path, httpserver: HTTPServer, service: str, tag: str | None, skip: tuple[str, ...]
) -> None:
    """A hostile tag, an unknown check and an unknown service are exit 2, at once and without a
    request.
    """
    settings = made.settings(folder, "http://127.0.0.1:1", httpserver)
    began = time.monotonic()
    with pytest.raises(ConfigError):
        release_facts(Platform.of(settings), service, tag, say=quiet, skip=frozenset(skip))
    assert time.monotonic() - began < 2
    assert httpserver.log == []


def registry(server: HTTPServer, name: str, labels: dict[str, str]) -> str:
    """A registry that holds one image of `name`; its digest."""
    configuration = json.dumps(
        {"architecture": "arm64", "os": "linux", "config": {"Labels": labels}}
    ).encode()
    blob = f"sha256:{hashlib.sha256(configuration).hexdigest()}"
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": kind, "config": {"digest": blob}, "layers": []}
    ).encode()
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    server.expect_request(f"/v2/{name}/manifests/{digest}").respond_with_data(
        manifest, content_type=kind
    )
    server.expect_request(f"/v2/{name}/blobs/{blob}").respond_with_data(configuration)
    return digest


def test_an_image_says_its_commit_and_architecture(
    folder: Path, aws: str, httpserver: HTTPServer
) -> None:
    """The tag in ECR comes with the commit and architecture of its configuration; with neither, and
    why, if the registry fails.
    """
    made.client(aws, "ecr").create_repository(repositoryName="images")
    digest = registry(httpserver, "images", {"org.opencontainers.image.revision": "c0ffee"})
    put(aws, "v1", digest)
    said: list[str] = []
    settings = made.settings(folder, aws, httpserver)
    asked = GatherRequest(
        Platform.of(settings),
        "backend",
        settings.service("backend"),
        "v1",
        frozenset(),
        said.append,
    )
    found = image(
        asked, Repository("images", f"{httpserver.host}:{httpserver.port}/images", True), "v1"
    )
    assert found is not None
    assert (found.digest, found.revision, found.architecture, said) == (
        digest,
        "c0ffee",
        "arm64",
        [],
    )
    unreadable = image(asked, Repository("images", "127.0.0.1:1/images", True), "v1")
    assert unreadable is not None
    assert (unreadable.revision, unreadable.architecture, len(said)) == (None, None, 1)
    assert image(asked, Repository("images", "127.0.0.1:1/images", True), "v2") is None


def put(aws: str, tag: str, digest: str) -> None:
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {"digest": digest, "size": 1},
            "layers": [],
        }
    )
    made.client(aws, "ecr").put_image(
        repositoryName="images", imageTag=tag, imageManifest=manifest, imageDigest=digest
    )


SLOW = """
import sys, time
from pathlib import Path
from ops.preflight.read_facts import run_alongside
from ops.tools import shell
program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
try:
    run = lambda: shell.run([sys.executable, "-c", program], on_line=print)
    run_alongside(lambda: time.sleep(60), run)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_ends_the_tests_too() -> None:
    """Ctrl-C while the tests run ends them at once, and leaves no process behind."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", SLOW], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.stdout.read().strip() == "interrupted"
    assert process.wait(10) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(
    ("tags", "labels", "wanted"),
    [
        (("latest", FULL[:12]), {FULL[:12]: FULL}, FULL[:12]),
        ((FULL,), {FULL: FULL}, FULL),
        ((FULL[:7],), {FULL[:7]: None}, FULL[:7]),  # whose commit preflight compares
        ((FULL[:12],), {FULL[:12]: None}, None),
        ((FULL[:12],), {FULL[:12]: "0" * 40}, None),
        (("v1.2", "latest"), {"v1.2": FULL}, None),
        ((FULL[:4],), {FULL[:4]: FULL}, None),
        ((), {}, None),
    ],
)
def test_an_image_of_the_commit_under_a_tag_of_another_length(
    tags: tuple[str, ...],
    labels: dict[str, str | None],
    wanted: str | None,
    folder: Path,
    aws: str,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another machine abbreviated the commit otherwise: its image is found by its label."""
    settings = made.settings(folder, aws, httpserver)
    service = settings.service("backend")
    asked = GatherRequest(Platform.of(settings), "backend", service, None, frozenset(), quiet)
    listed = (Image("sha256:1", tags[0], 1, None, tags=tags),) if tags else ()
    monkeypatch.setattr(ecr, "images", lambda cloud, name: listed)
    monkeypatch.setattr(
        read_facts,
        "image",
        lambda request, repository, tag: (
            Image("sha256:1", tag, 1, None, labels[tag]) if tag in labels else None
        ),
    )
    commit = Commit(FULL, FULL[:7], "", "", "")
    found = read_facts.image_of_commit(asked, Repository("images", "there/images", True), commit)
    assert (found.tag if found else None) == wanted
