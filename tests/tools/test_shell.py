"""Programs as the shell door runs them: real child processes, real signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from ops.core.errors import ConfigError, TimedOut, Unreachable
from ops.tools import shell

PYTHON = sys.executable


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_output_and_exit_code() -> None:
    """Both streams and the exit code come back, apart from each other."""
    done = shell.run(
        [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"]
    )
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_words_are_not_a_shell(tmp_path: Path) -> None:
    """A word with shell characters stays one word."""
    done = shell.run(
        [PYTHON, "-c", "import sys; print(sys.argv[1])", f"; touch {tmp_path}/made $(id) `id`"]
    )
    assert done.stdout == f"; touch {tmp_path}/made $(id) `id`\n"
    assert list(tmp_path.iterdir()) == []


def test_lines_come_live() -> None:
    """A line is told while the program still runs."""
    seen: list[tuple[str, float]] = []
    began = time.monotonic()
    code = "import time; print('one', flush=True); time.sleep(1); print('two', end='')"
    shell.run(
        [PYTHON, "-c", code], on_line=lambda line: seen.append((line, time.monotonic() - began))
    )
    assert [line for line, _ in seen] == ["one", "two"]
    assert seen[1][1] - seen[0][1] > 0.8


def test_stdin_reaches_the_program_and_an_unread_one_does_not_hang() -> None:
    """Input is handed over whole; a program that reads none of it still ends."""
    text = "x" * 300_000
    assert (
        shell.run([PYTHON, "-c", "import sys; print(len(sys.stdin.read()))"], stdin=text).stdout
        == "300000\n"
    )
    assert shell.run([PYTHON, "-c", "pass"], stdin=text, timeout=10).exit_code == 0


def test_without_stdin_a_program_that_asks_gets_an_end_of_file() -> None:
    """Nothing waits for an answer that nobody can give."""
    assert (
        shell.run([PYTHON, "-c", "import sys; print(repr(sys.stdin.read()))"], timeout=10).stdout
        == "''\n"
    )


def test_endless_output_is_bounded() -> None:
    """Only the end of a flood is kept, and that is said."""
    code = "for i in range(200_000): print('a' * 60, i)"
    done = shell.run([PYTHON, "-c", code], timeout=60)
    assert len(done.stdout) < shell.OUTPUT_LIMIT + 1000
    assert done.stdout.startswith("… ") and done.stdout.endswith(" 199999\n")


def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    """At the limit program and grandchild are gone, and the error is a TimedOut (exit 6)."""
    pids = tmp_path / "pids"
    note = f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')"
    code = (
        f"import subprocess, os, time; child = subprocess.Popen(['sleep', '60']); {note}; "
        f"print('waiting', flush=True); time.sleep(60)"
    )
    began = time.monotonic()
    with pytest.raises(TimedOut) as error:
        shell.run([PYTHON, "-c", code], timeout=1)
    assert time.monotonic() - began < 30
    assert "waiting" in error.value.why and error.value.code == 6
    time.sleep(0.2)
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_the_timeout_holds_for_a_program_that_closed_its_output() -> None:
    """A silent program is not waited for without end."""
    code = "import os,time; os.close(1); os.close(2); time.sleep(60)"
    with pytest.raises(TimedOut):
        shell.run([PYTHON, "-c", code], timeout=1)


def test_a_grandchild_that_keeps_the_output_open_does_not_hold_us() -> None:
    """A daemon left behind by the program does not make us wait."""
    code = "import subprocess; print(subprocess.Popen(['sleep','60']).pid)"
    began = time.monotonic()
    done = shell.run([PYTHON, "-c", code])
    assert time.monotonic() - began < 30
    os.kill(int(done.stdout), signal.SIGKILL)


INTERRUPTED = """
import sys
sys.path.insert(0, {root!r})
from ops.tools import shell
child = '''
import signal, sys, time
seen = []
def count(*_):
    seen.append(1)
signal.signal(signal.SIGINT, count)
print("ready", flush=True)
{child}
'''
try:
    shell.run([sys.executable, "-c", child], on_line=lambda line: print("child:", line, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def interrupted(child: str, interrupts: int = 1) -> tuple[list[str], float]:
    """A process of ours that runs `child`, interrupted as a terminal would: what it printed, and
    how long it took to end.
    """
    import subprocess

    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [PYTHON, "-c", INTERRUPTED.format(root=root, child=child)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip()]
    began = time.monotonic()
    for _ in range(interrupts):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    killer = threading.Timer(20, process.kill)
    killer.start()
    lines += [line.strip() for line in process.stdout]
    process.wait()
    killer.cancel()
    return lines, time.monotonic() - began


def test_one_interrupt_is_handed_on_once(tmp_path: Path) -> None:
    """Ctrl-C reaches the program exactly once, it may end in its own way, and then we are
    interrupted.
    """
    note = tmp_path / "count"
    lines, took = interrupted(
        f"while not seen: time.sleep(0.05)\ntime.sleep(1)\nopen({str(note)!r}, "
        f"'w').write(str(len(seen)))"
    )
    assert lines == ["child: ready", "interrupted"]
    assert note.read_text() == "1"
    assert took < 6


def test_a_second_interrupt_kills(tmp_path: Path) -> None:
    """A program that ignores the first Ctrl-C is killed at the second."""
    note = tmp_path / "pid"
    _, took = interrupted(
        f"import os\nopen({str(note)!r}, 'w').write(str(os.getpid()))\nwhile True: time.sleep(0.1)",
        interrupts=2,
    )
    assert took < 10
    assert gone(int(note.read_text()))


@pytest.mark.parametrize("argv", [["no-such-program-here"], ["/no/such/program"]])
def test_a_missing_program_is_named(argv: list[str]) -> None:
    """What is not installed is said by name, with exit code 2."""
    with pytest.raises(
        ConfigError, match=r"program (no-such-program-here|/no/such/program) is not here"
    ) as error:
        shell.run(argv)
    assert "install" in error.value.next


def test_a_missing_folder_is_not_called_a_missing_program(tmp_path: Path) -> None:
    """A wrong folder is named as such."""
    with pytest.raises(ConfigError, match="no such folder"):
        shell.run(["true"], cwd=tmp_path / "absent")


def test_what_is_no_program_is_said(tmp_path: Path) -> None:
    """A file without execute permission, a folder, and a word with a NUL are errors of ours, not
    tracebacks.
    """
    file = tmp_path / "plain"
    file.write_text("hello")
    for argv in ([str(file)], [str(tmp_path)], ["echo", "a\0b"]):
        with pytest.raises(ConfigError):
            shell.run(argv)


def test_version_is_the_first_line_and_a_failure_is_unreachable() -> None:
    """`version` gives one line; a program that fails is said to."""
    assert shell.version("git").startswith("git version ")
    with pytest.raises(Unreachable, match="exit code"):
        shell.version("git", "--no-such-option")
