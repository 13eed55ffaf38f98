"""Run one sandbox until SIGTERM: `python -m ops.sandbox.supervisor ROOT [options]`.

Options: `[--engine …] [--rollout …] [--registry …] [--timing JSON]`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.errors import OpsError, error_kind
from ops.sandbox import private, status
from ops.sandbox.contracts import Paths, Timing
from ops.sandbox.database import Server
from ops.sandbox.database.cluster import put_unreadable_aside
from ops.sandbox.edge.http_server import HttpServer, Request, Response, plain
from ops.sandbox.faults import active_faults
from ops.sandbox.faults import control_api as control_api
from ops.sandbox.loopback import foreign
from ops.sandbox.sample import make_checkout
from ops.sandbox.supervisor import addresses
from ops.sandbox.terraform.rollout_probe import RolloutProbe

if TYPE_CHECKING:
    from ops.sandbox.supervisor.stack import SandboxStack

_WATCH = 0.5  # seconds between two checks of the components


class EndedError(BaseException):
    """SIGTERM arrived while the sandbox was starting."""


@dataclass
class Supervisor:
    """The life of one sandbox: start, watch, stop."""

    paths: Paths
    engine: str
    rollout: str
    registry: str | None
    timing: Timing
    ended: threading.Event = field(default_factory=threading.Event)
    starting: bool = False
    ready: bool = False
    dead: tuple[str, ...] = ()
    remembered: dict[str, str] = field(default_factory=dict)
    problem: str = ""  # of the last failed check
    socket: Path = field(init=False)
    stack: SandboxStack | None = None
    database: Server | None = None
    ends: list[Callable[[], None]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    control_api: control_api.ControlApi = field(init=False)

    def run(self) -> int:
        """Return 0 after a clean stop, 1 if the sandbox could not start."""
        self.control_api = control_api.ControlApi(self.paths)
        known = status.read(self.paths)
        ports = known.ports if known else None
        docker = _docker() if self.engine == "docker" else known.docker if known else None
        self.socket = private.socket_path(self.paths)
        self.record = status.Record(
            "starting",
            self.engine,
            os.getpid(),
            ports,
            docker=docker,
            registry=self.registry,
            rollout=self.rollout,
            socket=str(self.socket) if self.engine == "process" else None,
        )
        self.record.write(self.paths)
        try:
            self.starting = True
            self._start()
            self.starting = False
            self._watch()
            return 0
        except EndedError:
            return 0
        except Exception as problem:
            self._explain(problem)
            return 1
        finally:
            self._stop()

    def _start(self) -> None:
        self.addresses = addresses.choose(self.paths.root, self.record.ports)
        ports = self.addresses.ports
        control = HttpServer("control", self.addresses.control, self._answer)
        self.ends.append(control.stop)
        self.record = replace(self.record, ports=ports, control=control.port)
        self.record.write(self.paths)
        if aside := put_unreadable_aside(self.paths):
            self.say(
                f"database: its passwords can't be read; it was renamed to {aside}, and "
                f"a new one is created"
            )
        database = Server(self.paths, ports.database, self.say)
        self.ends.append(database.stop)
        login = database.login  # before the threads start: this creates the passwords
        with ThreadPoolExecutor(2) as beside:
            started = beside.submit(self._start_database, database)
            checkout = beside.submit(make_checkout, self.paths)
            probe = RolloutProbe(self.paths.platform, self.rollout)
            self.ends.append(probe.stop)
            probe.begin(checkout)
            from ops.sandbox.supervisor.stack import SandboxStack

            self.stack = SandboxStack(
                self.paths,
                ports,
                self.timing,
                self.socket,
                self.say,
                upstream_address=self.registry,
            )
            self.stack.start(self.engine, probe, login, started, checkout)
        from ops.sandbox.supervisor.overlay import write_overlay

        assert self.stack.aws is not None
        assert self.stack.engine is not None
        assert self.stack.rollout is not None
        private.seal(self.paths)
        write_overlay(
            self.paths,
            ports,
            self.stack.aws.keys.operator,
            self.stack.engine.address,
            self.stack.rollout.overlay,
        )
        self.record = replace(self.record, state="ready", rollout=self.stack.rollout.kind)
        assert self.database is not None
        self.control_api.active_faults = active_faults.ActiveFaults(
            self.stack.fault_handles(self.database)
        )
        self.control_api.open()
        self.stack.add_latency()
        self.ready = True
        self.record.write(self.paths)

    def _start_database(self, database: Server) -> None:
        database.start()
        for name in active_faults.remove_leftovers(self.paths, database):
            self.say(f"removed the leftovers of fault {name}")
        self.database = database
        self.say(f"PostgreSQL is up ({time.monotonic() - self.began:.1f} s)")

    def _watch(self) -> None:
        """Watch until SIGTERM, or until the folder is deleted or taken by another supervisor."""
        looks = (self._watch_database, self._watch_parts, self._remember)
        while not self.ended.wait(_WATCH):
            if not self._is_ours():
                self.say("the sandbox's folder was removed: stopping")
                return
            for look in looks:
                self._guarded(look)

    def _is_ours(self) -> bool:
        """Whether the folder still belongs to this sandbox; rewrite an unreadable record."""
        current = status.read(self.paths)
        if current is None and self.paths.record.exists():
            self._guarded(lambda: self.record.write(self.paths))
            return True
        return current is not None and current.pid == os.getpid()

    def _guarded(self, look: Callable[[], None]) -> None:
        """Run a check and retry it at the next turn if it fails; the sandbox keeps running."""
        try:
            look()
        except Exception as problem:
            text = f"{type(problem).__name__}: {problem}"
            if text != self.problem:
                traceback.print_exc()
                self.say(f"the sandbox's watch failed, retrying: {text}")
            self.problem = text

    def _watch_database(self) -> None:
        from ops.sandbox.aws.rds import wanted
        from ops.sandbox.seed.names import DATABASE_INSTANCE

        if self.database is not None:
            self.database.follow(wanted(DATABASE_INSTANCE))
            if self.database.mend():
                self.say("PostgreSQL had died and was started again")

    def _watch_parts(self) -> None:
        assert self.stack is not None
        dead = tuple(self.stack.dead())
        if dead != self.dead:
            self.say(
                f"died: {', '.join(dead)}; `inv sandbox.up` restarts it"
                if dead
                else "all components are alive again"
            )
            self.dead = dead

    def _remember(self) -> None:
        from ops.sandbox.supervisor import persistence

        assert self.stack is not None
        assert self.stack.aws is not None
        running = persistence.running(self.stack.aws.cloud)
        if running and running != self.remembered:
            persistence.remember(self.paths, running)
            self.remembered = running

    def _answer(self, request: Request) -> Response:
        if why := foreign(request.header("Host"), request.header("Origin")):
            return plain(403, "Forbidden", why)
        if request.path.startswith(control_api.PREFIX):
            return self.control_api(request)
        document = json.dumps(
            {"ready": self.ready and not self.dead, "dead": list(self.dead), "pid": os.getpid()}
        ).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(document))))
        return Response(200, "OK", headers, (document,))

    def _explain(self, problem: Exception) -> None:
        if not isinstance(problem, OpsError):
            traceback.print_exc()
            why, log = f"{type(problem).__name__}: {problem}", self.paths.logs / "supervisor.log"
            problem = OpsError("the sandbox did not start", why, f"see {log}")
        failure = {"kind": error_kind(problem), **problem.as_document()["error"]}
        self.record = replace(self.record, state="failed", failure=failure)
        self.say(f"failed: {failure['what']}: {failure['why']}")

    def _stop(self) -> None:
        """Stop tasks, edge, endpoints, then PostgreSQL; the record retains the ports."""
        self.ready = self.starting = False
        self.control_api.close()
        if self.stack is not None:
            self.stack.stop(self.say)
        for end in reversed(self.ends):
            end()
        private.forget_socket(self.socket)
        self.paths.overlay.unlink(missing_ok=True)
        current = status.read(self.paths)
        if current is None and self.database is not None:
            self.database.forget()
        elif current is not None and current.pid == os.getpid():
            resting = self.record.stopped()
            (
                replace(resting, state="failed", failure=self.record.failure)
                if self.record.state == "failed"
                else resting
            ).write(self.paths)

    def say(self, line: str) -> None:
        """Write a line of progress for `up` and the log."""
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)
        if self.paths.logs.is_dir():
            with (self.paths.logs / "progress.log").open("a") as file:
                file.write(line + "\n")


def _docker() -> str:
    """Record the real engine's address at once.

    The cleanup after a kill -9 may run with another DOCKER_HOST.
    """
    from ops.sandbox.runtime.docker_engine import address

    return address()


def main(arguments: list[str]) -> int:
    """Parse the arguments, install the signal handlers and run."""
    parser = argparse.ArgumentParser(prog=status.MODULE)
    parser.add_argument("root", type=Path)
    parser.add_argument("--engine", choices=("process", "docker"), default="process")
    parser.add_argument("--rollout", choices=("auto", "ecs", "terraform"), default="auto")
    parser.add_argument("--registry")
    parser.add_argument("--timing", type=json.loads, default={})
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    supervisor = Supervisor(
        Paths(asked.root), asked.engine, asked.rollout, asked.registry, Timing(**asked.timing)
    )

    def end(number: int, frame: Any) -> None:
        if supervisor.starting and not supervisor.ended.is_set():
            supervisor.ended.set()
            raise EndedError
        supervisor.ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code = supervisor.run()
    sys.stdout.flush()
    os._exit(code)  # threads that still wait on a client or an engine must not keep the process


if __name__ == "__main__":
    main(sys.argv[1:])
