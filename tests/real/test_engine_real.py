"""The emulated engine and the process runtime beside a real Docker engine: the same calls, the same
answers.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from docker.errors import DockerException, NotFound

from ops.ecs.rules.stop_reasons import classify
from ops.sandbox.contracts import PullError, StartError
from ops.sandbox.runtime.containers import ROOT_LABEL, DockerRuntime
from ops.sandbox.runtime.docker_base import ensure_base
from tests.sandbox.engine_calls import (
    BUILDS,
    CONFIGURED,
    FILES,
    BuildCall,
    answer,
    facts,
    pushed,
    refused,
)
from tests.sandbox.images_platform import LOGIN, ImagePlatform, build, ended, push, spec
from tests.sandbox.images_support import IMMUTABLE, MUTABLE, TOKEN

BASE = "FROM sandbox/python:3\nWORKDIR /app\nCOPY app.py .\n"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagePlatform]:
    """One for all tests here: a real engine pushes the base, which is large, to each new registry
    anew.
    """
    here = ImagePlatform(tmp_path_factory.mktemp("engine") / "sandbox").up()
    yield here
    here.down()


def _classic(client: Any) -> None:
    """The recorded answers are those of the classic image store and builder."""
    if (
        client.info().get("DriverStatus")
        and ["driver-type", "io.containerd.snapshotter.v1"] in client.info()["DriverStatus"]
    ):
        pytest.skip("no docker with the classic image store here")


@pytest.mark.parametrize("call", BUILDS, ids=lambda call: call.says)
def test_a_real_engine_still_answers_as_recorded(real: Any, call: BuildCall) -> None:
    """What the emulation was written after is what the engine says."""
    _classic(real)
    found = answer(real, call)
    assert found[-len(call.ends) :] == call.ends


def test_both_engines_make_the_same_image(real: Any, images: ImagePlatform) -> None:
    """Configuration, platform, names, layers and size agree."""
    found = []
    for client in (real, images.client()):
        build(
            client,
            CONFIGURED,
            FILES,
            tag="conf:both",
            labels={"own": "label"},
            platform="linux/amd64",
            nocache=True,
        )
        found.append(facts(client, "conf:both"))
        client.images.remove("conf:both")
    assert found[0] == found[1]


def test_both_engines_refuse_names_alike(real: Any, images: ImagePlatform) -> None:
    """Missing and mis-written names have the same refusals."""
    said = []
    for client in (real, images.client()):
        build(client, "FROM scratch\nCOPY app.py /\n", FILES, tag="calls:names")
        said.append(
            [
                refused(client.api.tag, "nosuch:1", "a/b", "1"),
                refused(client.api.tag, "calls:names", "A/b", "1"),
                refused(client.api.inspect_image, "nosuch:1"),
                refused(client.api.inspect_image, "bad name"),
                refused(client.api.remove_image, "nosuch:1"),
            ]
        )
        client.images.remove("calls:names")
    assert said[0] == said[1]


def test_both_engines_push_and_are_refused_alike(real: Any, images: ImagePlatform) -> None:
    """Pushes, second pushes and every refusal of the registry front read the same from both."""
    said = []
    for tag, client in (("tag-a", real), ("tag-b", images.client())):
        for repository in (IMMUTABLE, MUTABLE, "no/such"):
            build(
                client,
                "FROM scratch\nCOPY app.py /\n",
                FILES | {"app.py": tag},
                tag=f"{images.registry}/{repository}:{tag}",
            )
        steps = [
            pushed(client, f"{images.registry}/{repository}", tag, login)
            for repository, login in (
                (IMMUTABLE, None),
                (IMMUTABLE, {"username": "AWS", "password": "old"}),
                (IMMUTABLE, LOGIN),
                (IMMUTABLE, LOGIN),
                (MUTABLE, LOGIN),
                (MUTABLE, LOGIN),
                ("no/such", LOGIN),
            )
        ]
        steps.append({refused(client.login, "AWS", "old", registry=images.registry, reauth=True)})
        steps.append(
            {
                refused(
                    client.images.pull,
                    f"{images.registry}/{MUTABLE}",
                    tag="gone",
                    auth_config=LOGIN,
                )
            }
        )
        steps.append(
            {
                refused(
                    client.images.pull, f"{images.registry}/no/such", tag="gone", auth_config=LOGIN
                )
            }
        )
        said.append([{text.replace(tag, "<tag>") for text in step} for step in steps])
        for repository in (IMMUTABLE, MUTABLE, "no/such"):
            client.images.remove(f"{images.registry}/{repository}:{tag}", force=True)
    assert said[0] == said[1]


def test_a_real_engine_runs_what_the_emulated_one_built(real: Any, images: ImagePlatform) -> None:
    """Layers, configuration and manifest of the emulated engine are an image like any other."""
    image = images.shipped(
        'FROM scratch\nCOPY app.py /app.py\nENV A=1\nCMD ["/app.py"]\n', FILES, "1"
    )
    pulled = real.images.pull(image, auth_config=LOGIN)
    assert pulled.id == images.client().images.get(image).id
    container = real.containers.create(image, network_mode="none")
    try:
        stream, _ = container.get_archive("/app.py")
        assert b"print(1)" in b"".join(stream)
    finally:
        container.remove()
        real.images.remove(image)


@pytest.fixture
def runtime(real: Any, images: ImagePlatform) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(real, images.root, lambda: TOKEN)
    try:
        ensure_base(real)
    except DockerException as error:
        pytest.skip(f"no docker that can import an image here: {error}")
    yield runtime
    runtime.sweep()


def _shipped(real: Any, images: ImagePlatform, source: str, app: str) -> str:
    """An image built and pushed by the real engine, and gone from it."""
    image = f"{images.registry}/{MUTABLE}:{uuid.uuid4().hex[:8]}"
    built = build(real, source, {"app.py": app}, tag=image)
    assert "error" not in built[-1], built[-1]
    repository, tag = image.rsplit(":", 1)
    assert "error" not in push(real, repository, tag)[-1]
    real.images.remove(image)
    return image


def test_a_real_container_runs_logs_and_ends(
    real: Any, images: ImagePlatform, runtime: DockerRuntime
) -> None:
    """The base has psycopg; lines, exit code and digest arrive; the container is removed
    afterwards.
    """
    app = (
        "import os, sys, psycopg\nprint(psycopg.__version__, os.environ['HOST'], "
        "os.environ['A'], os.getcwd())\nsys.exit(7)\n"
    )
    image = _shipped(real, images, BASE + 'CMD ["python3", "app.py"]\n', app)
    lines: list[str] = []
    container = runtime.start(
        spec(image, lines.append, address="127.0.0.9", environment={"A": "task"})
    )
    assert ended(container, 30) == 7
    assert lines[0].split()[1:] == ["127.0.0.9", "task", "/app"]
    assert container.digest == images.ecr.tags[MUTABLE, image.rpartition(":")[2]]
    assert not real.containers.list(
        all=True, ignore_removed=True, filters={"label": f"{ROOT_LABEL}={images.root}"}
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (BASE + 'CMD ["node"]\n', 'exec: "node": executable file not found in $PATH: unknown'),
        (
            BASE + 'CMD ["/app/none"]\n',
            'exec: "/app/none": stat /app/none: no such file or directory: unknown',
        ),
        (BASE + 'CMD ["/app/app.py"]\n', 'exec: "/app/app.py": permission denied: unknown'),
    ],
)
def test_both_runtimes_refuse_a_command_alike(
    real: Any, images: ImagePlatform, runtime: DockerRuntime, source: str, says: str
) -> None:
    """The container's reason ends in the same words and is classified alike."""
    emulated = images.shipped(source, {"app.py": ""}, uuid.uuid4().hex[:8], IMMUTABLE)
    for each, image in (
        (runtime, _shipped(real, images, source, "")),
        (images.runtime(), emulated),
    ):
        with pytest.raises(StartError) as failed:
            each.start(spec(image, print))
        assert str(failed.value).startswith(
            "CannotStartContainerError: Error response from daemon: "
        )
        assert str(failed.value).endswith(says)
        reason = classify(str(failed.value))
        assert reason is not None and reason.code == "ECS-EXEC"


def test_both_runtimes_refuse_what_ecr_has_not(
    real: Any, images: ImagePlatform, runtime: DockerRuntime
) -> None:
    """Absent, deleted, other platform, unknown repository: the same code from both."""
    gone = images.shipped('FROM scratch\nCOPY app.py /\nCMD ["x"]\n', FILES, "gone")
    arm = images.shipped(
        'FROM scratch\nCOPY app.py /\nCMD ["x"]\n', FILES, "arm", platform="linux/arm64"
    )
    runtime.pull(gone)
    images.ecr.delete(MUTABLE, "gone")
    for image, code in (
        (gone, "ECS-PULL-NOTFOUND"),
        (f"{images.registry}/{MUTABLE}:never", "ECS-PULL-NOTFOUND"),
        (arm, "ECS-PULL-PLATFORM"),
        (f"{images.registry}/no/such:1", "ECS-PULL-NOTFOUND"),
        ("Not A Name", "ECS-PULL-REF"),
    ):
        for each in (runtime, images.runtime()):
            with pytest.raises(PullError) as refusal:
                each.pull(image, "linux/amd64")
            reason = classify(str(refusal.value))
            assert reason is not None and reason.code == code, str(refusal.value)


def test_an_expired_token_is_forbidden(real: Any, images: ImagePlatform) -> None:
    """The registry's refusal of the login is the reason of the pull."""
    image = images.shipped("FROM scratch\nCOPY app.py /\n", FILES, "1")
    with pytest.raises(PullError) as refusal:
        DockerRuntime(real, images.root, lambda: "old").pull(image)
    reason = classify(str(refusal.value))
    assert reason is not None and reason.code == "ECS-PULL-403"


def test_what_a_killed_supervisor_left_is_removed(
    real: Any, images: ImagePlatform, runtime: DockerRuntime
) -> None:
    """The next `up` removes the containers of this sandbox, and only those."""
    image = _shipped(
        real, images, BASE + 'CMD ["python3", "app.py"]\n', "import time; time.sleep(60)"
    )
    container = runtime.start(spec(image, print))
    [left] = real.containers.list(filters={"label": f"{ROOT_LABEL}={images.root}"})
    assert DockerRuntime(real, images.root / "other", lambda: TOKEN).sweep() == ()
    assert DockerRuntime(real, images.root, lambda: TOKEN).sweep() == (left.id,)
    assert ended(container, 30) == 137
    with pytest.raises(NotFound):
        real.containers.get(left.id)


def test_the_base_is_this_python(real: Any, runtime: DockerRuntime) -> None:
    """sandbox/python:3 of a real engine is the Python that runs the sandbox."""
    said = real.containers.run(
        "sandbox/python:3", ["python", "-V"], remove=True, network_mode="none"
    )
    assert said.decode().strip() == f"Python {sys.version.split()[0]}"
