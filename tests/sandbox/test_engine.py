"""The sandbox's own engine, through the real docker client, against what dockerd answers."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

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
from tests.sandbox.images_platform import LOGIN, ImagePlatform, build
from tests.sandbox.images_support import IMMUTABLE, MUTABLE, context


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImagePlatform]:
    here = ImagePlatform(tmp_path / "sandbox").up()
    yield here
    here.down()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagePlatform]:
    here = ImagePlatform(tmp_path_factory.mktemp("engine") / "sandbox").up()
    yield here
    here.down()


@pytest.mark.parametrize("call", BUILDS, ids=lambda call: call.says)
def test_builds_answer_as_dockerd_does(shared: ImagePlatform, call: BuildCall) -> None:
    """Every line of success and of failure is dockerd's own."""
    found = answer(shared.client(), call)
    assert found[-len(call.ends) :] == call.ends


def test_an_image_is_configured_as_its_dockerfile_says(images: ImagePlatform) -> None:
    """ENV, WORKDIR, COPY, EXPOSE, LABEL, USER, ENTRYPOINT and CMD stand in the image that inspect
    shows.
    """
    client = images.client()
    build(client, CONFIGURED, FILES, tag="conf:1", labels={"own": "label"}, platform="linux/arm64")
    assert facts(client, "conf:1") == {
        "config": {
            "User": "nobody",
            "ExposedPorts": {"3001/tcp": {}, "53/udp": {}},
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "A=1",
                "B=two words",
                "C=none",
                "OLD=style value",
            ],
            "Cmd": ["app.py"],
            "WorkingDir": "/app/sub",
            "Entrypoint": ["python3"],
            "Labels": {"a": "b", "quoted key": "x y", "own": "label"},
        },
        "platform": ("linux", "arm64"),
        "tags": ["conf:1"],
        "layers": 6,
        "size": 14,
    }
    assert client.ping()
    assert client.version()["ApiVersion"] == "1.41"
    assert client.info()["Images"] == 2


def _contents(images: ImagePlatform, name: str) -> dict[str, str]:
    """Every path of an image with its kind, from the layers that a registry would be sent."""
    library = images.paths.images / "engine"
    identity = json.loads((library / "tags.json").read_text())[name].removeprefix("sha256:")
    found: dict[str, str] = {}
    for layer in json.loads((library / "images" / f"{identity}.json").read_text())["layers"]:
        with tarfile.open(
            library / "blobs" / "sha256" / layer["digest"].removeprefix("sha256:")
        ) as archive:
            found |= {member.name: "dir" if member.isdir() else "file" for member in archive}
    return found


def test_copy_puts_files_where_dockerd_puts_them(images: ImagePlatform) -> None:
    """A folder's contents, a file into a folder, a list, a glob, and a name of its own."""
    build(images.client(), CONFIGURED + "COPY app.py /opt/renamed\n", FILES, tag="conf:1")
    files = {path for path, kind in _contents(images, "conf:1").items() if kind == "file"}
    assert files == {
        "app/sub/app.py",
        "app/sub/src/a.py",
        "app/sub/src/b.txt",
        "app/sub/src/deep/c.txt",
        "both/a.py",
        "both/b.txt",
        "glob/b.txt",
        "opt/renamed",
    }


def test_the_same_commit_builds_the_same_digest_anywhere(tmp_path: Path) -> None:
    """Two engines give one digest for the same files and label, whatever the files' modes; another
    file gives another.
    """
    ids = []
    for number, (mode, text) in enumerate(((0o644, "same"), (0o600, "same"), (0o644, "other"))):
        images = ImagePlatform(tmp_path / str(number)).up()
        made = {"org.opencontainers.image.created": "2026-01-02T03:04:05Z"}
        body = context("FROM sandbox/python:3\nCOPY app.py /\n", {"app.py": text}, mode)
        list(images.client().api.build(fileobj=body, custom_context=True, tag="t:1", labels=made))
        inspected = images.client().api.inspect_image("t:1")
        assert inspected["Created"] == "2026-01-02T03:04:05Z"
        ids.append(inspected["Id"])
        images.down()
    assert ids[0] == ids[1] != ids[2]


def test_building_again_without_a_label_is_the_same_image(images: ImagePlatform) -> None:
    """Unchanged files keep their image, as with dockerd's cache; nocache makes it anew."""
    client, ids = images.client(), []
    for wishes in ({}, {}, {"nocache": True}):
        build(client, "FROM scratch\nCOPY app.py /\n", FILES, tag="t:1", **wishes)
        ids.append(client.api.inspect_image("t:1")["Id"])
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("dockerfile", "names"),
    [
        ("FROM sandbox/python:3\nRUN pip install x\n", "RUN (Dockerfile line 2)"),
        ("FROM scratch\n\nADD app.py /\n", "ADD (Dockerfile line 3)"),
        ("FROM scratch\nHEALTHCHECK NONE\n", "HEALTHCHECK (Dockerfile line 2)"),
        ("FROM scratch AS a\nCOPY app.py /\nFROM scratch\n", "a second FROM (Dockerfile line 3)"),
        ("FROM scratch\nCOPY --from=x app.py /\n", "COPY --from (Dockerfile line 2)"),
        ("FROM node:24\nCOPY app.py /\n", "pull access denied for node:24"),
    ],
)
def test_what_only_a_real_engine_does_is_refused_by_name(
    shared: ImagePlatform, dockerfile: str, names: str
) -> None:
    """The refusal names the instruction, its line, and the way to a real engine."""
    last = build(shared.client(), dockerfile, FILES)[-1]["error"]
    assert last.startswith(names)
    assert "inv sandbox.up --engine docker" in last


def test_dockerignore_takes_out_even_the_dockerfile(images: ImagePlatform, tmp_path: Path) -> None:
    """What .dockerignore names is not in the image; the client still sends the Dockerfile, and the
    build still reads it.
    """
    source = tmp_path / "source"
    source.mkdir()
    files = {
        "Dockerfile": "FROM scratch\nCOPY . /app\n",
        ".dockerignore": "*.log\nDockerfile\n",
        "a.log": "",
        "b.py": "",
    }
    for name, text in files.items():
        (source / name).write_text(text)
    images.client().images.build(path=str(source), tag="t:1")
    assert set(_contents(images, "t:1")) == {"app", "app/.dockerignore", "app/b.py"}


def test_names_are_given_and_taken(images: ImagePlatform) -> None:
    """tag, list, history and remove behave as dockerd's do, and their refusals read the same."""
    client = images.client()
    build(client, 'FROM scratch\nCOPY app.py /\nCMD ["x"]\n', FILES, tag="t:1")
    identity = client.images.get("t:1").id
    assert client.api.tag("t:1", "other/name", "2")
    assert client.images.get("other/name:2").id == identity == client.images.get(identity[7:19]).id
    assert [image.tags for image in client.images.list(name="t")] == [["other/name:2", "t:1"]]
    assert len(client.images.get("t:1").history()) == 2
    assert refused(client.api.tag, "nosuch:1", "a/b", "1") == "404: No such image: nosuch:1"
    assert (
        refused(client.api.tag, "t:1", "A/b", "1")
        == "500: invalid reference format: repository name must be lowercase"
    )
    assert (
        refused(client.api.inspect_image, "nosuch:1")
        == "404: no such image: nosuch:1: No such image: nosuch:1"
    )
    assert (
        refused(client.api.inspect_image, "bad name")
        == "400: no such image: bad name: invalid reference format"
    )
    assert refused(client.api.remove_image, identity).startswith("409: conflict: unable to delete")
    assert client.api.remove_image("t:1") == [{"Untagged": "t:1"}]
    assert client.api.remove_image("other/name:2") == [
        {"Untagged": "other/name:2"},
        {"Deleted": identity},
    ]
    with pytest.raises(ImageNotFound):
        client.images.get(identity)


def test_a_push_goes_to_the_registry_and_is_seen_in_ecr(images: ImagePlatform) -> None:
    """The first push sends layers, the second finds them there; the digest is told, kept, and known
    to ECR.
    """
    client, repository = images.client(), f"{images.registry}/{MUTABLE}"
    build(client, "FROM scratch\nCOPY app.py /\n", FILES, tag=f"{repository}:1")
    refers = f"The push refers to repository [{repository}]"
    assert pushed(client, repository, "1", LOGIN) == {
        refers,
        "Preparing",
        "Pushed",
        "1: digest: <id> size: <n>",
    }
    assert pushed(client, repository, "1", LOGIN) == {
        refers,
        "Preparing",
        "Layer already exists",
        "1: digest: <id> size: <n>",
    }
    digest = images.ecr.tags[MUTABLE, "1"]
    assert client.images.get(f"{repository}:1").attrs["RepoDigests"] == [f"{repository}@{digest}"]
    assert images.ecr.images[MUTABLE, digest] > 0


def test_pushes_are_refused_in_dockerds_words(images: ImagePlatform) -> None:
    """No login, an expired one, an unknown repository, an immutable tag, an unknown tag, nobody
    there.
    """
    client = images.client()
    expired = {"username": "AWS", "password": "old"}
    name = f"{images.registry}/{IMMUTABLE}"
    for repository in (name, f"{images.registry}/no/such", "127.0.0.1:9/x", "example.com/x"):
        build(client, "FROM scratch\nCOPY app.py /\n", FILES, tag=f"{repository}:1")
    refers = f"The push refers to repository [{name}]"
    assert pushed(client, name, "1", None) == {
        refers,
        "Preparing",
        "error: no basic auth credentials",
    }
    assert (
        "error: denied: Your authorization token has expired. Reauthenticate and try again."
        in pushed(client, name, "1", expired)
    )
    unknown = (
        "error: name unknown: The repository with name 'no/such' does not exist in the "
        "registry with id '<id>'"
    )
    assert unknown in pushed(client, f"{images.registry}/no/such", "1", LOGIN)
    assert f"error: tag does not exist: {name}:9" in pushed(client, name, "9", LOGIN)
    assert f"error: An image does not exist locally with the tag: {name}/x" in pushed(
        client, f"{name}/x", "9", LOGIN
    )
    assert "1: digest: <id> size: <n>" in pushed(client, name, "1", LOGIN)
    stands = (
        f"The image tag '1' already exists in the '{IMMUTABLE}' repository and cannot be "
        f"overwritten"
    )
    assert f"error: tag invalid: {stands} because the tag is immutable." in pushed(
        client, name, "1", LOGIN
    )
    assert any(
        "connect: connection refused" in text
        for text in pushed(client, "127.0.0.1:9/x", "1", LOGIN)
    )
    assert any(
        "sandbox's registry only" in text for text in pushed(client, "example.com/x", "1", LOGIN)
    )


def test_login_asks_the_registry(images: ImagePlatform) -> None:
    """A good token logs in; an expired one is refused in dockerd's words."""
    client = images.client()
    assert (
        client.login("AWS", "a-token", registry=images.registry, reauth=True)["Status"]
        == "Login Succeeded"
    )
    said = refused(client.login, "AWS", "old", registry=images.registry, reauth=True)
    assert (
        said
        == f"500: login attempt to http://{images.registry}/v2/ failed with status: 403 Forbidden"
    )


def test_a_pull_brings_back_what_was_pushed(images: ImagePlatform) -> None:
    """A removed image comes back from the registry with the same id; what ECR has not is not
    found.
    """
    image = images.shipped("FROM sandbox/python:3\nCOPY app.py /\n", FILES, "1")
    client = images.client()
    identity = client.images.get(image).id
    client.images.remove(image)
    assert client.images.pull(image, auth_config=LOGIN).id == identity
    repository = image.rpartition(":")[0]
    said = refused(client.images.pull, repository, tag="gone", auth_config=LOGIN)
    assert (
        said == f"404: manifest for {repository}:gone not found: manifest unknown: Requested image "
        f"not found"
    )


def test_images_survive_a_restart(tmp_path: Path) -> None:
    """After `down` and `up` the engine and the registry know what they knew."""
    images = ImagePlatform(tmp_path).up()
    image = images.shipped("FROM scratch\nCOPY app.py /\n", FILES, "1")
    identity = images.client().images.get(image).id
    images.down()
    images.up()
    assert images.client().images.get(image).id == identity
    assert images.client().images.pull(image, auth_config=LOGIN).id == identity
    images.down()
