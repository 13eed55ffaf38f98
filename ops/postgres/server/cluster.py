"""A PostgreSQL cluster on this machine: initialise, launch, wait, stop.

The superuser has a password that is passed in a file, the process gets no variables of ours, and
the caller decides where it listens.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from ops.core.errors import OpsError
from ops.postgres.server.account import Account
from ops.postgres.server.binaries import Binaries

ADMIN = "postgres"
_ENCODING = (
    "--encoding=UTF8",
    "--locale=C",
    "--auth=scram-sha-256",
    f"--username={ADMIN}",
    "--no-sync",
)


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only."""
    making = path.with_name(path.name + ".making")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    making.replace(path)


def initialise(data: Path, binaries: Binaries, account: Account, password: str, again: str) -> None:
    """Create an empty cluster at `data` atomically. The password is passed in a file.

    Raises OpsError with initdb's output; `again` is its next step.
    """
    making, secret = data.with_name("making"), data.with_name("pwfile")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    account.own(making)
    write_private(secret, password + "\n")
    account.own(secret)
    try:
        made = subprocess.run(
            [binaries.initdb, f"--pgdata={making}", f"--pwfile={secret}", *_ENCODING],
            cwd=making.parent,
            env=_minimal_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            **account.identity(),
        )
    finally:
        secret.unlink(missing_ok=True)
    if made.returncode:
        last = (made.stderr.strip() or made.stdout.strip()).splitlines()[-1:]
        raise OpsError(f"initdb failed with {made.returncode}: {making}", " ".join(last), again)
    making.rename(data)


def _minimal_environment() -> dict[str, str]:
    """The environment of PostgreSQL processes, without PG* variables and locale."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def launch(
    postgres: Path, data: Path, options: Mapping[str, str], account: Account, log: Path
) -> subprocess.Popen[bytes]:
    """Start the server of `data` in a session of its own, out of reach of a terminal's Ctrl-C."""
    words = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
    with log.open("ab") as stream:
        return subprocess.Popen(
            [postgres, "-D", data, *words],
            cwd=data.parent,
            env=_minimal_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            **account.identity(),
        )


def wait_until_ready(process: subprocess.Popen[bytes], data: Path, deadline: float) -> bool:
    """Wait for the pid file to report readiness; False if the server ended or time is up.

    `deadline` is a value of time.monotonic.
    """
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            if lines[0].strip() == str(process.pid) and lines[7].strip() == "ready":
                return True
        time.sleep(0.02)
    return False


def last_log_line(log: Path) -> str:
    """The log line that best explains the end of the server."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        telling = [line for line in lines[-30:] if "FATAL" in line or "could not" in line]
        return (telling or lines or ["no output"])[-1]
    return "no output"


def stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown: sessions are disconnected, data is written. Idempotent."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
