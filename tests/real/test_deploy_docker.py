"""`inv sandbox.up --engine docker` and `inv backend.deploy` on a real Docker engine, as a user runs
them.

The engine builds, pushes through the registry front and runs every task as a container. One sandbox
for all tests, in this order: the later ones hurt it, and the last takes it down."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox.runtime.containers import ROOT_LABEL, TASK_LABEL
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.real.engine_names import names
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("docker"), pytest.mark.timeout(240)]
CLUSTER = "dev-davidshaevel-cluster"


@pytest.fixture(scope="module")
def docked(real: Any, new_checkout: Callable[[str], Checkout]) -> Iterator[Checkout]:
    """A checkout whose sandbox is up on the real engine."""
    checkout = new_checkout("docked")
    up = checkout.inv("sandbox.up", "--rollout", "ecs", "--engine", "docker")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield checkout
    finally:
        checkout.inv("sandbox.down", "--purge")


def containers(real: Any, checkout: Checkout, service: str = "") -> list[Any]:
    """This sandbox's containers, ended ones too."""
    found = real.containers.list(
        all=True,
        ignore_removed=True,
        filters={"label": f"{ROOT_LABEL}={(checkout.root / '.sandbox').resolve()}"},
    )
    return [each for each in found if service in each.attrs["Config"]["Image"]]


def healed(real: Any, checkout: Checkout, gone: str) -> bool:
    """Whether two backends run and the container `gone` is not one of them."""
    running = [
        each.id for each in containers(real, checkout, "backend") if each.status == "running"
    ]
    return len(running) == 2 and gone not in running


def dockerfile(checkout: Checkout, run: str) -> str:
    """The backend's Dockerfile with one more line, after its files were copied."""
    lines = world.git(checkout, "show", "main~0:backend/Dockerfile").splitlines()
    kept = [line for line in lines if not line.startswith("RUN ")]
    kept.insert(kept.index("COPY . .") + 1, f"RUN {run}")
    return "\n".join(kept) + "\n"


def test_without_docker_it_says_so_and_what_to_do(
    real: Any, new_checkout: Callable[[str], Checkout], tmp_path: Path
) -> None:
    """No engine at DOCKER_HOST: exit 1, three lines, nothing left running; the same sandbox then
    comes up without it.
    """
    checkout = new_checkout("undocked")
    try:
        for where, why in (
            (f"unix://{tmp_path}/none.sock", "it is not running: there is no unix://"),
            ("tcp://192.0.2.1:2375", "is another machine, and the tasks need this one's loopback"),
        ):
            done = checkout.inv(
                "sandbox.up", "--rollout", "ecs", "--engine", "docker", DOCKER_HOST=where
            )
            error = done.stderr[done.stderr.index("error:") :].splitlines()
            assert (done.returncode, len(error)) == (1, 3), done.stderr
            assert (
                why in error[1]
                and error[2] == " next: start Docker, or `inv sandbox.up` without --engine docker"
            )
        status = checkout.document("sandbox.status")
        assert (status["ready"], status["pid"]) == (False, None)
    finally:
        checkout.inv("sandbox.down", "--purge")


def test_up_means_four_containers_and_again_changes_nothing(real: Any, docked: Checkout) -> None:
    """Two tasks of each service, as containers; a second `up` is a no-op with or without the
    engine's name; another engine is refused.
    """
    status = docked.document("sandbox.status")
    assert (status["ready"], status["engine"]) == (True, "docker")
    assert (
        status["endpoints"]["docker"]
        == world.overlay(docked)["engine"]
        == os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    )
    before = {each.id for each in containers(real, docked)}
    assert len(before) == 4 and {each.status for each in containers(real, docked)} == {"running"}
    for words in (("--engine", "docker"), ()):
        assert "the sandbox is already up" in docked.inv("sandbox.up", *words).stderr
    other = docked.inv("sandbox.up", "--engine", "process")
    assert other.returncode == 3 and "error: the sandbox is up with engine docker" in other.stderr
    assert {each.id for each in containers(real, docked)} == before


def test_a_commit_becomes_containers_of_its_image(real: Any, docked: Checkout) -> None:
    """A Dockerfile with RUN, which only a real engine takes: proven, no failed request, and the
    tasks run the digest that was pushed.
    """
    files = {"backend/Dockerfile": dockerfile(docked, 'python3 -c "print(6 * 7)" > made.txt')}
    tag = world.commit(docked, files, "A new version, with a step of its own")
    with world.client(world.overlay(docked)["site"]) as client:
        process = docked.inv("backend.deploy", "--json", "--verbose")
    done = json.loads(process.stdout)
    assert (done["verdict"], done["tag"], client.failed) == ("succeeded", tag, []), process.stderr
    assert client.asked > 50 and world.version(docked) == tag
    running = containers(real, docked, "backend")
    assert [
        each.exec_run(["python3", "-c", "print(open('/app/made.txt').read())"]).output.strip()
        for each in running
    ] == [b"42", b"42"]
    digests = {
        digest.partition("@")[2] for each in running for digest in each.image.attrs["RepoDigests"]
    }
    assert digests == {done["digest"]}
    said = process.stderr.splitlines()
    assert any(line.strip().startswith("Step 4/11 : RUN python3") for line in said)
    assert any(line.endswith(": Pushed") for line in said) and not [
        line for line in said if '{"' in line
    ]


def test_a_build_that_fails_shows_its_own_lines(docked: Checkout) -> None:
    """Exit 1 with the step and what its command said; the service is as it was."""
    before = world.service(docked)["taskDefinition"]
    run = "echo compiling; echo 'error: no such module foo' >&2; exit 3"
    world.commit(docked, {"backend/Dockerfile": dockerfile(docked, run)}, "Does not build")
    failed = docked.inv("backend.deploy")
    error = failed.stderr[failed.stderr.index("\nerror:") :]
    assert failed.returncode == 1 and f"failed at Step 4/11 : RUN {run}" in error
    assert (
        "compiling" in error
        and "error: no such module foo" in error
        and "returned a non-zero code: 3" in error
    )
    assert world.service(docked)["taskDefinition"] == before
    world.revert(docked)


def test_a_tag_that_was_pushed_meanwhile_is_refused_by_the_engine_s_push(docked: Checkout) -> None:
    """Somebody pushes the same tag while we build: exit 3, ECR's own reason, and nothing is rolled
    out.
    """
    before = world.service(docked)["taskDefinition"]
    ecr, name = world.aws(docked, "ecr"), "davidshaevel/backend"
    [theirs] = ecr.batch_get_image(
        repositoryName=name, imageIds=[{"imageTag": world.version(docked)}]
    )["images"]
    tag = world.commit(
        docked,
        {"backend/Dockerfile": dockerfile(docked, "echo building; sleep 3")},
        "Pushed by somebody else too",
    )
    process = world.start(docked, "backend.deploy", "--verbose")
    world.read_until(process, "Step 4/")
    ecr.put_image(
        repositoryName=name,
        imageTag=tag,
        imageManifest=theirs["imageManifest"],
        imageDigest=theirs["imageId"]["imageDigest"],
    )
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert (
        "the tag exists, and the repository's tags are immutable" in said
        and f"'{tag}' already exists" in said
    )
    assert world.service(docked)["taskDefinition"] == before
    world.revert(docked)


def test_a_deploy_killed_three_times_ends_in_one_build_one_push_one_update(
    real: Any, docked: Checkout
) -> None:
    """kill -9 after the build, after the push, after UpdateService: a real engine's builds differ,
    so nothing may be built again.
    """
    tag = world.commit(docked, {"backend/NOTE": "killed"}, "Killed on its way")
    before = int(world.service(docked)["taskDefinition"].rsplit(":", 1)[1])
    for step in ("Successfully tagged", " is sha256:", "deployment ecs-svc/"):
        process = world.start(docked, "backend.deploy", "--verbose")
        said = world.read_until(process, step)
        process.kill()
        process.communicate()
        if step != "Successfully tagged":
            assert "Step 1/" not in said, said
    built = {identity for name, identity in names(real).items() if name.endswith(f"/backend:{tag}")}
    done = docked.document("backend.deploy")
    assert (done["verdict"], world.version(docked)) == ("succeeded", tag), done
    assert not {"build", "push", "register"} & {step["name"] for step in done["steps"]}
    assert {each.image.id for each in containers(real, docked, "backend")} == built and len(
        built
    ) == 1
    assert int(world.service(docked)["taskDefinition"].rsplit(":", 1)[1]) == before + 1
    assert docked.document("lock.status") == {"locks": []}


def test_an_image_that_crashes_is_diagnosed_and_taken_back(real: Any, docked: Checkout) -> None:
    """Exit 4, the container's own last words among the findings, no failed request, and no dead
    container stays.
    """
    old = world.version(docked)
    # not even a newline
    crash = "import sys\nsys.stdout.write('boom: no such setting DATABSE_URL')\nsys.exit(1)\n"
    world.commit(docked, {"backend/server.py": crash}, "A version that crashes")
    with world.client(world.overlay(docked)["site"]) as client:
        process = docked.inv("backend.deploy", "--json", "--skip", "tests")
    assert process.returncode == 4, process.stderr
    assert (
        "log of backend: boom: no such setting DATABSE_URL" in process.stderr
        and '"rolled_back"' in process.stdout
    )
    assert "DescribeTasks containers[backend].exitCode: 1" in process.stderr
    assert client.failed == [] and world.version(docked) == old
    assert [each.status for each in containers(real, docked)] == ["running"] * 4
    world.revert(docked)


def test_a_killed_container_is_replaced(real: Any, docked: Checkout) -> None:
    """kill -9 of a container's process, then `docker rm -f` of another: exit code 137, and two
    healthy tasks again.
    """
    ecs = world.aws(docked, "ecs")
    for remove in (False, True):
        until(lambda: healed(real, docked, ""))
        victim = containers(real, docked, "backend")[0]
        victim.remove(force=True) if remove else os.kill(
            victim.attrs["State"]["Pid"], signal.SIGKILL
        )
        until(partial(healed, real, docked, victim.id))
        [task] = ecs.describe_tasks(cluster=CLUSTER, tasks=[victim.labels[TASK_LABEL]])["tasks"]
        assert (task["stopCode"], task["containers"][0]["exitCode"]) == (
            "EssentialContainerExited",
            137,
        )


def test_a_killed_supervisor_leaves_containers_that_up_sweeps(real: Any, docked: Checkout) -> None:
    """After kill -9 of the supervisor a plain `up` heals with the same engine: the old containers
    go, the deployed version comes back.
    """
    old, before = world.version(docked), {each.id for each in containers(real, docked)}
    os.kill(docked.document("sandbox.status")["pid"], signal.SIGKILL)
    until(lambda: docked.document("sandbox.status")["state"] == "dead")
    assert {each.id for each in containers(real, docked)} == before
    up = docked.inv("sandbox.up")
    assert up.returncode == 0 and "engine docker" in up.stdout, up.stderr
    after = {each.id for each in containers(real, docked)}
    assert len(after) == 4 and not after & before and world.version(docked) == old


def test_down_leaves_no_container_and_purge_no_image(real: Any, docked: Checkout) -> None:
    """`sandbox.down` takes the containers away, `--purge` the images of this sandbox; the shared
    base stays.
    """
    registry = docked.document("sandbox.status")["endpoints"]["registry"]
    assert docked.inv("sandbox.down").returncode == 0 and containers(real, docked) == []
    assert [name for name in names(real) if name.startswith(registry)]
    assert docked.inv("sandbox.down", "--purge").returncode == 0
    left = names(real)
    assert not [name for name in left if name.startswith(registry)] and "sandbox/python:3" in left
