"""How a Terraform process is ended: one interrupt, and a wait. Real processes that behave as
Terraform does.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ops.core.errors import TimedOut
from ops.terraform import process
from tests.waiting import until

# As Terraform: the first SIGINT ends the step and writes the state, a second one would drop
# everything.
SLOW = """
import signal, sys, time, pathlib
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
print("applying", flush=True)
while not heard: time.sleep(0.02)
time.sleep(0.6)
pathlib.Path("state").write_text(str(len(heard)))
print("saved", flush=True)
"""


def interrupt_after(*seconds: float) -> None:
    def send() -> None:
        for pause in seconds:
            time.sleep(pause)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send, daemon=True).start()


def test_an_interrupt_is_handed_on_once_and_waited_for(tmp_path: Path) -> None:
    """Two Ctrl-C: Terraform gets one SIGINT, writes its state, and only then is the interrupt
    ours.
    """
    interrupt_after(0.6, 0.3)
    with pytest.raises(KeyboardInterrupt):
        process.run([sys.executable, "-c", SLOW], tmp_path, os.environ, 30.0, "more")
    assert (tmp_path / "state").read_text() == "1"


class Busy(io.StringIO):
    """A terminal at which Ctrl-C is pressed while the first interrupt, or the time limit, is being
    told.
    """

    def write(self, text: str) -> int:
        if "waiting for Terraform" in text:
            os.kill(os.getpid(), signal.SIGINT)
        return super().write(text)


@pytest.mark.parametrize("limit", [1.5, 30.0])
def test_an_interrupt_while_the_first_is_told_kills_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    """At whatever moment it comes, also after our own time limit: one SIGINT in all, the state is
    written, and the end is ours.
    """
    screen = Busy()
    monkeypatch.setattr(sys, "stderr", screen)
    if limit > 10:
        interrupt_after(1.5)
    with pytest.raises(KeyboardInterrupt):
        process.run([sys.executable, "-c", SLOW], tmp_path, os.environ, limit, "more")
    assert (tmp_path / "state").read_text() == "1"
    assert screen.getvalue().count("interrupted already") == 1


def test_any_storm_of_interrupts_is_one(tmp_path: Path) -> None:
    """A key held down: a hundred Ctrl-C, of which Terraform hears one."""

    def storm() -> None:
        until((tmp_path / "applying").exists)
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.002)
        (tmp_path / "enough").touch()

    waiting = SLOW.replace(
        "time.sleep(0.6)", "while not pathlib.Path('enough').exists(): time.sleep(0.02)"
    )
    program = waiting.replace('print("applying", flush=True)', "pathlib.Path('applying').touch()")
    sender = threading.Thread(target=storm, daemon=True)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        process.run([sys.executable, "-c", program], tmp_path, os.environ, 60.0, "more")
    sender.join()
    assert (tmp_path / "state").read_text() == "1"


def test_signals_are_ours_again_afterwards(tmp_path: Path) -> None:
    """What Ctrl-C did before, it does after; what was ignored (`nohup`) stays so; another thread
    takes over nothing.
    """
    before = signal.getsignal(signal.SIGINT), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process.run(
            [sys.executable, "-c", "import os, signal; os.kill(os.getppid(), signal.SIGHUP)"],
            tmp_path,
            os.environ,
            30.0,
            "more",
        )
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)) == (
            before[0],
            signal.SIG_IGN,
        )
    finally:
        signal.signal(signal.SIGHUP, before[1])
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(
            process.run, [sys.executable, "-c", "print('read')"], tmp_path, os.environ, 30.0, "more"
        ).result()
    assert done.stdout == "read\n"


def test_a_time_limit_interrupts_and_waits_too(tmp_path: Path) -> None:
    """Past `terraform.timeout` it is interrupted, not killed: its state is written."""
    with pytest.raises(TimedOut, match=r"took longer than 0\.6 s"):
        process.run([sys.executable, "-c", SLOW], tmp_path, os.environ, 0.6, "more")
    assert (tmp_path / "state").read_text() == "1"


def test_a_kill_of_ours_is_not_terraforms(tmp_path: Path) -> None:
    """kill -9 of the operator's `inv` in mid-apply: Terraform goes on writing its lines, ends by
    itself, and has written its state.
    """
    terraform = (
        "import time, pathlib\nfor n in range(15): print(n, flush=True); "
        "time.sleep(0.1)\npathlib.Path('state').write_text('saved')"
    )
    ours = (
        "import os, sys; from pathlib import Path; from ops.terraform import process\n"
        f"argv, where = [sys.executable, '-c', {terraform!r}], Path({str(tmp_path)!r})\n"
        "process.run(argv, where, os.environ, 30.0, 'more', lambda line: print(line, flush=True))"
    )
    root = str(Path(__file__).parents[2])
    running = subprocess.Popen(
        [sys.executable, "-c", ours],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout and running.stdout.readline() == "0\n"
    running.kill()
    running.communicate()
    assert not (tmp_path / "state").exists()
    assert until((tmp_path / "state").read_text) == "saved"


def test_lines_are_told_as_they_come(tmp_path: Path) -> None:
    """Progress is shown while it runs."""
    seen: list[str] = []
    done = process.run(
        [sys.executable, "-c", "print('one'); print('two')"],
        tmp_path,
        os.environ,
        30.0,
        "more",
        seen.append,
    )
    assert seen == ["one", "two"] and done.exit_code == 0


def test_a_document_of_megabytes_arrives_whole(tmp_path: Path) -> None:
    """`show -json` of a large plan is one line of any length, with any letter at any place."""
    program = "print('é' * 3_000_000, end='')"
    done = process.read_output(
        [sys.executable, "-X", "utf8", "-c", program], tmp_path, os.environ, 30.0
    )
    assert done.stdout == "é" * 3_000_000


def test_a_reading_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """It only reads, so it may be ended at once."""
    began = time.monotonic()
    with pytest.raises(TimedOut, match="it only reads"):
        process.read_output(
            [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, os.environ, 0.3
        )
    assert time.monotonic() - began < 10
