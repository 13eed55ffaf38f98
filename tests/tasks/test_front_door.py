"""The error boundary as a user meets it: signals, bugs, JSON, and a clean stdout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TASKS = '''
import gc, os, subprocess, sys, time
from ops.core.errors import Refused
from ops.core.result import Report
from ops.tasks.shared import ops_task

@ops_task(options=("json",))
def waits(session):
    """Wait."""
    print("waiting", file=sys.stderr, flush=True)
    for _ in range(600):  # Python notices a signal that comes just before a sleep only after it
        time.sleep(0.05)

@ops_task(options=("json",))
def streams(session, code=0):
    """Stream a log."""
    session.reread = "inv backend.logs --task ID"
    session.stream.write("line\\n")
    session.stream.flush()
    session.leave(code)

@ops_task(options=("json",))
def refuses(session):
    """Refuse."""
    raise Refused("what", "why", "next")

@ops_task(options=("json",))
def breaks(session):
    """Break."""
    raise ZeroDivisionError("a bug")

@ops_task(options=("json",))
def exits(session):
    """Call code that exits."""
    sys.exit(0)

@ops_task(options=("json",))
def threads(session):
    """Start a thread where none can be started."""
    import resource, threading
    resource.setrlimit(resource.RLIMIT_AS, (400_000_000, 400_000_000))
    threading.stack_size(1_000_000_000)
    threading.Thread(target=time.sleep, args=(0,)).start()

@ops_task(options=("json",))
def fills(session):
    """Make many things, and count how often they are looked through."""
    looks = []
    gc.callbacks.append(lambda phase, about: looks.append(about["generation"]))
    kept = [[number] for number in range(200_000)]
    session.report(Report({"looks": len(looks) // 2, "kept": len(kept)}, "text"))

@ops_task(options=("json", "skip"))
def answers(session):
    """Answer, with noise on stdout from here and from a child."""
    print("noise")
    subprocess.run(["echo", "child's noise"], check=True)
    session.report(Report({"skip": sorted(session.skip)}, "text"))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "invoke", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_130_and_three_lines(folder: Path, name: str) -> None:
    """Ctrl-C, a kill and a lost terminal leave alike."""
    process = start(folder, "waits")
    assert process.stderr and process.stderr.readline() == "waiting\n"
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"interrupted by {name}" in said and " next: " in said and "Traceback" not in said


def test_sigint_works_where_it_started_ignored(folder: Path) -> None:
    """Under `sh &` SIGINT starts ignored; our handler is installed all the same."""
    command = f"trap '' INT; exec {sys.executable} -m invoke waits"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr and process.stderr.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_an_error_is_one_document_with_json(folder: Path) -> None:
    """`--json` puts the error's three parts on stdout, and the lines on stderr."""
    process = start(folder, "refuses", "--json")
    out, said = process.communicate(timeout=20)
    assert process.returncode == 3
    assert json.loads(out) == {"error": {"what": "what", "why": "why", "next": "next"}}
    assert said.splitlines() == ["error: what", "  why: why", " next: next"]


def test_a_bug_is_three_lines_and_names_its_traceback(folder: Path) -> None:
    """A traceback goes to a file."""
    process = start(folder, "breaks")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and "Traceback" not in said and "this is a bug" in said
    path = Path(said.rsplit("report it with ", 1)[1].strip())
    assert "ZeroDivisionError: a bug" in path.read_text()
    path.unlink()


def test_code_that_exits_is_no_success(folder: Path) -> None:
    """A library's `sys.exit(0)` is exit code 1, and one document."""
    process = start(folder, "exits", "--json")
    out, said = process.communicate(timeout=20)
    assert (
        process.returncode == 1 and "unexpected SystemExit: 0" in json.loads(out)["error"]["what"]
    )
    Path(said.rsplit("report it with ", 1)[1].strip()).unlink()


def test_a_resource_that_has_run_out_is_no_bug(folder: Path) -> None:
    """Under `ulimit -v` no thread can be started: the machine is named, not this tool."""
    process = start(folder, "threads")
    _, said = process.communicate(timeout=20)
    assert (
        process.returncode == 1
        and "run out of a resource" in said
        and "can't start new thread" in said
    )
    assert "ulimit -a" in said and "this is a bug" not in said


def test_stdout_holds_one_document_a_task(folder: Path) -> None:
    """Noise from the task and from its children goes to stderr; two tasks on one line are two
    documents.
    """
    process = start(
        folder, "answers", "--json", "--skip", "a,b", "--skip", "c", "answers", "--json"
    )
    out, said = process.communicate(timeout=20)
    assert [json.loads(line) for line in out.splitlines()] == [
        {"skip": ["a", "b", "c"]},
        {"skip": []},
    ]
    assert "child's noise" in said


def test_a_closed_pipe_is_quiet(folder: Path) -> None:
    """`inv … | head` ends without a traceback."""
    command = f"{sys.executable} -m invoke answers answers answers | true"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_what_a_task_loads_is_seldom_looked_through(folder: Path) -> None:
    """200 000 things are looked through a few times, not once for every 700: that was a third of
    what health.all computed.
    """
    said, _ = start(folder, "fills", "--json").communicate(timeout=60)
    assert json.loads(said)["kept"] == 200_000 and json.loads(said)["looks"] <= 10


@pytest.mark.parametrize("words", [["answers"], ["answers", "--json"]])
def test_a_full_disk_is_no_success(folder: Path, words: list[str]) -> None:
    """An answer that stdout did not take is exit 1, and stands on stderr; the task itself was
    carried out.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "invoke", *words]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "text\nerror: the answer could not be written to stdout\n  why: [Errno 28]" in done.stderr
    )


@pytest.mark.parametrize("words", [["streams"], ["streams", "--json"]])
def test_a_log_on_a_full_disk_names_the_command_that_prints_it(
    folder: Path, words: list[str]
) -> None:
    """Nothing of it is on stderr; an exit code of its own stays."""
    for options, code in (([], 1), (["--code", "7"], 7)):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "invoke", *words, *options],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == code and "read it above" not in done.stderr
        assert "error: lines of the log could not be written to stdout" in done.stderr
        assert "then: inv backend.logs --task ID\n" in done.stderr


def test_a_reader_that_has_gone_changes_nothing(folder: Path) -> None:
    """`inv … --json | true` is what the task is: exit 0."""
    command = f"{{ {sys.executable} -m invoke answers --json; echo $? >&2; }} | true"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.endswith("0\n") and "could not be written" not in done.stderr
