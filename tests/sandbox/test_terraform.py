"""Who rolls out in a sandbox: found out by trying, said in one line, and never in the way of the
sandbox.
"""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from ops.core.errors import Refused
from ops.sandbox import lifecycle
from ops.sandbox.contracts import Paths
from ops.sandbox.keys import Key
from ops.sandbox.sample import make_checkout
from ops.sandbox.seed.clients import Clients
from ops.sandbox.terraform import DIRECTORY, place, rollout_probe
from ops.sandbox.terraform.rollout_probe import Rollout, RolloutProbe, first_error
from tests.sandbox.lifecycle_support import processes
from tests.waiting import until

NOWHERE = Clients("http://127.0.0.1:9", Key.random())


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    made = Paths(tmp_path_factory.mktemp("sample") / ".sandbox")
    made.root.mkdir()
    make_checkout(made)
    return made


def program(folder: Path, script: str) -> str:
    """A folder for PATH with a program named terraform."""
    (folder / "bin").mkdir()
    path = folder / "bin" / "terraform"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}"


def begun(paths: Paths, wanted: str = "auto") -> RolloutProbe:
    made: Future[None] = Future()
    made.set_result(None)
    trying = RolloutProbe(paths.platform, wanted)
    trying.begin(made)
    return trying


def tried(paths: Paths, wanted: str = "auto") -> Rollout:
    return begun(paths, wanted).result(NOWHERE)


def test_without_terraform_the_rollout_is_ecs(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says why; the environment stands in the checkout all the same, and git has nothing
    to complain of.
    """
    git = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    began = time.monotonic()
    found = tried(paths)
    assert time.monotonic() - began < 1
    assert str(found) == "rollout: ecs (not terraform: terraform is not on PATH)"
    assert found.overlay == {"rollout": "ecs"}
    monkeypatch.setenv("PATH", git)
    assert (paths.platform / DIRECTORY / "backend.tf").is_file()
    assert not list(paths.platform.rglob("trial.py"))
    assert (
        subprocess.run(
            ["git", "status", "--porcelain"],
            cwd=paths.platform,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        == ""
    )


def test_a_users_terraform_files_stay(paths: Paths) -> None:
    """What was changed in the checkout is not copied over by the next `up`."""
    file = place(paths.platform) / "backend.tf"
    text = file.read_text()
    file.write_text("# mine\n")
    place(paths.platform)
    assert file.read_text() == "# mine\n"
    file.write_text(text)


def test_ecs_when_asked_for(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried then."""
    monkeypatch.setenv("PATH", program(tmp_path, f"touch {tmp_path}/tried"))
    assert str(tried(paths, "ecs")) == "rollout: ecs (as requested)"
    assert not (tmp_path / "tried").exists()


def test_a_world_made_anew_forgets_the_last_ones_state(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the backend was, the stamp of its init and the plans saved from it are gone; the
    provider stays.
    """
    data = paths.platform / DIRECTORY / ".terraform"
    for name in ("inv/plan.tfplan", "inv/init.stamp", "terraform.tfstate", "providers/aws"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("")
    monkeypatch.setenv("PATH", program(tmp_path, "exit 0"))
    tried(paths)
    assert [path.name for path in sorted(data.rglob("*"))] == ["providers", "aws"]


def test_whatever_goes_wrong_is_a_reason_for_ecs(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An AWS endpoint that is not there, and a program that can't be run, are no reason for the
    sandbox to fail.
    """
    monkeypatch.setenv("PATH", program(tmp_path, "exit 0"))
    assert tried(paths).kind == "ecs"
    (tmp_path / "bin" / "terraform").write_text("#!/nowhere\n")
    assert tried(paths).why.startswith("not terraform: FileNotFoundError")


def test_a_provider_that_does_not_come_is_not_waited_for(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`init` has its seconds, and leaves no process."""
    monkeypatch.setenv("PATH", program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"))
    monkeypatch.setitem(rollout_probe.PATIENCE, "auto", 0.5)
    began = time.monotonic()
    assert (
        str(tried(paths))
        == "rollout: ecs (not terraform: its provider was not installed after 0.5 s)"
    )
    assert time.monotonic() - began < 5
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_sandbox_that_is_ended_meanwhile_leaves_no_init(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the provider is fetched: the child ends at once."""
    monkeypatch.setenv("PATH", program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"))
    trying = begun(paths, "terraform")
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    trying.stop()
    assert trying.result(NOWHERE).kind == "ecs"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_it_goes_through_the_users_proxy(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor itself is started without proxies; `init` gets the user's."""
    monkeypatch.setenv("PATH", program(tmp_path, f"echo $HTTPS_PROXY > {tmp_path}/proxy"))
    monkeypatch.setenv("OUTSIDE_HTTPS_PROXY", "http://proxy:3128")
    tried(paths)
    assert (tmp_path / "proxy").read_text() == "http://proxy:3128\n"


def test_the_reason_is_terraforms_own(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence after `Error:`."""
    script = (
        "echo; echo 'Error: Failed to query available provider packages'; echo; echo why; exit 1"
    )
    monkeypatch.setenv("PATH", program(tmp_path, script))
    assert (
        str(tried(paths))
        == "rollout: ecs (not terraform: Failed to query available provider packages)"
    )
    assert first_error("") == "init printed nothing"


def test_a_sandbox_that_must_be_rolled_out_by_terraform_and_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--rollout terraform` is refused with the reason (exit 3), and nothing is left."""
    folders = program(tmp_path, "echo 'Error: Failed to query available provider packages'; exit 1")
    monkeypatch.setenv("PATH", folders)
    root = tmp_path / ".sandbox"
    try:
        with pytest.raises(Refused, match="Failed to query available provider packages") as refused:
            lifecycle.up(root, rollout="terraform")
        assert refused.value.code == 3 and refused.value.next == "inv sandbox.up --rollout ecs"
        assert processes(root) == {"supervisor": [], "postgres": [], "tasks": []}
    finally:
        lifecycle.down(root, purge=True)
