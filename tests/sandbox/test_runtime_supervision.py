"""Tasks of a supervisor that dies without a word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import until

SUPERVISOR = """
import sys, threading, time
from pathlib import Path
from ops.sandbox.runtime.processes import Command, Spawner
folder, watch = sys.argv[1], sys.argv[2] == "watch"
started = []
def start():
    code = "import time, os; print(os.getpid(), flush=True); time.sleep(60)"
    command = Command((sys.executable, "-c", code), "python3", {"A": "1"}, Path(folder))
    started.append(spawner.spawn(command, watch))
spawner = Spawner()
starter = threading.Thread(target=start); starter.start(); starter.join()
time.sleep(0.5)
print(started[0].pid, started[0].poll(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["kernel", "watch"])
def test_a_task_dies_with_its_killed_supervisor(tmp_path: Path, how: str) -> None:
    """kill -9 of the supervisor takes the task along, and the end of the thread that started it
    does not.
    """
    if how == "kernel" and not sys.platform.startswith("linux"):
        pytest.skip("PR_SET_PDEATHSIG is Linux's")
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), how], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    pid, code = supervisor.stdout.readline().split()
    assert code == "None"
    task = psutil.Process(int(pid))
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    until(lambda: not task.is_running() or task.status() == psutil.STATUS_ZOMBIE)


def test_the_watcher_goes_with_its_task(tmp_path: Path) -> None:
    """Where a watcher stands in for the kernel, it does not outlive the task that it watches."""
    from ops.sandbox.runtime.processes import Command, ProcessContainer, Spawner

    command = Command(
        (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"),
        "python3",
        {"A": "1"},
        tmp_path,
    )
    process = Spawner().spawn(command, watch=True)
    lines: list[str] = []
    container = ProcessContainer(process, "sha256:0", lines.append, lambda: None)
    until(lambda: container.poll() is not None)
    assert container.poll() == 0
    assert json.loads(lines[0])["A"] == "1"
    until(
        lambda: (
            not [
                each
                for each in psutil.process_iter(["cmdline"])
                if "launcher.py" in " ".join(each.info["cmdline"] or []) and each.ppid() == 1
            ]
        )
    )
