"""Real git repositories: what state is a checkout in, and what does a commit hold."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.core.errors import ConfigError
from ops.tools import git
from ops.tools.facts import DETACHED, AbsentContent

Git = Callable[..., str]


def run(path: Path, *words: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        "GIT_COMMITTER_DATE": "2026-01-02T03:04:05+00:00",
        "GIT_AUTHOR_DATE": "2026-01-02T03:04:05+00:00",
    }
    return subprocess.run(
        ["git", *words], cwd=path, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with one pushed commit: backend/app.py, backend/run (executable), README."""
    origin, work = tmp_path / "origin.git", tmp_path / "a work tree"
    run(tmp_path, "init", "-q", "--bare", "-b", "main", str(origin))
    run(tmp_path, "init", "-q", "-b", "main", str(work))
    (work / "backend").mkdir()
    (work / "backend" / "app.py").write_text("print('v1')\n")
    (work / "backend" / "run").write_text("#!/bin/sh\n")
    (work / "backend" / "run").chmod(0o755)
    (work / "README").write_text("hello\n")
    run(work, "add", "-A")
    run(work, "commit", "-q", "-m", "Müller's first: 100% “done”")
    run(work, "remote", "add", "origin", str(origin))
    run(work, "push", "-q", "-u", "origin", "main")
    return work


def test_a_clean_pushed_checkout(repository: Path) -> None:
    """Branch, commit and remote are told; nothing is changed; it is pushed."""
    found = git.checkout(repository, "main", "origin")
    assert (found.branch, found.changes, found.pushed) == ("main", (), True)
    assert found.commit.full == run(repository, "rev-parse", "HEAD")
    assert found.commit.full.startswith(found.commit.short)
    assert (found.commit.subject, found.commit.at) == (
        "Müller's first: 100% “done”",
        "2026-01-02T03:04:05+00:00",
    )
    assert found.commit.source.endswith("/origin.git")


def test_a_secret_in_a_commits_subject_is_not_passed_on(repository: Path) -> None:
    """The subject is shown by preflight and stored in the release's record."""
    run(
        repository,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "Set password=hunter2 in postgres://u:pw@h/d",
    )
    assert (
        git.checkout(repository, "main", "origin").commit.subject
        == "Set password=*** in postgres://u:***@h/d"
    )


def test_what_is_not_committed_is_listed(repository: Path) -> None:
    """Changed, staged and untracked files are named, umlauts as they are."""
    (repository / "README").write_text("changed\n")
    (repository / "neu ü.txt").write_text("")
    changes = git.checkout(repository, "main", "origin").changes
    assert changes[0] == " M README"
    assert changes[1].startswith("?? ") and "neu ü.txt" in changes[1]


def test_pushed_is_false_ahead_and_none_where_nothing_was_fetched(repository: Path) -> None:
    """A commit of one's own is not pushed; a branch or remote that was never fetched is not
    known.
    """
    run(repository, "commit", "-q", "--allow-empty", "-m", "mine")
    assert git.checkout(repository, "main", "origin").pushed is False
    assert git.checkout(repository, "other", "origin").pushed is None
    assert git.checkout(repository, "main", "upstream").pushed is None
    assert git.checkout(repository, "main", "upstream").commit.source == ""


def test_an_older_commit_than_the_remotes_is_pushed(repository: Path) -> None:
    """HEAD behind the remote's branch is contained in it."""
    run(repository, "commit", "-q", "--allow-empty", "-m", "newer")
    run(repository, "push", "-q", "origin", "main")
    run(repository, "reset", "-q", "--hard", "HEAD~1")
    assert git.checkout(repository, "main", "origin").pushed is True


def test_a_tag_named_like_the_branch_changes_nothing(repository: Path) -> None:
    """`git symbolic-ref --short` calls the branch heads/main then, which is no branch that may be
    deployed.
    """
    run(repository, "tag", "main")
    assert git.checkout(repository, "main", "origin").branch == "main"


def test_a_detached_head_is_said(repository: Path) -> None:
    """No branch is no branch's name."""
    run(repository, "checkout", "-q", "--detach")
    assert git.checkout(repository, "main", "origin").branch == DETACHED


def test_a_detached_head_at_the_remotes_branch(repository: Path) -> None:
    """CI checks out the commit of the remote's branch; a commit after or before it is another."""
    run(repository, "commit", "-q", "--allow-empty", "-m", "second")
    run(repository, "push", "-q", "origin", "main")
    run(repository, "checkout", "-q", "--detach", "origin/main")
    assert git.checkout(repository, "main", "origin").at_remote
    assert not git.checkout(repository, "main", "upstream").at_remote
    run(repository, "checkout", "-q", "--detach", "HEAD~1")
    assert not git.checkout(repository, "main", "origin").at_remote
    run(repository, "checkout", "-q", "main")
    run(repository, "commit", "-q", "--allow-empty", "-m", "third")
    assert not git.checkout(repository, "main", "origin").at_remote


@pytest.mark.parametrize("abbreviation", ["4", "12", "no"])
def test_the_short_id_does_not_depend_on_the_machine(repository: Path, abbreviation: str) -> None:
    """core.abbrev is a setting of one machine; the tag is a name for the whole team."""
    run(repository, "config", "core.abbrev", abbreviation)
    full = run(repository, "rev-parse", "HEAD")
    assert git.checkout(repository, "main", "origin").commit.short == full[:7]
    assert git.checkout(repository, "main", "origin", 12).commit.short == full[:12]
    found = git.find_commit(repository, full[:9])
    assert found is not None and found.short == full[:7]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:hush@example.org/team/app.git", "https://example.org/team/app.git"),
        ("https://hush@example.org:8443/app.git?token=hush", "https://example.org:8443/app.git"),
        ("git@example.org:team/app.git", "git@example.org:team/app.git"),
        ("ssh://git:hush@example.org/app.git", "ssh://example.org/app.git"),
    ],
)
def test_the_source_holds_no_credentials(repository: Path, address: str, shown: str) -> None:
    """The remote's address goes into a label, its token doesn't."""
    run(repository, "remote", "set-url", "origin", address)
    assert git.checkout(repository, "main", "origin").commit.source == shown


def test_from_a_subfolder_the_whole_checkout_is_meant(repository: Path) -> None:
    """Asked below the root, changes above count too."""
    (repository / "README").write_text("changed\n")
    assert git.checkout(repository / "backend", "main", "origin").changes == (" M README",)


def test_a_hooks_environment_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR of a hook that we run in points elsewhere, and is not followed."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git.checkout(repository, "main", "origin").branch == "main"


def test_archive_holds_the_commit_and_not_the_working_tree(
    repository: Path, tmp_path: Path
) -> None:
    """What is built is what was committed, executable bits kept, the commit's time on every
    file.
    """
    commit = run(repository, "rev-parse", "HEAD")
    (repository / "backend" / "app.py").write_text("print('not committed')\n")
    (repository / "backend" / "secret.env").write_text("PASSWORD=x\n")
    into = tmp_path / "out" / "deep"
    git.archive(repository, commit, "backend", into)
    assert sorted(file.name for file in into.iterdir()) == ["app.py", "run"]
    assert (into / "app.py").read_text() == "print('v1')\n"
    assert os.access(into / "run", os.X_OK) and not os.access(into / "app.py", os.X_OK)
    assert {int(file.stat().st_mtime) for file in into.iterdir()} == {1767323045}


@pytest.mark.parametrize("subdirectory", [".", "./", ""])
def test_archive_of_everything(repository: Path, tmp_path: Path, subdirectory: str) -> None:
    """`context: .` is the whole commit."""
    git.archive(repository, "HEAD", subdirectory, tmp_path / "out")
    assert sorted(
        str(file.relative_to(tmp_path / "out"))
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    ) == [
        "README",
        "backend/app.py",
        "backend/run",
    ]


def test_archive_below_a_source_that_is_a_subfolder(repository: Path, tmp_path: Path) -> None:
    """`source: repo/backend, context: .` is that folder alone."""
    git.archive(repository / "backend", "HEAD", ".", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["app.py", "run"]


@pytest.mark.parametrize(
    "subdirectory",
    ["frontend", "README", "../outside", "/etc", "backend/../..", "--output=x", "back\nend"],
)
def test_a_folder_that_the_commit_lacks_is_refused(
    repository: Path, tmp_path: Path, subdirectory: str
) -> None:
    """A missing folder, a file, and a way out of the checkout are configuration errors that leave
    nothing behind.
    """
    with pytest.raises(ConfigError):
        git.archive(repository, "HEAD", subdirectory, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "commit",
    ["--output=/tmp/x", "no-such-commit", "HEAD; rm -rf /", "a\nb", "", "main..HEAD", "HEAD@{1}"],
)
def test_a_hostile_commit_is_refused(repository: Path, tmp_path: Path, commit: str) -> None:
    """Nothing that is no commit reaches git as an option."""
    with pytest.raises(ConfigError):
        git.archive(repository, commit, ".", tmp_path / "out")


def test_a_link_out_of_the_archive_is_refused(repository: Path, tmp_path: Path) -> None:
    """A symbolic link to /etc in the commit is named, not unpacked."""
    (repository / "backend" / "etc").symlink_to("/etc")
    run(repository, "add", "-A")
    run(repository, "commit", "-q", "-m", "link")
    with pytest.raises(ConfigError, match="etc"):
        git.archive(repository, "HEAD", "backend", tmp_path / "out")
    assert not (tmp_path / "out" / "etc").exists()


def test_a_link_inside_is_kept(repository: Path, tmp_path: Path) -> None:
    """A link to a neighbour stays a link."""
    (repository / "backend" / "main.py").symlink_to("app.py")
    run(repository, "add", "-A")
    run(repository, "commit", "-q", "-m", "link")
    git.archive(repository, "HEAD", "backend", tmp_path / "out")
    assert (tmp_path / "out" / "main.py").readlink() == Path("app.py")


def test_what_is_no_checkout_is_said(tmp_path: Path) -> None:
    """No folder, no repository, no commit, a bare one: each is a configuration error that says what
    to type.
    """
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (tmp_path / "absent", empty):
        with pytest.raises(ConfigError, match="clone") as error:
            git.checkout(path, "main", "origin")
        assert len(str(error.value).splitlines()) == 3
    run(empty, "init", "-q")
    with pytest.raises(ConfigError, match="no commit yet"):
        git.checkout(empty, "main", "origin")
    run(tmp_path, "init", "-q", "--bare", "bare.git")
    with pytest.raises(ConfigError, match="not a git work tree"):
        git.checkout(tmp_path / "bare.git", "main", "origin")


def test_no_git_is_said_by_name(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without git on PATH the error names git."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="program git is not here"):
        git.checkout(repository, "main", "origin")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="needs root to give a checkout to another user"
)
def test_somebody_elses_checkout_names_the_command(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """git's dubious ownership ends in the safe.directory command."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for path in (repository, repository / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="another user") as error:
        git.checkout(repository, "main", "origin")
    assert error.value.next == f"git config --global --add safe.directory {repository}"


def test_where_a_folder_lies_in_the_checkout_of_another(repository: Path, tmp_path: Path) -> None:
    """Below the same root by its path there; a checkout of its own counts as a whole."""
    other = tmp_path / "infrastructure"
    (other / "dev").mkdir(parents=True)
    run(other, "init", "-q", "-b", "main")
    run(other, "commit", "-q", "--allow-empty", "-m", "One")
    assert (
        git.below(repository, repository / "backend"),
        git.below(repository, repository),
        git.below(repository, other / "dev"),
    ) == (
        "backend/",
        "",
        "",
    )


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n"


@pytest.fixture
def with_submodule(repository: Path, tmp_path: Path) -> Path:
    """The checkout with a submodule backend/vendor, which has a submodule deep of its own."""
    for name, inner in (("deep", None), ("library", "deep")):
        folder = tmp_path / name
        run(tmp_path, "init", "-q", "-b", "main", str(folder))
        (folder / f"{name}.py").write_text(f"VALUE = '{name}'\n")
        if inner:
            add = ("-c", "protocol.file.allow=always", "submodule", "add", "-q")
            run(folder, *add, str(tmp_path / inner), inner)
        run(folder, "add", "-A")
        run(folder, "commit", "-q", "-m", name)
    allowed = ("-c", "protocol.file.allow=always", "submodule")
    run(repository, *allowed, "add", "-q", str(tmp_path / "library"), "backend/vendor")
    run(repository, *allowed, "update", "-q", "--init", "--recursive")
    run(repository, "commit", "-q", "-am", "Add a submodule")
    return repository


def test_submodules_are_exported_at_their_pinned_commits(
    with_submodule: Path, tmp_path: Path
) -> None:
    """From their own checkouts, nested ones too, whatever those have checked out now."""
    vendor = with_submodule / "backend" / "vendor"
    (vendor / "library.py").write_text("changed\n")
    run(vendor, "commit", "-q", "-am", "Not pinned")
    git.archive(with_submodule, "HEAD", "backend", tmp_path / "context")
    exported = tmp_path / "context" / "vendor"
    assert (exported / "library.py").read_text() == "VALUE = 'library'\n"
    assert (exported / "deep" / "deep.py").read_text() == "VALUE = 'deep'\n"
    assert git.absent_content(with_submodule, "HEAD", "backend") == AbsentContent()


def test_a_submodule_that_is_not_here_is_refused(with_submodule: Path, tmp_path: Path) -> None:
    """A clone without --recurse-submodules: named with the command, outside the context ignored."""
    clone = tmp_path / "clone"
    run(tmp_path, "clone", "-q", str(with_submodule), str(clone))
    (clone / "docs").mkdir()
    (clone / "docs" / "page").write_text("x")
    run(clone, "add", "-A")
    run(clone, "commit", "-q", "-m", "docs")
    assert git.absent_content(clone, "HEAD", "backend").submodules == ("backend/vendor",)
    assert git.absent_content(clone, "HEAD", "docs") == AbsentContent()
    git.archive(clone, "HEAD", "docs", tmp_path / "docs")
    with pytest.raises(ConfigError, match="submodule backend/vendor") as error:
        git.archive(clone, "HEAD", "backend", tmp_path / "context")
    assert "submodule update --init --recursive backend/vendor" in error.value.next


def test_lfs_files_come_from_the_local_store(repository: Path, tmp_path: Path) -> None:
    """The content replaces the pointer; a text about LFS is no pointer."""
    identifier = "ab" * 32
    (repository / "backend" / "model.bin").write_text(POINTER.format(identifier))
    (repository / "backend" / "notes").write_text(f"see {POINTER.format('x')}")
    run(repository, "add", "-A")
    run(repository, "commit", "-q", "-m", "A model")
    assert git.absent_content(repository, "HEAD", ".").lfs_files == ("backend/model.bin",)
    with pytest.raises(ConfigError, match=r"Git LFS file backend/model\.bin") as error:
        git.archive(repository, "HEAD", "backend", tmp_path / "without")
    assert "lfs pull" in error.value.next
    stored = repository / ".git" / "lfs" / "objects" / "ab" / "ab"
    stored.mkdir(parents=True)
    (stored / identifier).write_text("bytes")
    assert git.absent_content(repository, "HEAD", "backend") == AbsentContent()
    git.archive(repository, "HEAD", "backend", tmp_path / "context")
    assert (tmp_path / "context" / "model.bin").read_text() == "bytes"
    assert (tmp_path / "context" / "notes").read_text().startswith("see version")
