"""Launcher of a task's process: set it up as a container's first process, then exec.

Run by file name, with `-I -S`. Reads one JSON object from stdin: {"parent", "argv", "env",
"folder", "watch"}. This is not done in a preexec_fn, because the supervisor has many threads, and
code between fork and exec may hang on a lock that another thread held.

- The kernel kills this process when its parent dies (PR_SET_PDEATHSIG); where there is no such
  call (macOS), or with "watch", a small forked watcher kills the process group instead.
- SIGTERM starts ignored, as for PID 1 of a container: a program that installs no handler runs into
  the stop timeout, as it would in ECS.
- A failing exec writes its errno to the descriptor named by the only argument; a successful exec
  closes it.
"""

import ctypes
import json
import os
import signal
import sys
import time

_SET_PDEATHSIG = 1


def main() -> None:
    """Set up the process, then exec; never returns."""
    order, status = json.load(sys.stdin), int(sys.argv[1])
    os.set_inheritable(status, False)
    parent = int(order["parent"])
    if sys.platform.startswith("linux") and not order["watch"]:
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        _watch(parent, status)
    if os.getppid() != parent:
        os._exit(137)  # the parent died before prctl
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.chdir(order["folder"])
        os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(status, str(error.errno or 0).encode())
        os._exit(127)


def _watch(parent: int, status: int) -> None:
    """Fork a watcher that kills this process group when `parent` dies.

    It ends with this process.
    """
    task = os.getpid()
    if os.fork():
        return
    for descriptor in (0, 1, 2, status):
        os.close(descriptor)
    while os.getppid() == task:
        try:
            os.kill(parent, 0)
        except OSError:
            os.killpg(task, signal.SIGKILL)
        time.sleep(0.3)
    os._exit(0)


if __name__ == "__main__":
    main()
