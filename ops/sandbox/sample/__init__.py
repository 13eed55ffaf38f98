"""The sample platform: two small services in a git checkout with an `origin`.

`platform/` beside this file holds their sources. The checkout has two commits: version 1, which
`sandbox.up` builds and runs, and a small second one to deploy. Differs from a real platform: the
services use nothing but the standard library (and psycopg), and `origin` is a bare repository next
to the checkout instead of a host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import OpsError
from ops.sandbox import terraform
from ops.sandbox.contracts import Paths

SOURCES = Path(__file__).parent / "platform"
_AUTHOR = ("Sandbox", "sandbox@localhost")
SERVICES = ("backend", "frontend")
SECOND = (  # the second commit: file, old text, new text
    (
        "backend/server.py",
        '"database": "connected",',
        '"database": "connected", "service": "backend",',
    ),
    (
        "frontend/server.py",
        "A small platform that deploys itself.",
        "A small platform that deploys itself, and proves it.",
    ),
)


@dataclass(frozen=True)
class Commit:
    """A commit of the checkout; `at` is ISO 8601."""

    full: str
    short: str
    at: str


def make_checkout(paths: Paths) -> Commit:
    """Create the checkout and its origin if missing; return the commit of version 1.

    The user's own commits are retained. A lost origin is created again from the checkout. Raises
    OpsError if git is missing or fails.
    """
    if shutil.which("git") is None:
        raise OpsError(
            "the sandbox's sample platform needs git",
            "there is no `git` on PATH",
            "install git, then `inv sandbox.up` again",
        )
    if not (paths.platform / ".git").exists():
        _make(paths)
    if not (paths.origin / "HEAD").exists():
        _make_origin(paths)
    return _commit(
        paths,
        git(paths.platform, "rev-list", "--max-parents=0", "--first-parent", "HEAD").split()[-1],
    )


def _commit(paths: Paths, name: str) -> Commit:
    return Commit(*git(paths.platform, "log", "-1", "--format=%H %h %cI", name).split())


def export(paths: Paths, commit: Commit, service: str, into: Path) -> None:
    """Write `service`'s folder as of `commit` below `into`, without uncommitted changes."""
    archive = into / "source.tar"
    git(paths.platform, "archive", "--format=tar", f"--output={archive}", commit.full, service)
    with tarfile.open(archive) as source:
        if hasattr(
            tarfile, "data_filter"
        ):  # since 3.11.4; git's archive holds nothing that it would refuse
            source.extraction_filter = tarfile.data_filter
        source.extractall(into)  # noqa: S202
    archive.unlink()


def _make(paths: Paths) -> None:
    """Create the checkout under a temporary name and rename it, so that it is never partial.

    The user's files in its place are set aside.
    """
    making = paths.root / "platform.making"
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(SOURCES, making, ignore=shutil.ignore_patterns("__pycache__"))
    terraform.copy(making)
    git(making, "-c", "init.defaultBranch=main", "init", "--quiet", "--template=")
    git(making, "symbolic-ref", "HEAD", "refs/heads/main")
    for key, value in (
        ("user.name", _AUTHOR[0]),
        ("user.email", _AUTHOR[1]),
        ("commit.gpgsign", "false"),
    ):
        git(making, "config", key, value)
    _commit_all(making, "Version 1 of both services")
    for name, before, after in SECOND:
        file = making / name
        file.write_text(file.read_text().replace(before, after, 1))
    _commit_all(
        making, "Let the health check name its service, and the home page say what it proves"
    )
    shutil.rmtree(paths.origin, ignore_errors=True)
    if paths.platform.exists():
        paths.platform.rename(paths.platform.with_name(f"platform-aside-{os.getpid()}"))
    making.rename(paths.platform)


def _commit_all(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", f"--message={message}")


def _make_origin(paths: Paths) -> None:
    making = paths.root / "origin.making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    git(making, "-c", "init.defaultBranch=main", "init", "--quiet", "--bare", "--template=")
    git(making, "symbolic-ref", "HEAD", "refs/heads/main")
    shutil.rmtree(paths.origin, ignore_errors=True)
    making.rename(paths.origin)
    remotes = git(paths.platform, "remote").split()
    git(
        paths.platform,
        "remote",
        "set-url" if "origin" in remotes else "add",
        "origin",
        "../origin.git",
    )
    git(
        paths.platform,
        "-c",
        "core.hooksPath=/dev/null",
        "push",
        "--quiet",
        "--set-upstream",
        "origin",
        "main",
    )


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` and return its output.

    Raises OpsError with git's message.

    The user's configuration and GIT_* variables are ignored.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **clean,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        },
    )
    if done.returncode:
        raise OpsError(
            f"git {' '.join(arguments)} failed in {folder}",
            done.stderr.strip() or f"exit code {done.returncode}",
            "inv sandbox.down --purge",
        )
    return done.stdout.strip()
