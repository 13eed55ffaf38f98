"""A running PostgreSQL as a child process of the supervisor.

What it emulates: the RDS instance behind the platform. Where it differs from RDS: loopback TCP only and no TLS (`rds.force_ssl`
off), `fsync` off (a power cut may cost the data, a killed process does not), 50 connections, no backups and no replica.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ops.errors import OpsError
from ops.sandbox.contracts import Part, Paths
from ops.sandbox.database import account as accounts
from ops.sandbox.database import binaries, cluster, schema

PATIENCE = 20.0           # seconds for a start; recovery after a kill -9 takes about one
OPTIONS = {
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
    "max_connections": "50", "shared_buffers": "32MB", "jit": "off", "logging_collector": "off", "log_line_prefix": "%m [%p] ",
}


class Server:
    """One PostgreSQL on 127.0.0.1:`port`, its data below `paths.postgres`."""

    def __init__(self, paths: Paths, port: int, say: Callable[[str], None] = lambda line: None) -> None:
        self._paths, self.port, self._say = paths, port, say
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopping = False

    @property
    def login(self) -> schema.Login:
        """How the application (and `inv db.*`) reaches the database: what the secret holds."""
        return schema.Login("127.0.0.1", self.port, schema.DATABASE, schema.ROLE, cluster.passwords(self._paths).application)

    def start(self) -> None:
        """Make what is missing, start the server, and bring a database that is new to the newest revision.

        Raises OpsError when there is no PostgreSQL or when it does not start.
        """
        self._paths.postgres.mkdir(parents=True, exist_ok=True)
        self._paths.logs.mkdir(parents=True, exist_ok=True)
        self._account = accounts.choose()
        home = cluster.home(self._paths, self._account)
        self._data = home / "data"
        cluster.clear(self._data)
        found = binaries.find(self._account, cluster.major(self._data), home)
        self._keep_only_readable(found)
        secret = cluster.passwords(self._paths)
        if not self._data.exists():
            cluster.initialise(self._data, found, self._account, secret.admin)
        self._postgres = found.postgres
        self._launch()
        if not self._marker.exists():
            schema.create(schema.Login("127.0.0.1", self.port, "postgres", cluster.ADMIN, secret.admin), self.login)
            schema.upgrade(self.login)
            self._marker.write_text("made\n")

    @property
    def _marker(self) -> Path:
        return self._paths.postgres / "schema-made"

    def _keep_only_readable(self, found: binaries.Binaries) -> None:
        """Put aside data that this server can't read: another major version made it, or half of it is gone."""
        made_by = cluster.major(self._data)
        if made_by == found.major:
            return
        self._marker.unlink(missing_ok=True)
        if self._data.exists():
            aside = self._data.with_name(f"data-{made_by or 'broken'}-{int(time.time())}")
            self._data.rename(aside)
            self._say(f"database: {aside} was made by PostgreSQL {made_by}, this is {found.major}: a new one is made")

    def _launch(self) -> None:
        """Start the server and wait until it takes connections; tried again while what a killed one left behind is still going."""
        options = [text for name, value in {**OPTIONS, "port": str(self.port)}.items() for text in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + PATIENCE
        while True:
            with (self._paths.logs / "postgres.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._postgres, "-D", self._data, *options], cwd=self._data.parent, env=cluster.environment(),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._account.identity(),
                )
            if self._ready(deadline):
                return
            if time.monotonic() > deadline or self._stopping:
                self._terminate(self._process)
                raise OpsError(
                    f"PostgreSQL does not start on 127.0.0.1:{self.port}", self._last_words(),
                    "inv sandbox.down --purge, then inv sandbox.up",
                )
            time.sleep(0.3)

    def _ready(self, deadline: float) -> bool:
        """True once the pid file says ready; False when the server ended or the time is up."""
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                lines = (self._data / "postmaster.pid").read_text().splitlines()
                if lines[0].strip() == str(self._process.pid) and lines[7].strip() == "ready":
                    return True
            time.sleep(0.02)
        return False

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._paths.logs / "postgres.log").read_text(errors="replace").splitlines()
            telling = [line for line in lines[-30:] if "FATAL" in line or "could not" in line]
            return (telling or lines or ["it said nothing"])[-1]
        return "it said nothing"

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def mend(self) -> bool:
        """Start the server again where it has died; whether that was needed. For the supervisor's watch."""
        with self._lock:
            if self._stopping or self._process is None or self.alive():
                return False
            cluster.clear(self._data)
            self._launch()
            return True

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, data is written. Idempotent."""
        self._stopping = True
        with self._lock:
            if self._process is not None:
                self._terminate(self._process)

    def forget(self) -> None:
        """Delete the stopped server's data where it lies outside of the sandbox's folder: for a folder that was deleted by hand."""
        outside = self._data.parent
        if outside != self._paths.postgres and outside.name.startswith(cluster.OUTSIDE):
            shutil.rmtree(outside, ignore_errors=True)

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def part(self) -> Part:
        pids = (self._process.pid,) if self._process is not None else ()
        return Part("database", self.stop, self.alive, pids)
