"""Checkouts for the wrapper's tests: a copy of the real ./inv over a tiny project whose lock pins
Invoke as the real lock does.

The wheels are fetched once; after that each first run takes the seconds that `python -m venv`
takes. The environment is `env -i` but for HOME and PATH throughout."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
TASKS = """
import os
from invoke import Exit, task

@task
def where(c):
    print("in", os.getcwd())

@task
def leave(c, code):
    raise Exit(code=int(code))

@task
def borrow(c):
    import iniconfig
    print("borrowed", iniconfig.__name__)
"""


def pinned(*names):
    """The real lock's lines for these packages, hashes included."""
    lock = (PROJECT / "requirements.lock").read_text()
    entries = {
        found["name"]: found.group()
        for found in re.finditer(r"^(?P<name>\S+)==.*?(?=^\S|\Z)", lock, re.M | re.S)
    }
    return "".join(entries[name] for name in names)


class Checkout:
    """A tiny project at `root`, run as a user with this HOME would."""

    def __init__(self, root, home):
        self.root, self.home, self.stamp = root, home, root / ".venv" / ".inv"

    def filled(self):
        (self.root / "sub").mkdir(parents=True)
        shutil.copy2(PROJECT / "inv", self.root / "inv")
        (self.root / "pyproject.toml").write_text("[project]\n")
        (self.root / "tasks.py").write_text(TASKS)
        program = self.root / "ops" / "tasks" / "program.py"
        program.parent.mkdir(parents=True)
        program.write_text("from invoke.main import program\n\nprogram.run()\n")
        self.lock("invoke")
        return self

    def lock(self, *names):
        (self.root / "requirements.lock").write_text(pinned(*names))

    def environment(self, **more):
        python: str = vars(sys)["_base_executable"]
        base = Path(os.path.realpath(python)).parent
        return {"HOME": str(self.home), "PATH": f"{base}:/usr/bin:/bin", **more}

    def run(self, *words, cwd=None, entry=None, user=None, environment=None, **more):
        """Run the wrapper and wait for it. `more` is added to the environment."""
        return subprocess.run(
            [entry or self.root / "inv", *words],
            cwd=cwd or self.root,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment(**more) if environment is None else environment,
        )

    def start(self, **more):
        """Start the wrapper in a session of its own and leave it running."""
        return subprocess.Popen(
            [self.root / "inv", "where"],
            cwd=self.root,
            env=self.environment(**more),
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def area():
    """A folder that any user may enter (pytest's own is closed to others)."""
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="inv-wrapper-")))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def home(area):
    """A HOME whose pip.conf knows only the wheels fetched here: nothing but this fixture needs the
    package index.
    """
    lock = area / "wheels.lock"
    lock.write_text(pinned("invoke", "iniconfig", "pip"))
    fetch = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--require-hashes",
        "-r",
        lock,
        "-d",
        area / "wheels",
    ]
    done = subprocess.run(fetch, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(
            f"the wrapper's tests need the package index once, and it could not be "
            f"reached:\n{done.stderr[-800:]}"
        )
    conf = area / "home" / ".config" / "pip" / "pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(f"[global]\nno-index = true\nfind-links = {area / 'wheels'}\n")
    return area / "home"


@pytest.fixture(scope="session")
def new(area, home):
    """Makes fresh checkouts by name."""
    return lambda name: Checkout(area / name, home).filled()


@pytest.fixture(scope="session")
def shims(area):
    """A PATH on which the first Python is pyenv's python3.14 that is not installed: it fails when
    run.
    """
    folder = area / "shims"
    folder.mkdir()
    (folder / "python3.14").write_text(
        "#!/bin/sh\necho 'pyenv: python3.14: command not found' >&2\nexit 127\n"
    )
    (folder / "python3.14").chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def first_runs(new, shims):
    """A checkout in a folder with spaces, and what the two that set it up at the same moment said:
    (stdout, stderr) each.
    """
    checkout = new("a path with  spaces")
    both = [checkout.start(PATH=f"{shims}:{checkout.environment()['PATH']}") for _ in range(2)]
    return checkout, [process.communicate(timeout=120) for process in both]


@pytest.fixture
def settled(first_runs):
    """A checkout that is set up already; tests must leave it as it is."""
    return first_runs[0]
