"""What `upgrade()` may do while its SQL is only read: nothing beside the SQL."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.migrator.model import MigrateError, TargetDatabase
from ops.migrator.revisions import confined
from ops.migrator.revisions.scripts import Scripts
from tests.migrator.migrating import ROOT, TABLE, Project

pytestmark = pytest.mark.timeout(60)
KERNEL = sys.platform.startswith("linux") and platform.machine() in ("x86_64", "aarch64")
needs_kernel = pytest.mark.skipif(not KERNEL, reason="no filter of system calls on this system")


@pytest.fixture
def offline(tmp_path: Path) -> Project:
    """A folder of revisions, without a database."""
    folder = tmp_path / "alembic"
    (folder / "versions").mkdir(parents=True)
    shutil.copy(ROOT / "alembic" / "env.py", folder / "env.py")
    return Project(folder, TargetDatabase(str(folder), {}))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that must get no connection."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(0)
        yield opened
        with pytest.raises(BlockingIOError):
            opened.accept()


def printed(project: Project) -> list[tuple[str, str | None]]:
    scripts = Scripts(project.target.folder)
    return [(sql, problem) for _, sql, problem in scripts.sql("upgrade", "head", None)]


EFFECTS = {
    "socket": ("import socket; socket.create_connection(('127.0.0.1', {port}))", "resolving"),
    "urllib": ("import urllib.request as r; r.urlopen('http://127.0.0.1:{port}/')", "resolving"),
    "ignored": (
        "import socket, contextlib\n"
        "    with contextlib.suppress(Exception):\n"
        "        socket.create_connection(('127.0.0.1', {port}))",
        "resolving '127.0.0.1' is refused",
    ),
    "in a thread": (
        "import socket, threading, _thread\n"
        "    done = threading.Event()\n"
        "    def send():\n"
        "        try:\n"
        "            socket.socket().connect(('127.0.0.1', {port}))\n"
        "        except Exception:\n"
        "            done.set()\n"
        "    _thread.start_new_thread(send, ())\n"
        "    done.wait(10)",
        "opening a network socket is refused",
    ),
    "a fork": (
        "import os, socket\n"
        "    if (pid := os.fork()) == 0:\n"
        "        try:\n"
        "            socket.socket().connect(('127.0.0.1', {port}))\n"
        "        finally:\n"
        "            os._exit(3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 3",
        "AssertionError",
    ),
    "program": ("import subprocess; subprocess.run(['touch', '{file}'])", "starting 'touch'"),
    "shell": ("import os; os.system('touch {file}')", "starting"),
    "file": ("open('{file}', 'a').write('x')", "writing '{file}'"),
    "os.open": ("import os; os.open('{file}', os.O_CREAT | os.O_WRONLY)", "writing '{file}'"),
    "folder": ("import os; os.mkdir('{file}')", "creating '{file}'"),
    "link": ("import os; os.symlink('/', '{file}')", "linking"),
    "sqlite": ("import sqlite3; sqlite3.connect('{file}').execute('SELECT 1')", "opening"),
}


@pytest.mark.parametrize("case", EFFECTS)
def test_effects_are_refused_and_named(
    offline: Project, listener: socket.socket, tmp_path: Path, case: str
) -> None:
    """The SQL before it is printed, the reason names the effect and its line, and later revisions
    are read too.
    """
    code, reason = EFFECTS[case]
    words = {"port": listener.getsockname()[1], "file": tmp_path / "made"}
    offline.write("0001", f"{TABLE}    {code.format(**words)}")
    offline.write("0002", "CREATE TABLE b (id int)")
    (first, problem), (second, none) = printed(offline)
    assert "CREATE TABLE a" in first and "CREATE TABLE b" in second and none is None
    assert (
        problem is not None and reason.format(**words) in problem and "(0001.py, line " in problem
    )
    assert not (tmp_path / "made").exists()


LIBRARIES = {
    "libpq": "import psycopg; psycopg.connect('host=127.0.0.1 port={port} connect_timeout=5')",
    "libpq by name": "import psycopg; psycopg.connect('host=localhost port={port}')",
    "the C library": (
        "import ctypes\n"
        "    made = ctypes.CDLL(None, use_errno=True).socket(2, 1, 0)\n"
        "    assert made >= 0, ctypes.get_errno()"
    ),
    "execve by the C library": (
        "import ctypes\n"
        "    libc = ctypes.CDLL(None, use_errno=True)\n"
        "    libc.syscall({execve}, b'/bin/true', None, None)\n"
        "    raise OSError(ctypes.get_errno(), 'not started')"
    ),
}


@needs_kernel
@pytest.mark.parametrize("case", LIBRARIES)
def test_c_libraries_reach_nothing(offline: Project, listener: socket.socket, case: str) -> None:
    """The kernel refuses what Python can't see, such as a connection of psycopg's own."""
    words = {
        "port": listener.getsockname()[1],
        "execve": 59 if platform.machine() == "x86_64" else 221,
    }
    offline.write("0001", f"{TABLE}    {LIBRARIES[case].format(**words)}")
    [(sql, problem)] = printed(offline)
    assert "CREATE TABLE a" in sql and problem is not None
    if "libpq" in case:
        assert "refused while its SQL is only read" in problem
    else:
        assert "13" in problem


def test_what_only_changes_its_own_process_is_allowed(offline: Project) -> None:
    """Reading files, variables, imports, /dev/null; and this process has none of the changes."""
    code = (
        "import os, json, pathlib\n"
        "    os.environ['ONLY_THERE'] = '1'; os.chdir('/')\n"
        "    pathlib.Path(__file__).read_text(); open(os.devnull, 'w').write('x')\n"
        "    op.execute(f\"SELECT {os.environ['ONLY_THERE']}\")"
    )
    before = Path.cwd()
    offline.write("0001", f"    {code}")
    [(sql, problem)] = printed(offline)
    assert "SELECT 1;" in sql and problem is None
    assert "ONLY_THERE" not in os.environ and Path.cwd() == before


DEATHS = {
    "import ctypes; ctypes.string_at(0)": "its code ended the process (signal 11)",
    "bytearray(1 << 40)": "MemoryError",
    "import resource, os; os.kill(os.getpid(), 0); [0] * (1 << 33)": "MemoryError",
}


@pytest.mark.parametrize("code", DEATHS)
def test_a_crash_is_the_reason_of_its_revision(offline: Project, code: str) -> None:
    """The revisions before and after it are read."""
    offline.write("0001", "CREATE TABLE a (id int)")
    offline.write("0002", f"    {code}")
    offline.write("0003", "CREATE TABLE c (id int)")
    first, second, third = printed(offline)
    assert "CREATE TABLE a" in first[0] and first[1] is None
    assert DEATHS[code] in (second[1] or "")
    assert "CREATE TABLE c" in third[0] and third[1] is None


def test_a_process_that_does_not_end_is_ended() -> None:
    """With what it has sent until then; a process that is slow, but goes on, is not."""

    def loop(send: Callable[[Any], None]) -> None:
        send(os.getpid())
        while True:
            time.sleep(0.05)

    found = confined.results(loop, 0.5)
    pid = next(found)
    with pytest.raises(confined.ProcessEnded, match=r"did not end within 0\.5 s"):
        next(found)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

    def slow(send: Callable[[Any], None]) -> None:
        for number in range(4):
            time.sleep(0.2)
            send(number)

    assert list(confined.results(slow, 0.7)) == [0, 1, 2, 3]


def test_an_interruption_ends_the_process() -> None:
    def wait(send: Callable[[Any], None]) -> None:
        send(os.getpid())
        time.sleep(60)

    found = confined.results(wait)
    pid = next(found)
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_a_revision_leaves_running_does_not_hold_up(offline: Project) -> None:
    """A process that it forked keeps the pipe open."""
    code = (
        "import os, time\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "        os._exit(0)\n"
        "    op.execute('SELECT 1')"
    )
    offline.write("0001", f"    {code}")
    began = time.monotonic()
    [(sql, problem)] = printed(offline)
    assert "SELECT 1;" in sql and problem is None
    assert time.monotonic() - began < confined.PATIENCE_S / 2


ODD = {
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(0)); op.execute('SELECT 7')",
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor(4) as threads:\n"
        "        list(threads.map(str, range(9)))\n"
        "    op.execute('SELECT 7')"
    ),
    "an alarm": "import signal; signal.alarm(1); signal.alarm(0); op.execute('SELECT 7')",
    "much output": "print('x' * 3_000_000); op.execute('SELECT 7')",
}


@pytest.mark.parametrize("case", ODD)
def test_odd_code_is_read(offline: Project, case: str) -> None:
    offline.write("0001", f"    {ODD[case]}")
    assert [("SELECT 7;" in sql, problem) for sql, problem in printed(offline)] == [(True, None)]


def test_what_is_printed_while_sql_is_read_is_discarded(
    offline: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would look like a migration that runs."""
    offline.write(
        "0001",
        "    import os, sys\n    os.write(1, b'one')\n    os.write(2, b'two')\n"
        "    print('three', file=sys.__stdout__, flush=True)\n    op.execute('SELECT 7')",
    )
    [(sql, problem)] = printed(offline)
    assert "SELECT 7;" in sql and problem is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("code", ["os.closerange(3, 4096)", "os.close(1); os.close(2)"])
def test_closed_descriptors_are_no_crash_of_ours(offline: Project, code: str) -> None:
    """The answer, or a reason; the next revision is read."""
    offline.write("0001", f"    import os; {code}; op.execute('SELECT 7')")
    offline.write("0002", "SELECT 8")
    (first, problem), (second, none) = printed(offline)
    assert "SELECT 7;" in first or "ended the process" in (problem or "")
    assert "SELECT 8;" in second and none is None


def test_large_sql_and_a_lone_surrogate(offline: Project) -> None:
    """Megabytes pass; what is no character is refused with its revision's name."""
    offline.write("0001", f"COMMENT ON TABLE a IS '{'x' * 5_000_000}'")
    [(sql, problem)] = printed(offline)
    assert len(sql) > 5_000_000 and problem is None
    offline.write("0002", r"    op.execute('SELECT \'\ud800\'')")
    with pytest.raises(MigrateError, match="revision 0002: its SQL holds a lone surrogate"):
        printed(offline)
