"""The data of the sandbox's PostgreSQL: location, passwords, cleanup after a kill.

The data is in `.sandbox/postgres/data`. As root, if the server's account can't access that (a
checkout under /root), it is in a folder below the system's temporary folder, named in
`.sandbox/postgres/location`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ops.postgres.server.account import Account
from ops.postgres.server.cluster import write_private as write_private
from ops.sandbox.contracts import Paths

MARKER = "schema-made"  # beside the data, once its schema is complete
OUTSIDE = "ecs-sandbox-"  # how folders for data begin that can't lie in the sandbox's own


@dataclass(frozen=True)
class Passwords:
    """The passwords of one sandbox, generated once, in a file readable by its user only."""

    admin: str
    application: str


def passwords(paths: Paths) -> Passwords:
    """Return this sandbox's passwords, generating them at the first call."""
    kept = _credentials(paths)
    paths.postgres.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        made = Passwords(secrets.token_urlsafe(18), secrets.token_urlsafe(18))
        write_private(kept, json.dumps(asdict(made)))
    return Passwords(**json.loads(kept.read_text()))


def store_password(paths: Paths, password: str) -> None:
    """Replace the application's password in the file."""
    changed = Passwords(passwords(paths).admin, password)
    write_private(_credentials(paths), json.dumps(asdict(changed)))


def _credentials(paths: Paths) -> Path:
    return paths.postgres / "credentials.json"


def put_unreadable_aside(paths: Paths) -> Path | None:
    """Rename a database whose passwords can't be read any more; return its new place, or None.

    No remaining password could log in to it; a new one is created instead. The server must not be
    running.
    """
    kept, data = _credentials(paths), located(paths)
    try:
        if kept.exists():
            Passwords(**json.loads(kept.read_text()))
        if kept.exists() or not data.exists():
            return None
    except (ValueError, TypeError):
        kept.unlink()
    (paths.postgres / MARKER).unlink(missing_ok=True)
    if not data.exists():
        return None
    clear(data)
    aside = data.with_name(f"data-locked-{int(time.time())}")
    data.rename(aside)
    return aside


def home(paths: Paths, account: Account) -> Path:
    """Return the folder that holds the data, created if missing and accessible for `account`."""
    named = paths.postgres / "location"
    if named.exists() and (kept := Path(named.read_text().strip())).is_dir():
        return kept
    paths.postgres.mkdir(parents=True, exist_ok=True)
    if not account.separate:
        paths.postgres.chmod(0o700)
        return paths.postgres
    for folder in (paths.root, paths.postgres):
        folder.chmod(0o711)  # passed through, not listed, whatever the umask says
    if account.reaches(paths.postgres):
        return paths.postgres
    digest = hashlib.sha256(str(paths.root.resolve()).encode()).hexdigest()[:8]
    prefix = f"{OUTSIDE}{digest}-"
    for forgotten in Path(tempfile.gettempdir()).glob(
        f"{prefix}*"
    ):  # of a .sandbox that was deleted by hand
        if forgotten.lstat().st_uid == os.geteuid():
            clear(forgotten / "data")
            shutil.rmtree(forgotten, ignore_errors=True)
    elsewhere = Path(tempfile.mkdtemp(prefix=prefix))
    elsewhere.chmod(0o711)
    write_private(named, f"{elsewhere}\n")
    return elsewhere


def located(paths: Paths) -> Path:
    """Return the data folder, without creating it."""
    named = paths.postgres / "location"
    return (Path(named.read_text().strip()) if named.exists() else paths.postgres) / "data"


def purge(paths: Paths) -> None:
    """Delete the data. The server must be stopped."""
    named = paths.postgres / "location"
    if named.exists():
        elsewhere = Path(named.read_text().strip())
        if elsewhere.name.startswith(OUTSIDE):
            shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.rmtree(paths.postgres, ignore_errors=True)


def major(data: Path) -> int | None:
    """Return the major version that created `data`, or None."""
    try:
        return int((data / "PG_VERSION").read_text().split(".")[0])
    except (OSError, ValueError):
        return None


def _postmaster(data: Path) -> psutil.Process | None:
    """Return the running server of `data` from its pid file, or None.

    A pid that another process has reused is ignored.
    """
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if str(data) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def clear(data: Path) -> None:
    """Stop a server left running by an earlier supervisor, and remove its pid file."""
    left = _postmaster(data)
    if left is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.send_signal(signal.SIGINT)
            try:
                left.wait(10)
            except psutil.TimeoutExpired:
                left.kill()
                left.wait(5)
    (data / "postmaster.pid").unlink(missing_ok=True)
