"""A release with nothing emulated that can be had: a Docker engine, a registry behind ECR's front,
Terraform with the AWS provider.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from ops.sandbox.registry import oci
from ops.sandbox.runtime.containers import ROOT_LABEL
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.real.registry_ground import registry
from tests.real.terraform_team import Team, team

pytestmark = [pytest.mark.xdist_group("docker"), pytest.mark.timeout(300)]
REPOSITORY = "davidshaevel/backend"


@pytest.fixture(scope="module")
def behind(require: Any, real: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require("terraform")
    with registry(require("registry"), tmp_path_factory.mktemp("registry")) as place:
        yield place


@pytest.fixture(scope="module")
def owned(
    behind: str, new_checkout: Callable[[str], Checkout], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    """A checkout whose sandbox has all three."""
    checkout = new_checkout("whole")
    try:
        yield team(
            checkout, tmp_path_factory.mktemp("mirror"), "--engine", "docker", "--registry", behind
        )
    finally:
        checkout.inv("sandbox.down", "--purge")


def kept(behind: str, reference: str) -> str:
    """The digest that the registry itself has for a tag of the backend."""
    answer = httpx.head(
        f"http://{behind}/v2/{REPOSITORY}/manifests/{reference}",
        headers={"Accept": oci.DOCKER_MANIFEST},
        trust_env=False,
    )
    return str(answer.headers["Docker-Content-Digest"])


def running(real: Any, checkout: Checkout) -> set[str]:
    """Digests of the images that the backend's containers run."""
    found = real.containers.list(
        ignore_removed=True,
        filters={"label": f"{ROOT_LABEL}={(checkout.root / '.sandbox').resolve()}"},
    )
    images = [each.image for each in found if "/backend" in each.attrs["Config"]["Image"]]
    return {digest.partition("@")[2] for image in images for digest in image.attrs["RepoDigests"]}


def test_without_the_registry_it_says_so_and_what_to_do(
    real: Any, new_checkout: Callable[[str], Checkout]
) -> None:
    """Nobody at that address: exit 1, three lines, nothing left running."""
    checkout = new_checkout("unregistered")
    done = checkout.inv(
        "sandbox.up", "--rollout", "ecs", "--engine", "docker", "--registry", "127.0.0.1:1"
    )
    error = done.stderr[done.stderr.index("error:") :].splitlines()
    assert (done.returncode, len(error)) == (1, 3), done.stderr
    assert "no registry at 127.0.0.1:1" in error[0] and "Connection refused" in error[1]
    assert error[2] == " next: start it, or `inv sandbox.up` without --registry"
    assert checkout.document("sandbox.status")["pid"] is None
    checkout.inv("sandbox.down", "--purge")


def test_a_release_on_real_parts(real: Any, behind: str, owned: Team) -> None:
    """Built and pushed by the engine, kept by the registry, told to ECR, rolled out by Terraform:
    one digest, no failed request.
    """
    tag = world.commit(owned.checkout, {"backend/NOTE": "whole"}, "On real parts")
    with world.client(world.overlay(owned.checkout)["site"]) as someone:
        document = owned.document("backend.deploy")
    assert (document["verdict"], document["tag"], someone.failed) == ("succeeded", tag, []), (
        document
    )
    assert [step["name"] for step in document["steps"]] == [
        "tf-check",
        "build",
        "push",
        "tf-plan",
        "tf-apply",
        "watch",
        "prove",
    ]
    [detail] = world.aws(owned.checkout, "ecr").describe_images(
        repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}]
    )["imageDetails"]
    assert kept(behind, tag) == detail["imageDigest"] == document["digest"]
    assert (
        running(real, owned.checkout) == {document["digest"]}
        and world.version(owned.checkout) == tag
    )
    assert owned.document("tf.plan")["changes"] == [] and owned.document("lock.status") == {
        "locks": []
    }


def test_a_failing_image_is_undone_there(real: Any, behind: str, owned: Team) -> None:
    """Exit 4 with the container's last words; a second plan brings the old image back, which the
    engine pulls from the registry.
    """
    old, before = world.version(owned.checkout), running(real, owned.checkout)
    tag = world.commit(owned.checkout, {"backend/server.py": world.CRASH}, "Crash")
    with world.client(world.overlay(owned.checkout)["site"]) as someone:
        done = owned.inv("backend.deploy", "--skip", "tests")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "by a second plan" in done.stderr and "boom: no such setting" in done.stderr
    assert (someone.failed, world.version(owned.checkout)) == ([], old)
    assert running(real, owned.checkout) == before == {kept(behind, old)} != {kept(behind, tag)}
    assert owned.document("tf.plan")["changes"] == []


def test_a_killed_sandbox_comes_back_with_what_the_registry_holds(behind: str, owned: Team) -> None:
    """A plain `up` keeps to the registry; the deployed version starts without being built; another
    registry is refused while it is up.
    """
    old = world.version(owned.checkout)
    assert owned.checkout.document("sandbox.status")["registry"] == behind
    other = owned.inv("sandbox.up", "--registry", "127.0.0.1:1")
    assert other.returncode == 3 and f"the sandbox is up with registry {behind}" in other.stderr
    os.kill(owned.checkout.document("sandbox.status")["pid"], signal.SIGKILL)
    up = owned.inv("sandbox.up")
    assert up.returncode == 0 and "images from disk" in up.stdout + up.stderr, up.stderr
    assert (
        world.version(owned.checkout) == old
        and owned.checkout.document("sandbox.status")["registry"] == behind
    )
