"""The way in: ./inv makes its own environment and hands over, whatever the machine, the folder or
the hour does to it.
"""

import os
import shutil
import signal
import subprocess
import time

import pytest

INSTALLING = "first run: installing"
WAITING = "another ./inv is setting this checkout up; waiting"


def test_a_settled_checkout_is_silent(settled):
    """Once set up, nothing but the task speaks."""
    done = settled.run("where")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"in {settled.root}\n", "")


def test_a_subfolder_works_and_its_modules_shadow_nothing(settled):
    """From ops/adapters, whose secrets.py is not Python's, the tasks still load, and run where the
    caller stands.
    """
    sub = settled.root / "sub"
    for name in ("secrets.py", "http.py", "invoke.py", "yaml.py"):
        (sub / name).write_text("raise SystemExit('the wrong module')\n")
    assert settled.run("where", cwd=sub, entry="../inv").stdout == f"in {sub}\n"


def test_links_lead_to_the_real_checkout(settled, area):
    """A relative link to a link on somebody's PATH finds the checkout behind both."""
    folder = area / "bin"
    folder.mkdir()
    (folder / "first").symlink_to(settled.root / "inv")
    (folder / "inv").symlink_to("first")
    assert settled.run("where", cwd="/", entry=folder / "inv").stdout == "in /\n"


def test_an_exit_code_is_the_task_s(settled):
    """A verdict survives the wrapper."""
    assert settled.run("leave", "--code", "6").returncode == 6


def test_another_python_s_variables_break_nothing(settled):
    """PYTHONHOME and PYTHONPATH of some other installation do not reach ours."""
    assert settled.run("where", PYTHONHOME="/nowhere", PYTHONPATH="/nowhere").returncode == 0


def test_no_home_and_no_path(settled):
    """A cron job with nothing at all in its environment works too."""
    done = settled.run("where", environment={})
    assert (done.returncode, done.stderr) == (0, "")


def test_two_first_runs_build_once(first_runs):
    """Two terminals, one install: the second waits and both run."""
    checkout, said = first_runs
    assert [out for out, _ in said] == [f"in {checkout.root}\n"] * 2
    assert sum(INSTALLING in err for _, err in said) == 1
    assert sum(WAITING in err for _, err in said) == 1


def test_a_first_run_passes_over_a_shim_without_a_version(first_runs):
    """pyenv puts a python3.14 on the PATH that fails when run; the next one is taken, and nothing
    is said of it.
    """
    assert [err.count("\n") for _, err in first_runs[1]] == [1, 1]


def started_installing(checkout):
    process = checkout.start()
    deadline = time.monotonic() + 60
    while not (checkout.root / ".venv" / "install.log").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    return process


def test_a_kill_in_the_middle_is_healed(new):
    """kill -9 during the install leaves nothing that the next run takes for finished; a pip that
    outlives its shell is never raced.
    """
    checkout = new("killed")
    with started_installing(checkout) as first:
        os.killpg(first.pid, signal.SIGKILL)
    assert not checkout.stamp.exists()
    (checkout.root / ".venv" / "install.log").unlink()
    second = started_installing(checkout)
    second.kill()
    last = checkout.run("where")
    assert second.wait() == -signal.SIGKILL
    assert (last.returncode, last.stdout) == (0, f"in {checkout.root}\n")
    assert WAITING in last.stderr
    assert INSTALLING in second.communicate()[1]


def test_a_copied_changed_or_broken_environment_is_mended(settled, area):
    """`cp -r` of a checkout gets its own .venv; a pull that adds a package has it; a Python that
    was uninstalled is replaced.
    """
    copy = type(settled)(shutil.copytree(settled.root, area / "copy", symlinks=True), settled.home)
    assert INSTALLING in copy.run("where").stderr
    assert str(copy.root) in (copy.root / ".venv" / "bin" / "activate").read_text()

    copy.lock("iniconfig", "invoke", "pip")
    done = copy.run("borrow")
    assert done.stdout == "borrowed iniconfig\n" and "updating .venv" in done.stderr
    assert copy.run("borrow").stderr == ""
    said = [
        line
        for line in (copy.root / ".venv" / "install.log").read_text().splitlines()
        if line.startswith("Successfully installed")
    ]
    assert [line.split()[2].split("-")[0] for line in said] == ["pip", "iniconfig"], (
        "the pinned pip installs the rest"
    )

    for link in (copy.root / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python3")
    done = copy.run("where")
    assert done.returncode == 0 and INSTALLING in done.stderr


def python_for_nobody():
    """Can the machine's own Python be run, with its venv module, by a user without rights?"""
    probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    found = shutil.which("python3", path="/usr/bin:/bin")
    return found and subprocess.run([found, "-I", "-c", probe], capture_output=True).returncode == 0


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user: an ordinary user's first run"
)
@pytest.mark.skipif(
    not python_for_nobody(),
    reason="no python3 in /usr/bin that nobody could use: an ordinary user's first run",
)
def test_an_ordinary_user_with_an_unwritable_home(new):
    """nobody, whose HOME does not exist, sets a checkout of its own up."""
    checkout = new("nobody's")
    for path in (checkout.root, *checkout.root.rglob("*")):
        os.chown(path, 65534, 65534)
    settings = checkout.home / ".config" / "pip" / "pip.conf"
    done = checkout.run(
        "where",
        user=65534,
        HOME="/nonexistent",
        PATH="/usr/bin:/bin",
        PIP_CONFIG_FILE=str(settings),
    )
    assert (done.returncode, done.stdout) == (0, f"in {checkout.root}\n"), done.stderr
    assert checkout.stamp.stat().st_uid == 65534
