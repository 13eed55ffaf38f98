"""Content of a commit that `git archive` leaves out: submodules and Git LFS files.

A submodule is exported from its own checkout, and an LFS file from the local LFS store. What this
machine does not have is named beforehand, instead of building an image without it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote

from ops.core.errors import ConfigError
from ops.tools.facts import AbsentContent
from ops.tools.git_program import git, git_output

_POINTER = "version https://git-lfs.github.com/spec/v1"
_OBJECT_ID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.M)
_POINTER_SIZE = 1024  # bytes; a longer file is no pointer


@dataclass(frozen=True)
class Submodule:
    """A submodule of a commit: its path in the checkout and its pinned commit."""

    path: str
    commit: str


def submodules(top: Path, commit: str, folder: str) -> tuple[Submodule, ...]:
    """The submodules below `folder` ("" for all) at `commit`."""
    words = ["--", folder] if folder else []
    listed = git_output(top, "--literal-pathspecs", "ls-tree", "-r", "-z", commit, *words)
    entries = (
        line.partition("\t")
        for line in listed.strip("\n").split("\0")
        if line.startswith("160000 ")
    )
    return tuple(Submodule(path, head.split()[2]) for head, _, path in entries)


def lfs_files(top: Path, commit: str, folder: str) -> tuple[str, ...]:
    """The files below `folder` at `commit` that are pointers of Git LFS."""
    words = ["--", folder] if folder else []
    grep = ("--literal-pathspecs", "grep", "-l", "-z", "-F", "--no-recurse-submodules")
    found = git_output(top, *grep, "-e", _POINTER, commit, *words, ok_codes=(0, 1))
    paths = [name.removeprefix(f"{commit}:") for name in found.strip("\n").split("\0") if name]
    return tuple(path for path in paths if _object_id(top, commit, path))


def absent_content(top: Path, commit: str, folder: str) -> AbsentContent:
    """The submodules and LFS files that this machine does not have, with those in submodules."""
    missing_modules, missing_files = [], []
    for path, repository, at, below in _repositories(top, commit, folder):
        if not has_commit(repository, at):
            missing_modules.append(path)
            continue
        for name in lfs_files(repository, at, below):
            if lfs_object(repository, _object_id(repository, at, name)) is None:
                missing_files.append(str(PurePosixPath(path) / name))
    return AbsentContent(tuple(missing_modules), tuple(missing_files))


def _repositories(
    top: Path, commit: str, folder: str, path: str = ""
) -> Iterator[tuple[str, Path, str, str]]:
    """The checkout and its submodules: path, folder on disk, commit, and the part that is read."""
    yield path, top, commit, folder
    if not has_commit(top, commit):
        return
    for each in submodules(top, commit, folder):
        inside = str(PurePosixPath(path) / each.path)
        yield from _repositories(top / each.path, each.commit, "", inside)


def has_commit(repository: Path, commit: str) -> bool:
    """Whether `repository` is the root of a checkout that has `commit`."""
    if not (repository / ".git").exists():
        return False
    found = git(repository, "rev-parse", "-q", "--verify", f"{commit}^{{commit}}")
    return found.stdout.strip() == commit


def _object_id(top: Path, commit: str, path: str) -> str:
    """The object id in an LFS pointer; "" if the file is not one."""
    text = git_output(top, "cat-file", "blob", f"{commit}:{path}").encode()
    found = _OBJECT_ID.search(text)
    is_pointer = text.startswith(_POINTER.encode()) and len(text) <= _POINTER_SIZE
    return found[1].decode() if found and is_pointer else ""


def lfs_object(top: Path, object_id: str) -> Path | None:
    """The file of an LFS object in the local store, or None."""
    common = git_output(top, "rev-parse", "--git-common-dir").strip()
    file = top / common / "lfs" / "objects" / object_id[:2] / object_id[2:4] / object_id
    return file if file.is_file() else None


def fill_lfs_files(top: Path, commit: str, folder: str, into: Path, at: int) -> None:
    """Replace the pointers in an exported tree. Raises ConfigError for an object that is missing.

    Where git's own LFS filter is installed, `git archive` has exported the content already.
    """
    for name in lfs_files(top, commit, folder):
        file = into / PurePosixPath(name).relative_to(folder or ".")
        if not file.is_file() or file.is_symlink() or not _is_pointer(file):
            continue
        stored = lfs_object(top, _object_id(top, commit, name))
        if stored is None:
            raise lfs_error(top, name)
        mode = file.stat().st_mode
        shutil.copyfile(stored, file)
        file.chmod(mode)
        os.utime(file, (at, at))


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_POINTER)) == _POINTER.encode()


def submodule_error(top: Path, path: str) -> ConfigError:
    return ConfigError(
        f"submodule {path} of {top}",
        "it is not checked out, or lacks the commit that is pinned; the image would be built "
        "without it",
        f"git -C {quote(str(top))} submodule update --init --recursive {quote(path)}",
    )


def lfs_error(top: Path, path: str) -> ConfigError:
    return ConfigError(
        f"Git LFS file {path} of {top}",
        "its content is not on this machine; the image would get the pointer instead",
        f"git -C {quote(str(top))} lfs pull, or export-ignore it in .gitattributes",
    )
