"""Where the engine's socket lies, and whom it and the sandbox's files let in."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import docker
import pytest

from ops.sandbox import private
from ops.sandbox.contracts import Paths
from ops.sandbox.engine.server import serve_engine


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a short path, as XDG_RUNTIME_DIR is one."""
    folder = Path(tempfile.mkdtemp(prefix="xdg-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


def deep(tmp_path: Path) -> Paths:
    """A sandbox so far down that no socket can be bound there."""
    root = tmp_path / ("a-long-name-" * 8) / ".sandbox"
    root.mkdir(parents=True)
    return Paths(root)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_socket_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """`.sandbox/run`, mode 0700; one that others may enter, or a link to elsewhere, is refused."""
    paths = Paths(tmp_path / ".sandbox")
    paths.root.mkdir()
    found = private.socket_path(paths)
    assert found == paths.root / "run/engine.sock" and mode(found.parent) == 0o700
    found.parent.chmod(0o755)
    with pytest.raises(PermissionError):
        private.socket_path(paths)
    found.parent.rmdir()
    found.parent.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        private.socket_path(paths)


def test_a_path_that_is_too_long_for_a_socket(tmp_path: Path, short: Path) -> None:
    """The socket lies in XDG_RUNTIME_DIR, at the same place each time; docker's client reaches it;
    nothing of it stays.
    """
    paths = deep(tmp_path)
    found = private.socket_path(paths)
    assert (
        found.parent.parent == short
        and mode(found.parent) == 0o700
        and private.socket_path(paths) == found
    )
    part = serve_engine(paths.images / "engine", found)
    assert mode(found) == 0o600 and docker.DockerClient(base_url=f"unix://{found}").ping()
    part.stop()
    private.forget_socket(found)
    assert list(short.iterdir()) == []
    short.rmdir()


@pytest.mark.parametrize(
    "runtime", ["others may enter it", "it is not there", "somebody's link lies in it", "not named"]
)
def test_a_runtime_folder_that_is_not_ours_alone(
    tmp_path: Path, short: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new folder in the temporary one then, mode 0700, which is removed with the socket; what lay
    in the way is left alone.
    """
    paths = deep(tmp_path)
    if runtime == "others may enter it":
        short.chmod(0o755)
    elif runtime == "it is not there":
        short.rmdir()
    elif runtime == "somebody's link lies in it":
        folder = private.socket_path(paths).parent
        folder.rmdir()
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    found = private.socket_path(paths)
    assert found.parent.parent != short and mode(found.parent) == 0o700
    private.forget_socket(found)
    assert not found.parent.exists()


def test_a_path_that_no_url_can_hold(tmp_path: Path, short: Path) -> None:
    """`#`, `?` or `%` in the checkout's path: clients would cut the address there."""
    paths = Paths(tmp_path / "a#b?c%20" / ".sandbox")
    paths.root.mkdir(parents=True)
    assert private.socket_path(paths).parent.parent == short


def test_what_lies_in_the_sandbox_is_its_owners(tmp_path: Path) -> None:
    """Whatever the umask was: no right of others on the files and folders of `.sandbox`, but for
    root's passage to PostgreSQL's data.
    """
    paths = Paths(tmp_path / ".sandbox")
    for folder in (paths.root, paths.logs, paths.postgres):
        folder.mkdir()
        folder.chmod(0o777)
    (paths.root / "services.json").write_text("{}")
    (paths.root / "services.json").chmod(0o666)
    private.seal(paths)
    assert mode(paths.root) == (0o711 if os.geteuid() == 0 else 0o700)
    assert (mode(paths.logs), mode(paths.root / "services.json")) == (0o700, 0o600)
