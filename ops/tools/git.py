"""git, by its own program: the state of a checkout, and the files of a commit.

Builds use the files of a commit (`git archive`), never the working tree: uncommitted changes can't
get into an image. Submodules and Git LFS files are added from this machine's copies;
`.gitattributes` (export-ignore, export-subst) applies.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from ops.core import ui
from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import one_line, redacted
from ops.core.text import SHORT_ID_LENGTH, short_commit
from ops.tools import git_content
from ops.tools.facts import DETACHED, AbsentContent, Checkout, Commit, CommitRange
from ops.tools.git_program import git, git_output
from ops.tools.tar import extract

_SUBJECT_LIMIT = 400
_MOST_COMMITS = 500  # of those between two releases
_COMMIT_ID = re.compile(r"[0-9a-f]{7,64}")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][^\s~^:?*\[\\]*")


def checkout(path: Path, branch: str, remote: str, id_length: int = SHORT_ID_LENGTH) -> Checkout:
    """The state of the checkout at `path`:

    branch, uncommitted changes, commit, and pushed or not.

    Uncommitted changes include untracked files. `pushed` compares with the remote's branch as last
    fetched; None if it was never fetched. The short id has `id_length` digits: git's own
    abbreviation depends on core.abbrev and on the clone. Writes nothing. Raises ConfigError.
    """
    top = toplevel(path)
    for name in (branch, remote):
        _refuse_unsafe(name, "branch or remote")
    form = "--format=%H%x00%s%x00%cI"
    full, subject, at = (
        git_output(top, "log", "-1", "--encoding=UTF-8", form, "HEAD").strip("\n").split("\0")
    )
    subject = one_line(ui.plain(subject), limit=_SUBJECT_LIMIT)
    head = git(
        top, "symbolic-ref", "-q", "HEAD"
    ).stdout.strip()  # in full: with a tag of that name, --short prints heads/main
    on = head.removeprefix("refs/heads/") or DETACHED
    changes = git_output(top, "status", "--porcelain", "--untracked-files=normal").splitlines()
    reference = f"refs/remotes/{remote}/{branch}"
    return Checkout(
        on,
        tuple(changes),
        _pushed(top, reference),
        Commit(full, full[:id_length], subject, at, _source(top, remote)),
        at_remote=git(top, "rev-parse", "--verify", "-q", reference).stdout.strip() == full,
    )


def archive(path: Path, commit: str, subdirectory: str, into: Path) -> None:
    """Extract the files of `subdirectory` at `commit` into the folder `into`.

    `subdirectory` is relative to `path`, "." for all. Every file gets the commit's time, so that
    equal commits give equal images. Raises ConfigError for a missing commit or subdirectory.
    """
    top, full, folder = _place(path, commit, subdirectory)
    at = int(git_output(top, "log", "-1", "--format=%ct", full))
    _export(top, full, folder, into, at)


def absent_content(path: Path, commit: str, subdirectory: str) -> AbsentContent:
    """Submodules and LFS files of `subdirectory` at `commit` that `archive` would not find here."""
    top, full, folder = _place(path, commit, subdirectory)
    return git_content.absent_content(top, full, folder)


def _place(path: Path, commit: str, subdirectory: str) -> tuple[Path, str, str]:
    """The checkout's root, the full commit id, and the folder as git names it."""
    top = toplevel(path)
    full = resolved(top, commit)
    folder = _join_inside(git_output(path, "rev-parse", "--show-prefix").strip(), subdirectory)
    if folder and git(top, "cat-file", "-t", f"{full}:{folder}").stdout.strip() != "tree":
        raise ConfigError(
            f"folder {folder} in commit {short_commit(full)} of {top}",
            "the commit has no such folder",
            "commit it, or correct `context` (relative to `source`) in invoke.yaml",
        )
    return top, full, folder


def _export(top: Path, full: str, folder: str, into: Path, at: int) -> None:
    """Export a tree with its submodules and LFS files."""
    with tempfile.TemporaryDirectory(prefix="archive-") as scratch:
        file = Path(scratch, "commit.tar")
        words = ["--", folder] if folder else []
        git_output(top, "archive", "--format=tar", "-o", str(file), full, *words)
        extract(file, folder, into, at)
    git_content.fill_lfs_files(top, full, folder, into, at)
    for each in git_content.submodules(top, full, folder):
        if not git_content.has_commit(top / each.path, each.commit):
            raise git_content.submodule_error(top, each.path)
        below = into / PurePosixPath(each.path).relative_to(folder or ".")
        _export(top / each.path, each.commit, "", below, at)


def find_commit(path: Path, revision: str) -> Commit | None:
    """The commit that this abbreviated or full id names, or None."""
    if not _COMMIT_ID.fullmatch(revision):
        return None
    form = "--format=%H%x00%s%x00%cI"
    try:
        done = git(path, "log", "-1", "--encoding=UTF-8", form, f"{revision}^{{commit}}")
    except OpsError:
        return None
    if done.exit_code:
        return None
    full, subject, at = done.stdout.strip("\n").split("\0")
    return Commit(
        full, short_commit(full), one_line(ui.plain(subject), limit=_SUBJECT_LIMIT), at, ""
    )


def below(source: Path, folder: Path) -> str:
    """The path of `folder` relative to the root of the checkout of `source`.

    "" for the root itself, and for a folder in another checkout.
    """
    return (
        git_output(folder, "rev-parse", "--show-prefix").strip()
        if toplevel(folder) == toplevel(source)
        else ""
    )


def tracked(folder: Path, paths: Iterable[Path]) -> frozenset[Path]:
    """Those of `paths` that git tracks in the checkout of `folder`; never one outside of it."""
    top = toplevel(folder).resolve()
    inside = {
        str(path.resolve().relative_to(top)): path
        for path in paths
        if path.resolve().is_relative_to(top)
    }
    if not inside:
        return frozenset()
    found = git_output(top, "--literal-pathspecs", "ls-files", "-z", "--", *inside).split("\0")
    return frozenset(inside[name] for name in found if name in inside)


def toplevel(path: Path) -> Path:
    """The root of the checkout that contains `path`.

    Raises ConfigError for a missing folder, no repository, another user's repository, or no commit.
    """
    if not path.is_dir():
        raise ConfigError(
            f"checkout {path}",
            "there is no such folder",
            f"git clone … {path}, or correct `source` in invoke.yaml",
        )
    top = Path(git_output(path, "rev-parse", "--show-toplevel").rstrip("\n"))
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


def commits_between(path: Path, before: str, after: str) -> CommitRange:
    """The commits between two commit ids. Raises OpsError if this checkout does not have them."""
    top = toplevel(path)
    for commit in (before, after):
        if not _COMMIT_ID.fullmatch(commit):
            raise OpsError(f"commit {commit!r}", "it is not a commit id", "")
    words = ("--left-right", "--format=%m%h %s", f"-{_MOST_COMMITS}", f"{before}...{after}", "--")
    done = git(top, "log", *words)
    if done.exit_code:
        why = f"this checkout does not have commit {before} or {after}"
        raise OpsError(f"commits in {top}", why, "git fetch")
    lines = [redacted(line) for line in done.stdout.splitlines()]
    return CommitRange(
        tuple(line[1:] for line in lines if line.startswith(">")),
        tuple(line[1:] for line in lines if line.startswith("<")),
    )


def _pushed(top: Path, reference: str) -> bool | None:
    if git(top, "rev-parse", "--verify", "-q", f"{reference}^{{commit}}").exit_code:
        return None
    return git(top, "merge-base", "--is-ancestor", "HEAD", reference).exit_code == 0


def _source(top: Path, remote: str) -> str:
    """The remote's address for an image label, without credentials or query; "" if it has none."""
    return _without_credentials(git(top, "remote", "get-url", remote).stdout.strip())


def _without_credentials(address: str) -> str:
    if "://" not in address:
        return address  # a folder, or git@host:path, which holds no password
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _join_inside(prefix: str, subdirectory: str) -> str:
    """`subdirectory` below `prefix` as git names it, "" for the whole tree.

    Raises ConfigError if it leads outside.
    """
    relative = PurePosixPath(subdirectory)
    if relative.is_absolute() or ".." in relative.parts or "\0" in subdirectory:
        raise ConfigError(
            f"folder {subdirectory!r}",
            "it leads out of the checkout",
            "correct `context` (relative to `source`) in invoke.yaml",
        )
    joined = PurePosixPath(prefix) / relative
    return "" if joined == PurePosixPath(".") else joined.as_posix()


def _refuse_unsafe(name: str, kind: str) -> None:
    """Refuse a name that git could take for an option or an expression."""
    if not _SAFE_NAME.fullmatch(name) or ".." in name or "@{" in name:
        raise ConfigError(f"{kind} {name!r}", "it is not a valid git name", "correct it")
