"""What goes wrong before, or beside, a deploy: each has its three lines and its exit code, and
leaves nothing half-done.
"""

from __future__ import annotations

import copy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
Broken = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def elsewhere(platform: Checkout, tmp_path: Path) -> Broken:
    """`inv WORDS` in an environment like the sandbox's, with some keys changed:
    `{"database.secret": "x"}`.
    """

    def run(
        changes: dict[str, Any], *words: str, **environment: Any
    ) -> subprocess.CompletedProcess[str]:
        shipped = yaml.safe_load((platform.root / "invoke.yaml").read_text())["environments"][
            "sandbox"
        ]
        values = {**copy.deepcopy(shipped), **world.overlay(platform)}
        values["database"] = {**shipped["database"], **world.overlay(platform).get("database", {})}
        for path, value in changes.items():
            *sections, key = path.split(".")
            inner = values
            for section in sections:
                inner = inner[section]
            inner[key] = value
        over, file = tmp_path / "over.yaml", tmp_path / "elsewhere.yaml"
        over.write_text(yaml.safe_dump({key: values[key] for key in ("aws", "services")}))
        kept = {key: value for key, value in values.items() if key not in ("aws", "overlay")}
        file.write_text(
            yaml.safe_dump(
                {"env": "elsewhere", "environments": {"elsewhere": {**kept, "overlay": str(over)}}}
            )
        )
        return platform.inv("-f", str(file), *words, **environment)

    return run


def three_lines(said: str) -> None:
    assert (
        "error: " in said and "  why: " in said and " next: " in said and "Traceback" not in said
    ), said


@pytest.mark.parametrize("tag", ["; rm -rf /", "--flag", "a\nb", "$(id)", "x" * 200, "../up", ""])
def test_a_hostile_tag_is_no_tag(platform: Checkout, tag: str) -> None:
    """Nothing but an image tag is taken for one: exit 2, and what was found is shown quoted."""
    done = platform.inv("backend.deploy", f"--tag={tag}")
    assert done.returncode == 2, done.stderr
    three_lines(done.stderr)


def test_a_tag_that_ecr_lacks_is_refused(platform: Checkout) -> None:
    """`--tag` never builds: absent from ECR is exit 3."""
    done = platform.inv("backend.deploy", "--tag", "never-pushed")
    assert done.returncode == 3 and "never-pushed" in done.stderr
    three_lines(done.stderr)


def test_a_dirty_tree_is_refused_and_can_be_skipped_by_name(platform: Checkout) -> None:
    """An uncommitted file is exit 3 and names --skip; with it the commit itself is what would be
    built.
    """
    (world.source(platform) / "backend/uncommitted.txt").write_text("x")
    try:
        done = platform.inv("backend.deploy")
        assert (
            done.returncode == 3
            and "git-clean" in done.stderr
            and "--skip git-clean" in done.stderr
        )
        three_lines(done.stderr)
        assert platform.inv("backend.deploy", "--plan", "--skip", "git-clean").returncode == 0
    finally:
        (world.source(platform) / "backend/uncommitted.txt").unlink()


def test_an_unknown_check_names_the_nearest(platform: Checkout) -> None:
    """`--skip git-claen` is exit 2, not a check that silently runs."""
    done = platform.inv("backend.deploy", "--skip", "git-claen")
    assert done.returncode == 2 and "git-clean" in done.stderr


def test_no_git_is_said(platform: Checkout, tmp_path: Path) -> None:
    """Without git on PATH the deploy is refused and says how to get it."""
    done = platform.inv("backend.deploy", PATH=str(tmp_path))
    assert done.returncode == 3 and "git" in done.stderr
    three_lines(done.stderr)


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"services.backend.repository": "davidshaevel/none"}, "repository"),
        ({"services.backend.ecs_service": "none-such"}, "service"),
        ({"cluster": "none-such"}, "none-such"),
        ({"services.backend.container": "web"}, "container"),
        ({"account": "999999999999"}, "credentials"),
        ({"engine": "tcp://127.0.0.1:9"}, "engine"),
        (
            {"aws": {"endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"}},
            "credentials",
        ),
        ({"source": "/nonexistent"}, "/nonexistent"),
    ],
)
def test_a_world_that_does_not_fit_is_refused(
    platform: Checkout, elsewhere: Broken, changes: dict[str, Any], check: str
) -> None:
    """A missing repository, service or cluster, another account, an engine or AWS that is down:
    exit 3, named, and nothing changed.
    """
    world.commit(platform, {"backend/NOTE": "not deployed"}, "Not to be deployed")
    before = world.service(platform)
    done = elsewhere(changes, "backend.deploy")
    assert done.returncode == 3, done.stdout + done.stderr
    assert check in done.stderr.split("error: ", 1)[1]
    three_lines(done.stderr)
    assert world.service(platform)["taskDefinition"] == before["taskDefinition"]


@pytest.mark.parametrize(
    ("dockerfile", "says"),
    [
        ("FROM sandbox/python:3\nRUN apt-get update\n", "RUN"),
        ("FROM sandbox/python:3\nCOPY nowhere .\n", "nowhere"),
        ("FROM sandbox/python:3\nFOO bar\n", "FOO"),
        ("FROM nobody/has-this:1\n", "nobody/has-this"),
    ],
)
def test_a_dockerfile_that_fails_shows_its_own_lines(
    platform: Checkout, dockerfile: str, says: str
) -> None:
    """The engine's own error is shown, exit 1; nothing is pushed, registered or changed."""
    tag = world.commit(platform, {"backend/Dockerfile": dockerfile}, "A Dockerfile that fails")
    before = world.service(platform)
    done = platform.inv("backend.deploy")
    world.revert(platform)
    assert done.returncode == 1, done.stderr
    assert says in done.stderr.split("error: ", 1)[1]
    three_lines(done.stderr)
    assert world.service(platform)["deployments"][0]["id"] == before["deployments"][0]["id"]
    pushed = world.aws(platform, "ecr").list_images(repositoryName="davidshaevel/backend")[
        "imageIds"
    ]
    assert tag not in {image.get("imageTag") for image in pushed}


def test_a_full_disk_is_said(platform: Checkout, tmp_path: Path) -> None:
    """The build context cannot be written: exit 1 with three lines, and nothing is left in the
    temporary folder.
    """
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=64k none '{small}'"
    probe = _in_own_mounts(mount)
    if probe.returncode != 0:  # an ordinary user, or a container that may not mount
        pytest.skip(f"no file system of its own here: {probe.stderr.strip()}")
    world.commit(platform, {"backend/BIG": "x" * 200_000}, "Larger than the disk")
    inv = f"{sys.executable} -m invoke --search-root '{platform.root}' backend.deploy"
    done = _in_own_mounts(
        f"{mount} && cd '{platform.root}' && TMPDIR='{small}' {inv}; "
        f"code=$?; ls -A '{small}'; exit $code"
    )
    world.revert(platform)
    assert done.returncode == 1, done.stderr
    assert "No space left" in done.stderr
    three_lines(done.stderr)
    assert done.stdout.strip() == ""


def _in_own_mounts(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with mounts that end with it."""
    return subprocess.run(
        ["sh", "-c", f"unshare -m sh -c {shlex.quote(script)}"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unknown_environment_and_service(platform: Checkout) -> None:
    """`INVOKE_ENV=prod` is exit 2; a service that no environment has is Invoke's own "no idea"."""
    done = platform.inv("backend.deploy", INVOKE_ENV="prod")
    assert done.returncode == 2 and "'prod'" in done.stderr
    assert platform.inv("worker.deploy").returncode == 1


def test_before_the_sandbox_is_up(new_checkout: Callable[[str], Checkout]) -> None:
    """Without `sandbox.up` first, the error says to type it."""
    done = new_checkout("down").inv("backend.deploy")
    assert done.returncode == 2 and "inv sandbox.up" in done.stderr
    three_lines(done.stderr)
