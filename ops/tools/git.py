"""git, by its own program: the state of the application's checkout, and the files of exactly one
commit.

What is built is taken out of the commit (`git archive`), never out of the working tree: what nobody
committed can't get into an image. Submodules and Git LFS objects are not in an archive;
`.gitattributes` (export-ignore, export-subst) applies."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from ops.core import ui
from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import one_line
from ops.tools import shell
from ops.tools.facts import Checkout, Commit
from ops.tools.tar import extract

_TIMEOUT = 60.0
_SUBJECT_LIMIT = 400
DETACHED = "(detached)"
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][^\s~^:?*\[\\]*")
_PLAIN = ("-c", "core.quotePath=false", "-c", "color.ui=false", "-c", "log.showSignature=false")


def checkout(path: Path, branch: str, remote: str) -> Checkout:
    """The checkout at `path`: its branch, what is not committed (untracked files too), its commit,
    and whether that is pushed.

    `pushed` compares with the remote's branch as last fetched; None: never fetched. Nothing is
    written. Raises ConfigError."""
    top = toplevel(path)
    for name in (branch, remote):
        _refuse_unsafe(name, "branch or remote")
    full, short, subject, at = (
        _git_output(top, "log", "-1", "--encoding=UTF-8", "--format=%H%x00%h%x00%s%x00%cI", "HEAD")
        .strip("\n")
        .split("\0")
    )
    subject = one_line(ui.plain(subject), limit=_SUBJECT_LIMIT)
    head = git(
        top, "symbolic-ref", "-q", "HEAD"
    ).stdout.strip()  # in full: with a tag of that name, --short says heads/main
    on = head.removeprefix("refs/heads/") or DETACHED
    changes = _git_output(top, "status", "--porcelain", "--untracked-files=normal").splitlines()
    return Checkout(
        on,
        tuple(changes),
        _pushed(top, f"refs/remotes/{remote}/{branch}"),
        Commit(full, short, subject, at, _source(top, remote)),
    )


def archive(path: Path, commit: str, subdirectory: str, into: Path) -> None:
    """The files of `subdirectory` ("." for all, relative to `path`) as `commit` has them, put into
    the folder `into`.

    Every file has the commit's time, so that equal commits give equal images. Raises ConfigError
    where commit or subdirectory isn't there."""
    top = toplevel(path)
    full = resolved(top, commit)
    folder = _join_inside(_git_output(path, "rev-parse", "--show-prefix").strip(), subdirectory)
    if folder and git(top, "cat-file", "-t", f"{full}:{folder}").stdout.strip() != "tree":
        raise ConfigError(
            f"folder {folder} in commit {full[:7]} of {top}",
            "the commit has no such folder",
            "commit it, or correct `context` (relative to `source`) in invoke.yaml",
        )
    at = int(_git_output(top, "log", "-1", "--format=%ct", full))
    with tempfile.TemporaryDirectory(prefix="archive-") as scratch:
        file = Path(scratch, "commit.tar")
        _git_output(
            top,
            "archive",
            "--format=tar",
            "-o",
            str(file),
            full,
            *(["--", folder] if folder else []),
        )
        extract(file, folder, into, at)


def below(source: Path, folder: Path) -> str:
    """Where `folder` lies in the checkout that `source` lies in, "" for its root; "" too where it
    lies in a checkout of its own.
    """
    return (
        _git_output(folder, "rev-parse", "--show-prefix").strip()
        if toplevel(folder) == toplevel(source)
        else ""
    )


def tracked(folder: Path, paths: Iterable[Path]) -> frozenset[Path]:
    """Those of `paths` that git has in the checkout of `folder`; never one outside of it."""
    top = toplevel(folder).resolve()
    inside = {
        str(path.resolve().relative_to(top)): path
        for path in paths
        if path.resolve().is_relative_to(top)
    }
    if not inside:
        return frozenset()
    found = _git_output(top, "--literal-pathspecs", "ls-files", "-z", "--", *inside).split("\0")
    return frozenset(inside[name] for name in found if name in inside)


def toplevel(path: Path) -> Path:
    """The root of the checkout that `path` lies in. Raises ConfigError: no folder, no repository,
    somebody else's, no commit yet.
    """
    if not path.is_dir():
        raise ConfigError(
            f"checkout {path}",
            "there is no such folder",
            f"git clone … {path}, or correct `source` in invoke.yaml",
        )
    top = Path(_git_output(path, "rev-parse", "--show-toplevel").rstrip("\n"))
    if git(top, "rev-parse", "--verify", "-q", "HEAD^{commit}").exit_code:
        raise ConfigError(f"checkout {top}", "it has no commit yet", "git commit")
    return top


def resolved(top: Path, commit: str) -> str:
    _refuse_unsafe(commit, "commit")
    found = git(top, "rev-parse", "--verify", "-q", f"{commit}^{{commit}}")
    if found.exit_code:
        raise ConfigError(
            f"commit {commit} in {top}",
            "there is no such commit here",
            "git fetch, or name another one",
        )
    return found.stdout.strip()


def _pushed(top: Path, reference: str) -> bool | None:
    if git(top, "rev-parse", "--verify", "-q", f"{reference}^{{commit}}").exit_code:
        return None
    return git(top, "merge-base", "--is-ancestor", "HEAD", reference).exit_code == 0


def _source(top: Path, remote: str) -> str:
    """The remote's address for a label of the image: without user, password, token or query; ""
    where there is no such remote.
    """
    return _without_credentials(git(top, "remote", "get-url", remote).stdout.strip())


def _without_credentials(address: str) -> str:
    if "://" not in address:
        return address  # a folder, or git@host:path, which holds no password
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _join_inside(prefix: str, subdirectory: str) -> str:
    """`subdirectory` below `prefix` as git names it, "" for the whole tree. Raises ConfigError for
    one that leads outside.
    """
    asked = PurePosixPath(subdirectory)
    if asked.is_absolute() or ".." in asked.parts or "\0" in subdirectory:
        raise ConfigError(
            f"folder {subdirectory!r}",
            "it leads out of the checkout",
            "correct `context` (relative to `source`) in invoke.yaml",
        )
    joined = PurePosixPath(prefix) / asked
    return "" if joined == PurePosixPath(".") else joined.as_posix()


def _refuse_unsafe(name: str, kind: str) -> None:
    """A name that git could take for an option or an expression."""
    if not _SAFE_NAME.fullmatch(name) or ".." in name or "@{" in name:
        raise ConfigError(f"{kind} {name!r}", "that is no name git would give", "correct it")


def _git_output(path: Path, *words: str) -> str:
    """git's answer. Raises ConfigError or OpsError with git's own last line."""
    done = git(path, *words)
    if done.exit_code:
        raise _translate_error(path, words[0], done)
    return done.stdout


def git(path: Path, *words: str) -> shell.Completed:
    return shell.run(
        ["git", *_PLAIN, *words], cwd=path, env=environment(os.environ), timeout=_TIMEOUT
    )


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Ours without GIT_* (a hook's GIT_DIR would point elsewhere); English, no question, no lock on
    the index.
    """
    kept = {
        name: value
        for name, value in ours.items()
        if not name.startswith("GIT_") or name.startswith(("GIT_CONFIG", "GIT_EXEC", "GIT_CEILING"))
    }
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


def _translate_error(path: Path, command: str, done: shell.Completed) -> OpsError:
    text = done.stderr.strip()
    if "dubious ownership" in text:
        owned = re.search(r"repository at '([^']+)'", text)
        where = owned[1] if owned else str(path)
        return ConfigError(
            f"checkout {path}",
            "it belongs to another user, so git does not read it",
            f"git config --global --add safe.directory {where}",
        )
    if "not a git repository" in text or "must be run in a work tree" in text:
        return ConfigError(
            f"checkout {path}",
            "it is not a git work tree",
            f"git clone … {path}, or correct `source` in invoke.yaml",
        )
    last = one_line(text.splitlines()[-1]) if text else f"exit code {done.exit_code}"
    if "No space left" in text:
        return OpsError(
            f"git {command} in {path}",
            f"the disk is full ({last})",
            "free space (df -h), then run it again",
        )
    return OpsError(f"git {command} failed in {path}", last, f"git -C {path} status")
