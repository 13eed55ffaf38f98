"""Who rolls out in a sandbox: found out by trying, said in one line, and never in the way of the sandbox."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ops.sandbox.contracts import Paths, Ports
from ops.sandbox.sample import make_checkout
from ops.sandbox.terraform import DIRECTORY, first_error, place, prepare, try_init

PORTS = Ports(aws=1, registry=2, engine=3, site=4, alb=5, database=6)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / ".sandbox")
    made.root.mkdir()
    make_checkout(made)
    return made


def program(folder: Path, script: str) -> str:
    """A program named terraform."""
    folder.mkdir()
    path = folder / "terraform"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_without_terraform_the_rollout_is_ecs(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says why; the environment stands in the checkout all the same, and git has nothing to complain of."""
    git = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    began = time.monotonic()
    found = prepare(paths, PORTS)
    assert time.monotonic() - began < 1
    assert str(found) == "rollout: ecs (not terraform: there is no terraform on PATH)"
    assert found.overlay == {"rollout": "ecs"}
    monkeypatch.setenv("PATH", git)
    assert (paths.platform / DIRECTORY / "backend.tf").is_file()
    assert not list(paths.platform.rglob("__init__.py"))
    assert subprocess.run(["git", "status", "--porcelain"], cwd=paths.platform, capture_output=True, text=True, check=True).stdout == ""


def test_a_users_terraform_files_stay(paths: Paths) -> None:
    """What was changed in the checkout is not copied over by the next `up`."""
    file = place(paths.platform) / "backend.tf"
    file.write_text("# mine\n")
    place(paths.platform)
    assert file.read_text() == "# mine\n"


def test_ecs_when_asked_for(paths: Paths) -> None:
    """Nothing is tried then."""
    assert str(prepare(paths, PORTS, wanted="ecs")) == "rollout: ecs (as asked)"


def test_whatever_goes_wrong_is_a_reason_for_ecs(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS endpoint that is not there is no reason for the sandbox to fail."""
    program(tmp_path / "bin", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert prepare(paths, PORTS).kind == "ecs"


def test_a_provider_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    """`init` has its seconds, and leaves no process."""
    terraform = program(tmp_path / "bin", f"echo $$ > {tmp_path}/pid; sleep 60")
    began = time.monotonic()
    assert try_init(terraform, tmp_path, 0.5) == "its provider was not here after 0.5 s"
    assert time.monotonic() - began < 5
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_reason_is_terraforms_own(tmp_path: Path) -> None:
    """The sentence after `Error:`."""
    terraform = program(tmp_path / "bin", "echo; echo 'Error: Failed to query available provider packages'; echo; echo why; exit 1")
    assert try_init(terraform, tmp_path, 5) == "Failed to query available provider packages"
    assert first_error("") == "init said nothing"
