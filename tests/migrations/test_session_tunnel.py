"""`inv db.*` through a task of the sandbox: StartSession is the sandbox's emulation, the plugin a
stand-in that really forwards TCP to the sandbox's PostgreSQL.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests import plugin_stand_in
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.factories import inv_command, plain_environment
from tests.migrations.test_migrate_sandbox import SLOW

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
TUNNEL = """
environments:
  sandbox:
    database: {run: tunnel, tunnel: {service: backend}}
"""


class Through:
    """`inv -f FILE WORDS` with the tunnel configured and the stand-in on PATH."""

    def __init__(self, platform: Checkout, folder: Path) -> None:
        self.platform, self.record, self.file = platform, folder / "record", folder / "t.yaml"
        self.file.write_text(TUNNEL)
        plugin_stand_in.install(folder / "bin")
        ports = json.loads((platform.root / ".sandbox" / "supervisor.json").read_text())["ports"]
        self.environment: dict[str, Any] = {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "STAND_IN_DATABASE": f"127.0.0.1:{ports['database']}",
            "STAND_IN_RECORD": str(self.record),
        }

    def inv(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.platform.inv("-f", str(self.file), *words, **self.environment, **more)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            inv_command(self.platform.root, "-f", str(self.file), *words),
            cwd=self.platform.root,
            env={**plain_environment(), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def living(self) -> list[int]:
        """The plugins that run."""
        pids = [json.loads(line)["pid"] for line in self.record.read_text().splitlines()]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def through(platform: Checkout, tmp_path: Path) -> Through:
    return Through(platform, tmp_path)


@pytest.fixture
def slow(platform: Checkout) -> Iterator[None]:
    file = platform.root / "alembic" / "versions" / "0004_slow.py"
    file.write_text(SLOW)
    yield
    file.unlink()


def test_reads_and_runs_go_through_a_task(through: Through) -> None:
    """Also the sweeps before and after; the plugins are gone, and the token is nowhere."""
    done = through.inv("db.ping", "db.downgrade", "--to", "0002", "--yes", "db.upgrade")
    assert done.returncode == 0, done.stderr
    assert " of backend, by Session Manager in " in done.stdout and "at 0003" in done.stdout
    assert through.living() == []
    assert len(through.record.read_text().splitlines()) <= 3  # one for each task, at most
    records = [json.loads(line) for line in through.record.read_text().splitlines()]
    assert not [
        record
        for record in records
        if record["session"]["TokenValue"] in "".join(record["argv"]) + done.stdout + done.stderr
    ]


def test_an_interrupt_rolls_back_through_the_tunnel(through: Through, slow: None) -> None:
    """The plugin is not in the terminal's process group, so the tunnel outlives the Ctrl-C."""
    assert through.inv("db.upgrade", "--to", "0003").returncode == 0
    running = through.start("db.upgrade", "--to", "0004")
    world.read_until(running, "upgrade 0004")
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130 and "interrupted by SIGINT" in errors
    assert through.living() == []
    newest = json.loads(through.inv("db.history", "--limit", "1", "--json").stdout)["runs"][0]
    assert newest["result"] == "interrupted"


def test_a_plugin_that_dies_during_a_run_is_named(through: Through, slow: None) -> None:
    assert through.inv("db.upgrade", "--to", "0003").returncode == 0
    running = through.start("db.upgrade", "--to", "0004")
    world.read_until(running, "upgrade 0004")
    for pid in through.living():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert " of backend has ended: session-manager-plugin ended (signal 9)" in errors


def test_health_tells_a_broken_tunnel_from_a_database_that_is_down(through: Through) -> None:
    """No session: unknown. A task that cannot connect: failed."""
    for fault, state in (("refused", "unknown"), ("destination", "failed")):
        done = through.inv("health.all", "--only", "db", "--json", STAND_IN_FAULT=fault)
        found = json.loads(done.stdout)["checks"]
        (connection,) = [each for each in found if each["name"] == "connection"]
        assert connection["status"] == state, connection
