"""What ./inv says when it cannot set itself up: what failed and where, why, what to type next.
Never a traceback, never half a venv.
"""

import os
import re
import shutil
import sys

import pytest

TOOLS = (
    "cksum",
    "readlink",
    "tail",
    "grep",
    "rm",
    "mv",
    "sed",
)  # all that the wrapper asks of POSIX
EMPTY_INDEX = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "0",
}


def three_lines(done):
    """The closing lines, held to be an error as this project prints them."""
    what, why, following = done.stderr.splitlines()[-3:]
    assert done.returncode == 1
    assert (
        what.startswith("error: ") and why.startswith("  why: ") and following.startswith(" next: ")
    )
    assert "Traceback" not in done.stderr
    return what, why, following


@pytest.fixture
def tools(tmp_path):
    """A PATH with the wrapper's tools and no Python."""
    for name in TOOLS:
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


def command(folder, name, script):
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_no_python(new, tools):
    """Without any Python the error says how to get one, on Debian and on a Mac."""
    what, _, following = three_lines(new("no python").run("where", PATH=str(tools)))
    assert "no Python 3.11 or newer" in what
    assert "apt install python3 " in following and "brew install" in following


def test_an_old_python(new, tools):
    """A Python that is too old is named with its version."""
    old = "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[3])"
    command(tools, "python3", f"exec '{sys.executable}' -I -c '{old}' \"$@\"")
    assert (
        "only Python 3.9 was found"
        in three_lines(new("old python").run("where", PATH=str(tools)))[1]
    )


def test_debian_s_python_without_venv(new, tools):
    """python3 without python3-venv: the package to install is named."""
    bare = 'import sys; sys.modules["ensurepip"] = None; exec(sys.argv[3])'
    command(tools, "python3", f"exec '{sys.executable}' -I -c '{bare}' \"$@\"")
    what, _, following = three_lines(new("no venv").run("where", PATH=str(tools)))
    assert "has no venv module" in what
    assert "apt install python3-venv" in following


@pytest.fixture(scope="module")
def own(new):
    """A checkout that was set up once, whose lock these tests change: pip alone refuses then, in
    seconds.
    """
    checkout = new("refused")
    assert checkout.run("where").returncode == 0
    return checkout


def test_a_package_that_is_not_the_pinned_one(own):
    """A wheel with another hash than the lock's is not installed."""
    own.lock("iniconfig", "invoke")
    lock = own.root / "requirements.lock"
    lock.write_text(re.sub(r"sha256:[0-9a-f]+", f"sha256:{'0' * 64}", lock.read_text()))
    assert "not the one that requirements.lock names" in three_lines(own.run("where"))[1]


def test_no_package_index(own):
    """Offline, the error says so in three lines, and the next run starts over."""
    own.lock("iniconfig", "invoke")
    done = own.run("where", **EMPTY_INDEX)
    assert "no package index that holds them can be reached" in three_lines(done)[1]
    assert len(done.stderr.splitlines()) == 4  # the line of progress, and the three
    assert not own.stamp.exists()
    assert own.run("borrow").stdout == "borrowed iniconfig\n"


def test_half_a_checkout(new):
    """Without the lock there is nothing to install from, and git can bring it back."""
    checkout = new("half")
    (checkout.root / "requirements.lock").unlink()
    assert "git restore" in three_lines(checkout.run("where"))[2]


def test_a_link_to_another_environment(new, tmp_path):
    """A .venv that leads elsewhere is not emptied."""
    (tmp_path / "theirs").write_text("kept")
    checkout = new("linked")
    (checkout.root / ".venv").symlink_to(tmp_path)
    assert "is a link" in three_lines(checkout.run("where"))[0]
    assert (tmp_path / "theirs").read_text() == "kept"


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user: somebody else's checkout"
)
def test_somebody_else_s_checkout(new):
    """nobody in root's checkout is told whose turn it is."""
    what, _, following = three_lines(new("root's").run("where", user=65534))
    assert "may not be written" in what
    assert "git clone" in following
