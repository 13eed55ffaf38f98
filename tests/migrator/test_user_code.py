"""Revisions that end the process, or their own transaction, instead of doing their work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import Interrupted
from ops.migrator.model import Limits, MigrateError, RunIdentity, TargetDatabase
from ops.migrator.revisions.scripts import Scripts
from ops.migrator.revisions.user_code import UserCodeError, contained
from ops.migrator.runner import migrate
from ops.sandbox.database import Server
from tests.migrator.migrating import ROOT, TABLE, TABLES, Project, runs

ENDINGS = [
    ("raise SystemExit(0)", "SystemExit: 0"),
    ("raise SystemExit", "SystemExit"),
    ("import sys; sys.exit('bye')", "SystemExit: bye"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("raise GeneratorExit", "GeneratorExit"),
    ("import os; os._exit(0)", "os._exit(0) was called"),
    ("import os; os.execvp('true', ['true'])", "os.execv("),
    ("import posix; posix._exit(0)", "posix._exit(0) was called"),
    ("import ctypes; ctypes.CDLL(None)._exit(0)", "_exit() of the C library was used"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "os.kill of this process"),
    ("import signal; signal.raise_signal(15)", "signal.raise_signal(15) was called"),
    ("raise type('Odd', (BaseException,), {})('x')", "Odd: x"),
]


@pytest.mark.parametrize(("code", "says"), ENDINGS, ids=[says for _, says in ENDINGS])
def test_a_revision_that_ends_the_process_has_failed(
    project: Project, code: str, says: str
) -> None:
    """Forward and back: exit as a failure that names file and line; nothing stays; the audit says
    failed.
    """
    project.write("0001", f"{TABLE}    {code}")
    with pytest.raises(MigrateError) as error:
        project.run()
    assert error.value.kind == "failed" and "upgrade of revision 0001 failed" in error.value.what
    assert (
        says in error.value.why and "(0001.py, line 11); nothing of it remains" in error.value.why
    )
    project.write("0001", TABLE, f"    op.execute('DROP TABLE a')\n    {code}")
    project.run()
    with pytest.raises(MigrateError, match="downgrade of revision 0001 failed") as error:
        project.run("downgrade")
    assert says in error.value.why and "the database is at 0001" in error.value.why
    assert project.ask("SELECT to_regclass('a') IS NOT NULL") == [(True,)]
    assert project.ask("SELECT result FROM ops_migrations.runs ORDER BY began_at") == [
        ("failed",),
        ("done",),
        ("failed",),
    ]


@pytest.mark.parametrize(("code", "says"), ENDINGS, ids=[says for _, says in ENDINGS])
def test_the_same_in_a_module_in_env_py_and_where_sql_is_printed(
    project: Project, code: str, says: str
) -> None:
    """Reading the revisions and printing their SQL are failures too: db.pending, db.sql and db.lint
    need no more.
    """
    file = project.write("0001", f"{TABLE}    {code}")
    with pytest.raises(MigrateError) as error:
        list(Scripts(str(project.folder)).sql("upgrade", "head", None))
    assert (
        error.value.kind == "failed"
        and error.value.what == "revision 0001"
        and says in error.value.why
    )
    assert "(0001.py, line 11)" in error.value.why
    file.write_text(file.read_text() + f"\n\n{code}\n")
    with pytest.raises(MigrateError) as error:
        Scripts(str(project.folder))
    assert (
        error.value.kind == "config"
        and says in error.value.why
        and "(0001.py, line " in error.value.why
    )
    project.write("0001", TABLE)
    env = project.folder / "env.py"
    env.write_text(env.read_text() + f"\n{code}\n")
    with pytest.raises(MigrateError) as error:
        list(Scripts(str(project.folder)).sql("upgrade", "head", None))
    assert says in error.value.why and "(env.py, line " in error.value.why
    with pytest.raises(MigrateError) as error:
        project.run()
    assert says in error.value.why and "(env.py, line " in error.value.why


@pytest.mark.parametrize("ending", ["raise RuntimeError('no')", "pass"])
def test_an_env_py_that_runs_nothing_is_not_success(project: Project, ending: str) -> None:
    """Whether it swallows a revision's failure or never starts one: the run has failed, and the
    audit says so.
    """
    project.write("0001", f"    {ending}")
    env = project.folder / "env.py"
    swallowing = "try:\n        context.run_migrations()\n    except Exception:\n        pass"
    text = env.read_text().replace(
        "        context.run_migrations()",
        f"        {swallowing.replace(chr(10), chr(10) + '    ')}",
    )
    env.write_text(
        text if ending != "pass" else env.read_text().replace("    online()", "    pass")
    )
    with pytest.raises(MigrateError, match=r"env\.py"):
        project.run()
    assert project.ask("SELECT result FROM ops_migrations.runs") == [("failed",)]


def test_a_signal_is_no_failure_of_the_code_that_it_interrupts() -> None:
    """What our signal handlers raise passes through; a forked child may end as it likes; afterwards
    all is as it was.
    """
    ending = os._exit
    with pytest.raises(Interrupted), contained():
        raise Interrupted("SIGTERM")
    with pytest.raises(UserCodeError, match="KeyboardInterrupt"), contained():
        raise KeyboardInterrupt
    with contained():
        child = os.fork()
        if not child:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert os._exit is ending


def test_a_thread_that_a_revision_leaves_is_named_and_not_waited_for(project: Project) -> None:
    """Python would wait for it at the end of the process, for ever."""
    thread = (
        "    import threading\n    threading.Thread(target=threading.Event().wait, "
        "name='stuck').start()"
    )
    project.write("0001", thread)
    assert project.run().after == "0001"
    assert "  it left a thread running (stuck), which is not waited for" in project.said
    assert all(each.daemon for each in threading.enumerate() if each.name == "stuck")


def test_text_that_is_no_text_is_a_failure_of_its_revision(project: Project) -> None:
    """A lone surrogate: said where the SQL is printed, and where it runs; a NUL in a message does
    not lose the audit's row.
    """
    project.write("0001", "    op.execute(\"SELECT '\\ud800'\")")
    with pytest.raises(MigrateError, match="revision 0001") as error:
        list(Scripts(str(project.folder)).sql("upgrade", "head", None))
    assert "\\ud800" in error.value.why
    with pytest.raises(MigrateError, match="upgrade of revision 0001 failed"):
        project.run()
    project.write("0001", "    raise RuntimeError('a\\0b \\ud800')")
    with pytest.raises(MigrateError, match="upgrade of revision 0001 failed") as error:
        project.run()
    error.value.why.encode()
    assert project.ask("SELECT DISTINCT result FROM ops_migrations.runs") == [("failed",)]


def test_what_a_revision_prints_is_filtered_and_goes_to_stderr(
    server: Server, tmp_path: Path
) -> None:
    """By print, by descriptor, by a child, by warnings and by logging; a filter sees all of it."""
    done = in_a_process(
        server,
        tmp_path,
        "    import logging, os, subprocess, sys, warnings\n"
        "    print('secret-1')\n    os.write(1, b'secret-2')\n    sys.stderr.write('secret-3')\n"
        "    warnings.warn('secret-4')\n    logging.warning('secret-5')\n"
        "    subprocess.run(['echo', 'secret-6'])",
    )
    assert done.returncode == 0 and done.stdout == "after 0001\n", done.stderr
    assert "secret" not in done.stderr
    assert all(f"hidden-{number}" in done.stderr for number in range(1, 7))


def test_a_closed_output_is_no_failure_of_a_revision(server: Server, tmp_path: Path) -> None:
    """The descriptors lead where they did, so that no connection gets their numbers."""
    done = in_a_process(
        server, tmp_path, f"{TABLE}    import os\n    os.closerange(0, 3)", "SELECT 1"
    )
    assert done.returncode == 0 and done.stdout == "after 0002\n", done.stderr
    assert "upgrade 0002" in done.stderr


def test_output_that_cannot_be_written_is_no_failure_of_a_revision(project: Project) -> None:
    """What is committed by then stays, and is done."""

    def say(_line: str) -> None:
        raise OSError(28, "No space left on device")

    project.write("0001", TABLE)
    who = RunIdentity("ann", "laptop", "db.upgrade", "full")
    outcome = migrate(project.target, "upgrade", None, who, Limits(), say=say)
    assert outcome.after == "0001"


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "raise RuntimeError", "pass"])
def test_a_forked_child_that_comes_back_ends(project: Project, code: str) -> None:
    """It does not audit the run, nor use the connections of its parent."""
    body = f"    import os\n    if not os.fork():\n        {code}\n        return\n    os.wait()"
    project.write("0001", f"{TABLE}{body}")
    process = os.getpid()
    assert project.run().after == "0001" and os.getpid() == process
    assert project.ask("SELECT result FROM ops_migrations.runs") == [("done",)]


def test_a_thread_that_fails_fails_its_revision(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback, and nothing stays."""
    thread = (
        "    import threading\n    t = threading.Thread(target=int, args=('x',), name='fill')\n"
        "    t.start(); t.join()"
    )
    project.write("0001", f"{TABLE}{thread}")
    with pytest.raises(MigrateError, match="its thread fill failed: ValueError") as error:
        project.run()
    assert "nothing of it remains" in error.value.why
    assert "Traceback" not in capsys.readouterr().err


def test_an_interruption_that_is_swallowed_once_is_raised_at_the_end(project: Project) -> None:
    """The revision is rolled back although it returned."""

    def stop(number: int, _frame: object) -> None:
        raise Interrupted(signal.Signals(number).name)

    code = "    import time\n    try:\n        time.sleep(20)\n    except BaseException: pass"
    project.write("0001", f"{TABLE}{code}")
    before = signal.signal(signal.SIGTERM, stop)
    threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        with pytest.raises(Interrupted):
            project.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert project.ask(TABLES) == [("",)]
    assert project.ask("SELECT result FROM ops_migrations.runs") == [("interrupted",)]


STUBBORN = """    import time
    while True:
        try:
            while True: time.sleep(.1)
        except BaseException: pass"""


@pytest.mark.parametrize("signals", [2, 1])
def test_a_revision_that_ignores_interruptions_is_ended(
    server: Server, tmp_path: Path, signals: int
) -> None:
    """By a second one, or some time after one; exit code 130, three lines, rolled back, audited."""
    name = f"t{next(runs)}"
    process = start(server, tmp_path, name, f"{TABLE}{STUBBORN}")
    try:
        assert process.stderr is not None
        while "upgrade 0001" not in process.stderr.readline():
            pass
        time.sleep(1)
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "ignores the interruption" in err and "nothing of it remains" in err
    target = Project(tmp_path, TargetDatabase("", {**parameters(server), "dbname": name}))
    assert target.ask(TABLES) == [("",)]
    assert target.ask("SELECT result FROM ops_migrations.runs") == [("interrupted",)]
    assert target.ask("SELECT revision, result FROM ops_migrations.steps") == [
        ("0001", "interrupted")
    ]


RUN = """
import json, signal, sys
from ops.core.errors import Interrupted
from ops.migrator.model import Limits, MigrateError, RunIdentity, TargetDatabase
from ops.migrator.runner import migrate

def stop(number, frame):
    raise Interrupted(signal.Signals(number).name)

signal.signal(signal.SIGINT, stop)
folder, parameters = sys.argv[1], json.loads(sys.argv[2])
redact = lambda text, secrets: text.replace("secret", "hidden")
target = TargetDatabase(folder, parameters, redact=redact)
say = lambda line: print(line, file=sys.stderr, flush=True)
who = RunIdentity("ann", "laptop", "db.upgrade", "r1")
print("after", migrate(target, "upgrade", None, who, Limits(), say=say).after)
"""


def parameters(server: Server) -> dict[str, Any]:
    login = server.login
    user = {"user": login.username, "password": login.password, "sslmode": "disable"}
    return {"host": login.host, "port": login.port, **user}


def start(server: Server, folder: Path, name: str, *bodies: str) -> subprocess.Popen[str]:
    """The engine in a process of its own, whose output is a pipe."""
    made = Project.make(server, folder / "alembic")
    for number, body in enumerate(bodies, 1):
        made.write(f"{number:04}", body)
    made.ask(f"CREATE DATABASE {name}")
    words = {**parameters(server), "dbname": name}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(made.folder), json.dumps(words)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def in_a_process(server: Server, folder: Path, *bodies: str) -> subprocess.CompletedProcess[str]:
    with start(server, folder, f"t{next(runs)}", *bodies) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_an_exception_without_a_readable_text_is_a_failure(project: Project) -> None:
    """Its `__str__` raises SystemExit; named by its type, where the SQL is printed too."""
    odd = "raise type('Odd', (Exception,), {'__str__': lambda _: exit()})"
    project.write("0001", f"{TABLE}    {odd}")
    ((_, _, problem),) = Scripts(str(project.folder)).sql("upgrade", "head", None)
    assert "its text can't be read: SystemExit" in str(problem)
    with pytest.raises(MigrateError, match=r"Odd \(its text can't be read: SystemExit\)"):
        project.run()
