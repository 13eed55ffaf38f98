"""The runner of the far side, as the commands that come over SSH see it: detached, watched,
cancelled, killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.sandbox.database import Server
from tests.migrator.migrating import QUICK, ROOT, Project, served
from tests.waiting import until

pytestmark = pytest.mark.timeout(90)
SLOW = "SELECT pg_sleep(30)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from served(tmp_path_factory.mktemp("server"))


@dataclass
class Far:
    """A host with the runner, a project and its database."""

    project: Project
    runs: Path

    def process(self, *words: str, **more: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-u",
            "-m",
            "ops.migrator.remote.cli",
            words[0],
            str(self.runs),
            *words[1:],
        ]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.runs.parent),
        } | more
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(
        self, *words: str, document: dict[str, Any] | None = None, **more: str
    ) -> list[dict[str, Any]]:
        asked = json.dumps(document) + "\n" if document else ""
        out, err = self.process(*words, **more).communicate(asked, timeout=60)
        assert err == "", err
        return [json.loads(line) for line in out.splitlines()]

    def asked(self, run: str) -> dict[str, Any]:
        who = {"by": "ann", "host": "desk", "verb": "db.upgrade", "run": run}
        limits = asdict(replace(QUICK, statement_timeout_s=60))
        parameters = dict(self.project.target.parameters)
        return {
            "parameters": parameters,
            "direction": "upgrade",
            "to": "head",
            "shown": [],
            "limits": limits,
            "who": who,
        }

    def start(self, run: str = "r1") -> dict[str, Any]:
        (answer,) = self.ask("start", str(self.project.folder), document=self.asked(run))
        return answer

    def end(self, run: str = "latest") -> dict[str, Any]:
        return dict(self.ask("attach", run, "0")[-1]["end"])

    def lines(self, run: str = "latest", offset: int = 0) -> list[str]:
        return [each["line"] for each in self.ask("attach", run, str(offset)) if "line" in each]

    def until(self, text: str) -> None:
        """Wait until the newest run has said `text`."""
        until(lambda: any(text in log.read_text() for log in self.runs.glob("*/log")))

    def tables(self) -> set[str]:
        with psycopg.connect(**self.project.target.parameters) as connection:
            return {
                row[0]
                for row in connection.execute(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                )
            }


@pytest.fixture
def far(server: Server, tmp_path: Path) -> Far:
    project = Project.make(server, tmp_path / "project")
    project.write("0001", "CREATE TABLE one (id int)", "DROP TABLE one")
    return Far(project, tmp_path / "home" / "runs" / "here")


def test_the_hosts_own_variables_do_not_redirect_a_run(far: Far) -> None:
    """PG* variables of the account on the bastion count no more than those of this machine."""
    own = {
        "PGHOSTADDR": "192.0.2.1",
        "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGTZ": "Asia/Tokyo",
        "PGTARGETSESSIONATTRS": "standby",
    }
    far.project.write("0002", "CREATE TABLE two AS SELECT current_setting('TimeZone') AS zone")
    far.ask("start", str(far.project.folder), document=far.asked("r1"), **own)
    assert far.end()["state"] == "succeeded" and far.tables() >= {"one", "two"}
    assert far.project.ask("SELECT zone FROM two") != [("Asia/Tokyo",)]


def test_a_run_goes_on_by_itself_and_tells_its_end_to_whoever_asks(far: Far) -> None:
    """`start` answers at once; the log and the outcome are there for a watcher that comes later,
    from any offset.
    """
    far.project.write("0002", "SELECT pg_sleep(1)")
    assert far.start()["started"]
    said = far.ask("attach", "r1", "0")
    assert [line.split()[1] for line in far.lines() if line.startswith("upgrade")] == [
        "0001",
        "0002",
    ]
    outcome = said[-1]["end"]["outcome"]
    assert (outcome["before"], outcome["after"]) == (None, "0002") and [
        each["revision"] for each in outcome["applied"]
    ] == ["0001", "0002"]
    assert far.lines(offset=said[1]["offset"]) == [
        each["line"] for each in said[2:] if "line" in each
    ]
    assert far.ask("attach", "r1", str(said[-1]["offset"]))[1]["end"] == said[-1]["end"]


def test_a_second_start_of_the_same_run_changes_nothing(far: Far) -> None:
    """A start whose answer was lost is simply sent again."""
    far.start()
    assert far.start()["started"] is False
    assert far.end()["state"] == "succeeded"
    assert len(far.ask("list")[0]["runs"]) == 1


def test_a_cancelled_run_is_rolled_back(far: Far) -> None:
    """SIGINT there: the revision at work leaves nothing, the one before stays."""
    far.project.write("0002", f"CREATE TABLE two (id int); {SLOW}")
    far.start()
    far.until("upgrade 0002")
    time.sleep(0.3)
    (answer,) = far.ask("cancel", "latest")
    assert answer["interrupted"] and far.end()["state"] == "cancelled"
    assert "one" in far.tables() and "two" not in far.tables()
    assert far.ask("cancel", "latest")[0]["interrupted"] is False


def test_a_run_that_ignores_its_cancellation_is_ended(far: Far) -> None:
    """After a bounded time; its end says so, nothing of it remains, and the lock is free."""
    loop = (
        "    op.execute('CREATE TABLE two (id int)')\n    import time\n    while True:\n"
        "        try:\n            while True: time.sleep(.1)\n        except BaseException: pass"
    )
    far.project.write("0002", loop)
    far.start()
    far.until("upgrade 0002")
    time.sleep(1)
    assert far.ask("cancel", "latest")[0]["interrupted"]
    end = far.end()
    assert end["state"] == "cancelled" and "nothing of it remains" in end["forced"]
    assert "one" in far.tables() and "two" not in far.tables()
    far.project.write("0002", "SELECT 1")
    assert far.project.run().after == "0002"


def test_a_killed_runner_is_lost_not_running_and_not_failed(far: Far) -> None:
    """kill -9 leaves no status; the free lock tells it from one that still works, to a watcher at
    once.
    """
    far.project.write("0002", SLOW)
    pid = far.start() and far.ask("list")[0]["runs"][0]["pid"]
    far.until("upgrade 0002")
    watcher = far.process("attach", "latest", "0")
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    out, _ = watcher.communicate(timeout=20)
    assert json.loads(out.splitlines()[-1])["end"] == {"state": "lost"}


def test_a_failure_is_told_in_three_parts_without_the_password(far: Far) -> None:
    """What the engine says of a revision that fails comes back as it is, and nothing that stays on
    the host holds the secret.
    """
    secret = far.project.target.parameters["password"]
    far.project.write("0002", f'SELECT 1/0 AS "{secret}"')
    far.start()
    error = far.end()["error"]
    assert (
        error["kind"] == "failed" and "0002" in error["what"] and "division by zero" in error["why"]
    )
    kept = [path.read_text() for path in far.runs.rglob("*") if path.is_file()]
    assert kept and not any(secret in text for text in kept)
    assert all(path.stat().st_mode & 0o077 == 0 for path in far.runs.rglob("*"))


def test_it_outlives_the_session_that_started_it(far: Far) -> None:
    """A hangup of the whole session that started it (a connection that drops) does not touch the
    runner.
    """
    far.project.write("0002", "SELECT pg_sleep(1)")
    session = (
        f"{sys.executable} -u -m ops.migrator.remote.cli start {far.runs} "
        f"{far.project.folder}; sleep 60"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        ["sh", "-c", session],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(far.asked("r9")) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["started"]
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate(timeout=10)
    assert far.end("r9")["state"] == "succeeded"


def test_an_unknown_run_is_told_with_those_that_are_known(far: Far) -> None:
    """The id that was asked for, and the newest ones."""
    far.start()
    far.end()
    assert far.ask("attach", "zz", "0") == [{"missing": "zz", "known": ["r1"]}]


def test_a_watcher_is_told_at_once_which_run_it_is(far: Far) -> None:
    """`latest` may be another run by the time that a watcher comes back."""
    far.start()
    far.end()
    first = far.ask("attach", "latest", "0")[0]
    assert (first["run"], first["offset"], first["about"]["direction"]) == ("r1", 0, "upgrade")


def test_a_cancelled_run_says_so_in_the_audit(far: Far) -> None:
    """In words, not by a signal's number."""
    far.project.write("0002", SLOW)
    far.start()
    far.until("upgrade 0002")
    time.sleep(0.3)
    far.ask("cancel", "latest")
    assert far.end()["state"] == "cancelled"
    assert far.project.ask("SELECT result, message FROM ops_migrations.runs") == [
        ("interrupted", "asked to stop by SIGINT")
    ]


def test_bundles_of_living_runs_and_those_used_last_stay(far: Far) -> None:
    """A start renews its bundles' time; beyond the newest, those go that no living run names."""
    cache = far.runs.parent.parent

    def start(run: str, site: str, code: str) -> tuple[set[str], set[str]]:
        for path in (cache / "site" / site, cache / "code" / code):
            path.mkdir(parents=True, exist_ok=True)
        far.ask(
            "start",
            str(far.project.folder),
            document={**far.asked(run), "bundles": {"site": site, "code": code}},
        )
        return {path.name for path in (cache / "site").iterdir()}, {
            path.name for path in (cache / "code").iterdir()
        }

    for number in range(8):
        for path in (cache / "site" / f"s{number}", cache / "code" / f"c{number}"):
            path.mkdir(parents=True)
            os.utime(path, (number, number))
    far.project.write("0002", SLOW)
    assert start("long", "s0", "c0") == ({"s0", "s7"}, {"c0", "c4", "c5", "c6", "c7"})
    far.until("upgrade 0002")
    for run, site in (
        ("r2", "s8"),
        ("r3", "s9"),
    ):  # both are refused by the first one's lock, and end at once
        left = start(run, site, "c5")
        far.end(run)
    assert left == ({"s0", "s8", "s9"}, {"c0", "c4", "c5", "c6", "c7"})
    assert (
        far.ask("cancel", "latest")[0]["run"] == "long"
    )  # the one at work, not the refused ones after it
    assert far.end("long")["state"] == "cancelled"
    assert start("r4", "s8", "c4")[0] == {"s8", "s9"}
    far.ask("cancel", "r4")
    assert far.end("r4")["state"] == "cancelled"


def test_a_password_that_only_this_machine_has_is_missing_on_the_bastion(far: Far) -> None:
    """Without a secret: the account there needs one, and the message says whose ~/.pgpass."""
    asked = far.asked("r1")
    del asked["parameters"]["password"], asked["parameters"]["user"]
    user = far.project.target.parameters["user"]
    far.project.write("0001", "CREATE TABLE a (id int)")
    far.ask("start", str(far.project.folder), document=asked, PGUSER=user)
    error = far.end()["error"]
    assert "no password supplied" in error["why"]
    assert (
        "~/.pgpass of the account that connects (database.run: remote: on the bastion)"
        in (error["next"])
    )
