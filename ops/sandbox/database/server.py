"""A running PostgreSQL as a child process of the supervisor.

It emulates the RDS instance behind the platform. Differs from RDS: loopback TCP only, no TLS unless
a fault requires it (see `access`), `fsync` off (a power cut may lose data, a killed process does
not), 50 connections, prepared transactions are enabled, no backups and no replica.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ops.core.errors import OpsError
from ops.postgres.server import account as accounts
from ops.postgres.server import binaries
from ops.postgres.server import cluster as running
from ops.sandbox.contracts import Component, Paths
from ops.sandbox.database import access, cluster, schema

_PATIENCE = 20.0  # seconds for a start; recovery after a kill -9 takes about one
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "50",
    "max_prepared_transactions": "5",
    "shared_buffers": "32MB",
    "jit": "off",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
}


class Server:
    """One PostgreSQL on 127.0.0.1:`port`, its data below `paths.postgres`."""

    def __init__(
        self,
        paths: Paths,
        port: int,
        say: Callable[[str], None] = lambda line: None,
        revisions: Path = schema.REVISIONS,
    ) -> None:
        """`revisions` is the alembic.ini that names the folder of a new database's revisions."""
        self._paths, self.port, self._say, self._revisions = paths, port, say, revisions
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self._tls_only = False
        self._halted = False  # by StopDBInstance: it is not to be started again

    @property
    def login(self) -> schema.Login:
        """Return the login of the application (and `inv db.*`), as stored in the secret."""
        return schema.Login(
            "127.0.0.1",
            self.port,
            schema.DATABASE,
            schema.ROLE,
            cluster.passwords(self._paths).application,
        )

    def start(self) -> None:
        """Create what is missing, start the server, and upgrade a new database.

        Raises OpsError if PostgreSQL is missing or does not start.
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
            running.initialise(
                self._data,
                found,
                self._account,
                secret.admin,
                "inv sandbox.down --purge, then inv sandbox.up",
            )
        self._postgres = found.postgres
        self._launch()
        if not self._marker.exists():
            schema.create(
                schema.Login("127.0.0.1", self.port, "postgres", running.ADMIN, secret.admin),
                self.login,
            )
            schema.upgrade_as_far_as_possible(self.login, self._say, self._revisions)
            cluster.write_private(self._marker, "made\n")

    @property
    def _marker(self) -> Path:
        return self._paths.postgres / cluster.MARKER

    def _keep_only_readable(self, found: binaries.Binaries) -> None:
        """Set aside data that this server can't read: of another major version, or incomplete."""
        made_by = cluster.major(self._data)
        if made_by == found.major:
            return
        self._marker.unlink(missing_ok=True)
        if self._data.exists():
            aside = self._data.with_name(f"data-{made_by or 'broken'}-{int(time.time())}")
            self._data.rename(aside)
            self._say(
                f"database: {aside} was created by PostgreSQL {made_by}, this is "
                f"{found.major}: a new one is created"
            )

    def _launch(self) -> None:
        """Start the server and wait until it accepts connections.

        Retried while remains of a killed server are still shutting down.
        """
        log = self._paths.logs / "postgres.log"
        access.write_entries(self._data, self._account, tls_only=self._tls_only)
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._process = running.launch(
                self._postgres, self._data, {**_OPTIONS, "port": str(self.port)}, self._account, log
            )
            if running.wait_until_ready(self._process, self._data, deadline):
                return
            if time.monotonic() > deadline or self._stopping:
                running.stop(self._process)
                raise OpsError(
                    f"PostgreSQL does not start on 127.0.0.1:{self.port}",
                    running.last_log_line(log),
                    "inv sandbox.down --purge, then inv sandbox.up",
                )
            time.sleep(0.3)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def mend(self) -> bool:
        """Restart the server if it has died; return whether it had. For the supervisor's watch."""
        with self._lock:
            if self._stopping or self._halted or self._process is None or self.alive():
                return False
            cluster.clear(self._data)
            self._launch()
            return True

    def follow(self, wanted: bool) -> None:
        """Stop or start the server to match the state of its RDS instance."""
        with self._lock:
            if self._stopping or self._process is None:
                return
            if not wanted and self.alive():
                running.stop(self._process)
            elif wanted and self._halted:
                cluster.clear(self._data)
                self._launch()
            self._halted = not wanted

    @property
    def admin(self) -> schema.Login:
        """Return the superuser's login, which RDS does not give out."""
        return schema.Login(
            "127.0.0.1",
            self.port,
            schema.DATABASE,
            running.ADMIN,
            cluster.passwords(self._paths).admin,
        )

    def store_password(self, password: str) -> None:
        """Store a new password of the application; PostgreSQL and the secret are the caller's."""
        cluster.store_password(self._paths, password)

    def require_tls(self, required: bool) -> None:
        """Accept the application's connections with TLS only, or all again. Idempotent."""
        self._tls_only = required
        if required:
            access.write_certificate(self._data, self._account)
        access.write_entries(self._data, self._account, tls_only=required)
        with schema.connect(self.admin) as connection:
            connection.execute(
                "ALTER SYSTEM SET ssl = on" if required else "ALTER SYSTEM RESET ssl"
            )
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop the server (fast shutdown): sessions end, data is written. Idempotent."""
        self._stopping = True
        with self._lock:
            if self._process is not None:
                running.stop(self._process)

    def forget(self) -> None:
        """Delete the stopped server's data outside the sandbox's deleted folder."""
        outside = self._data.parent
        if outside != self._paths.postgres and outside.name.startswith(cluster.OUTSIDE):
            shutil.rmtree(outside, ignore_errors=True)

    def part(self) -> Component:
        pids = (self._process.pid,) if self._process is not None else ()
        return Component("database", self.stop, self.alive, pids)
