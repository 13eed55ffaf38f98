"""The status of a sandbox: the supervisor's record, and the report built from it.

The record is `supervisor.json`. Its pid is valid only together with the process's start time, since
pids are reused.
"""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import psutil

from ops.postgres.server.cluster import write_private
from ops.sandbox.contracts import DATABASE_HOST, OPERATOR, Paths, Ports

MODULE = "ops.sandbox.supervisor"
# version of a running sandbox's interface: `up` restarts one of another version (2: closed to
# other users)
LAYOUT = 2


@dataclass(frozen=True)
class Record:
    """The supervisor's record.

    `state` is starting, ready, failed or stopped. `pid` is None once stopped; the
    ports are retained for the next `up`.
    """

    state: str
    engine: str = "process"
    pid: int | None = None
    ports: Ports | None = None
    control: int | None = None  # port of /_ready
    failure: dict[str, str] = field(default_factory=dict)  # an OpsError's what, why, next
    docker: str | None = (
        # address of the real engine that is, or once was, used: what it still holds is cleaned up
        # there
        None
    )
    registry: str | None = (
        None  # host:port of the real registry behind the front, where there is one
    )
    rollout: str = "auto"  # ecs | terraform once it is ready; before, the requested value
    socket: str | None = None  # of the sandbox's own engine, if that is in use
    layout: int = LAYOUT

    def process(self, paths: Paths) -> psutil.Process | None:
        """Return the recorded supervisor process if it is still running.

        Recognised by its command line: its start time, as the system computes it, moves with the
        clock.
        """
        if self.pid is None:
            return None
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(self.pid)
            if _supervises(found, paths):
                return found
        return None

    def write(self, paths: Paths) -> None:
        paths.root.mkdir(parents=True, exist_ok=True)
        write_private(paths.record, json.dumps(asdict(self), indent=2) + "\n")

    def stopped(self) -> Record:
        """Return the record of the same sandbox after a stop."""
        return replace(self, state="stopped", pid=None, control=None, failure={}, socket=None)


def read(paths: Paths) -> Record | None:
    """Return the record, of this or another version; None if missing or unreadable."""
    try:
        found = json.loads(paths.record.read_text())
        ports = Ports(**_known(Ports, found["ports"])) if found.get("ports") else None
        return Record(**{"layout": 1, **_known(Record, found), "ports": ports})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _known(kind: type[Record | Ports], values: dict[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def search(paths: Paths) -> psutil.Process | None:
    """Find this folder's supervisor among the processes, in case its record is unreadable."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _supervises(process, paths) and process.uids().effective == os.geteuid():
                return process
    return None


def _supervises(process: psutil.Process, paths: Paths) -> bool:
    """Whether a process is the supervisor of this folder. Raises psutil.Error."""
    words = process.cmdline()
    return MODULE in words and str(paths.root) in words and process.status() != psutil.STATUS_ZOMBIE


def _ask_ready(record: Record, timeout: float = 2.0) -> dict[str, Any] | None:
    """Return the supervisor's answer on /_ready, or None without an answer.

    The answer holds `ready` and `dead`, the names of components that died.
    """
    if record.control is None:
        return None
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with (
        contextlib.suppress(OSError, ValueError),
        direct.open(f"http://127.0.0.1:{record.control}/_ready", timeout=timeout) as answer,
    ):
        found = json.load(answer)
        return found if isinstance(found, dict) else None
    return None


@dataclass(frozen=True)
class Status:
    """The result of `sandbox.status`; its document is a contract (design.md)."""

    ready: bool
    root: Path
    state: str
    engine: str = "process"
    pid: int | None = None
    ports: Ports | None = None
    dead: tuple[str, ...] = ()
    docker: str | None = None
    rollout: str | None = None
    registry: str | None = None
    socket: str | None = None

    def as_document(self) -> dict[str, Any]:
        source = Paths(self.root).platform
        return {
            "ready": self.ready,
            "source": str(source) if source.exists() else None,
            "endpoints": self.endpoints(),
            "state": self.state,
            "engine": self.engine,
            "rollout": self.rollout,
            "pid": self.pid,
            "dead": list(self.dead),
            "broken": self.broken(),
            "registry": self.registry,
        }

    def broken(self) -> list[str]:
        """Return the names of the active faults."""
        with contextlib.suppress(OSError, ValueError):
            return list(json.loads(Paths(self.root).faults.read_text()))
        return []

    def endpoints(self) -> dict[str, str | None]:
        """Return the addresses of a running sandbox; None for each one that does not exist."""
        if self.ports is None or self.pid is None:
            return dict.fromkeys(
                ("aws", "site", "site_tls", "alb", "registry", "docker", "bastion", "database")
            )
        ports = self.ports
        return {
            "aws": f"http://127.0.0.1:{ports.aws}",
            "site": f"http://127.0.0.1:{ports.site}",
            "site_tls": f"https://127.0.0.1:{ports.site_tls}",
            "alb": f"http://127.0.0.1:{ports.alb}",
            "registry": f"127.0.0.1:{ports.registry}",
            "docker": self.docker
            if self.engine == "docker"
            else f"unix://{self.socket}"
            if self.socket
            else None,
            "bastion": f"{OPERATOR}@127.0.0.1:{ports.bastion}",
            "database": f"{DATABASE_HOST}:{ports.database}",
        }

    def as_text(self) -> str:
        if self.pid is None:
            return f"the sandbox is {self.state}"
        state = "unhealthy" if self.dead and not self.ready else self.state
        lines = [
            f"the sandbox is {state} (pid {self.pid}, engine {self.engine}, rollout {self.rollout})"
        ]
        lines += [f"  {name:<9} {address}" for name, address in self.endpoints().items() if address]
        lines += (
            [f"  {'upstream':<9} {self.registry}, your own registry, stores the images"]
            if self.registry
            else []
        )
        lines += [f"  {'source':<9} {Paths(self.root).platform}"]
        lines += [f"  broken: {name} (`inv sandbox.mend {name}`)" for name in self.broken()]
        lines += [f"  dead: {name} (`inv sandbox.up` restarts it)" for name in self.dead]
        return "\n".join(lines)


def read_status(root: Path) -> Status:
    """Return the status of the sandbox below `root`, as the supervisor reports it. Never raises."""
    record = read(Paths(root))
    if record is None:
        return Status(False, root, "damaged" if Paths(root).record.exists() else "down")
    process = record.process(Paths(root))
    if process is None:
        return Status(
            False, root, "down" if record.state in ("stopped", "failed") else "dead", record.engine
        )
    answer = _ask_ready(record)
    dead = tuple(answer.get("dead", ())) if answer else ()
    ready = record.state == "ready" and answer is not None and bool(answer.get("ready"))
    state = record.state if answer is not None or record.state == "starting" else "silent"
    return Status(
        ready,
        root,
        state,
        record.engine,
        process.pid,
        record.ports,
        dead,
        record.docker,
        record.rollout,
        record.registry,
        record.socket,
    )
