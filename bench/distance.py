"""20 revisions on a database that is 80 ms away: run on the bastion (`database.run: remote`) beside
run through it (`tunnel`).

python -m bench.distance [PAIRS [ROUND_TRIP_MS]]

A sandbox of its own; between the operator and its bastion stands a relay that holds every byte back
for half a round trip. Each pair is one upgrade of 20 revisions each way, in turn. Timed are the run
itself (connect, start, watch to its end; the tunnel's own connection, which is up by then, is left
out in its favour) and, for what an operator waits for, the whole `inv db.upgrade` with its plan,
lint and both looks at the platform's health. Target: the run at least 4 times as fast on the
bastion."""

from __future__ import annotations

import json
import os
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.revisions import copy, write

FIRST, LAST = 4, 23  # after the project's own three
# What `inv db.upgrade` does once everything is agreed to.
RUN = """
import sys, time
from pathlib import Path
from invoke.config import Config
from ops.core.config import load as config
from ops.migrations.plan import plan_migration
from ops.migrations.remote.run import run
from ops.migrations.run import RunOptions
from ops.migrations.target import MigrationTarget
found = Config(project_location=sys.argv[1])
found.load_project()
with MigrationTarget.opened(config.read(found, Path(sys.argv[1]))) as target:
    plan = plan_migration(target, "upgrade", None)
    began = time.perf_counter()
    done = run(target, plan, RunOptions())
    print(time.perf_counter() - began, done.mode, len(done.outcome.applied))
"""


class Relay:
    """A port of this machine that leads to `to`, `delay_s` later each way; as many bytes at once as
    come.
    """

    def __init__(self, to: tuple[str, int], delay_s: float) -> None:
        self.to, self.delay_s = to, delay_s
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.to)
            for one, other in ((client, server), (server, client)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                held: queue.Queue[tuple[float, bytes]] = queue.Queue()
                for work in (
                    lambda one=one, held=held: self.take(one, held),
                    lambda other=other, held=held: self.give(other, held),
                ):
                    threading.Thread(target=work, daemon=True).start()

    def take(self, source: socket.socket, held: queue.Queue[tuple[float, bytes]]) -> None:
        data = b"x"
        while data:
            try:
                data = source.recv(64 * 1024)
            except OSError:
                data = b""
            held.put((time.monotonic() + self.delay_s, data))

    def give(self, sink: socket.socket, held: queue.Queue[tuple[float, bytes]]) -> None:
        with suppress(OSError):
            while True:
                due, data = held.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)


@dataclass(frozen=True)
class Ground:
    """A checkout with its sandbox; `near` and `far` are the bastion's ports without and with the
    distance.
    """

    folder: Path
    near: int
    far: int

    def choose(self, run: str, port: int) -> None:
        file = self.folder / ".sandbox" / "environment.yaml"
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        values["bastion"]["port"] = port
        values["database"] = {"run": run}
        file.write_text(yaml.safe_dump(values), encoding="utf-8")

    def inv(self, *words: str) -> float:
        return self.timed(
            [sys.executable, "-P", "-m", "invoke", "--search-root", str(self.folder), *words]
        )[0]

    def timed(self, command: list[str]) -> tuple[float, str]:
        began = time.perf_counter()
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "INVOKE_", "PG"))
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        taken = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:6])} …\n{done.stdout}{done.stderr}")
        return taken, done.stdout

    def run(self, mode: str) -> float:
        """Seconds of the run alone."""
        taken, ran, applied = self.timed([sys.executable, "-c", RUN, str(self.folder)])[1].split()[
            -3:
        ]
        if (ran, int(applied)) != (mode, LAST - FIRST + 1):
            raise SystemExit(f"{applied} revisions by {ran}, not {LAST - FIRST + 1} by {mode}")
        return float(taken)

    def whole(self, mode: str) -> float:
        """Seconds of `inv db.upgrade`."""
        return self.inv("db.upgrade", "--yes")

    def measured(self, measure: Callable[[str], float], mode: str) -> float:
        """One upgrade at a distance; back again without it."""
        self.choose(mode, self.far)
        taken = measure(mode)
        self.choose("remote", self.near)
        self.inv("db.downgrade", "--to", f"{FIRST - 1:04}", "--yes")
        return taken


def known(folder: Path, near: int, far: int) -> None:
    """The relay's port has the bastion's key."""
    file = folder / ".sandbox" / "bastion" / "known_hosts"
    file.write_text(
        file.read_text(encoding="utf-8")
        + file.read_text(encoding="utf-8").replace(f":{near} ", f":{far} "),
        encoding="utf-8",
    )


def said(what: str, pairs: list[tuple[float, float]]) -> str:
    remote, tunnel = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(through / there for there, through in pairs)
    return f"{what}: remote {remote:.2f} s, tunnel {tunnel:.2f} s, tunnel / remote {ratio:.1f}"


def main(count: int, round_trip_ms: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-distance-") as home:
        folder = copy(Path(home) / "checkout")
        command = [sys.executable, "-P", "-m", "invoke", "--search-root", str(folder)]
        quiet: dict[str, Any] = {
            "cwd": folder,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "check": True,
        }
        try:
            subprocess.run(
                [*command, "sandbox.up", "--rollout", "ecs", "db.upgrade", "--yes"], **quiet
            )
            status = subprocess.run(
                [*command, "sandbox.status", "--json"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            near = int(json.loads(status)["endpoints"]["bastion"].rsplit(":", 1)[1])
            relay = Relay(("127.0.0.1", near), round_trip_ms / 2000)
            known(folder, near, relay.port)
            write(folder / "alembic" / "versions", FIRST, LAST)
            ground = Ground(folder, near, relay.port)
            ground.measured(ground.run, "remote")  # ships the bundle, which a host gets once
            print(
                f"{LAST - FIRST + 1} revisions, a round trip of {round_trip_ms} ms "
                f"(medians of {count} interleaved pairs)"
            )
            for what, measure in (("the run", ground.run), ("inv db.upgrade", ground.whole)):
                print(
                    said(
                        what,
                        [
                            (ground.measured(measure, "remote"), ground.measured(measure, "tunnel"))
                            for _ in range(count)
                        ],
                    )
                )
        finally:
            subprocess.run([*command, "sandbox.down", "--purge"], **{**quiet, "check": False})


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [3, 80][len(given) :]))
