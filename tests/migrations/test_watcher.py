"""Whoever watches a migration on the bastion: Ctrl-C on a real terminal, and what is told where
there is nothing to do or to cancel.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.checkout import Checkout
from tests.factories import inv_command
from tests.migrations.test_migrate_sandbox import SLOW

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
QUESTION = "leave it running? [c/L] "


@dataclass
class Terminal:
    """`inv WORDS` on a terminal of its own."""

    pid: int
    end: int
    said: str = ""

    @classmethod
    def of(cls, checkout: Checkout, *words: str) -> Terminal:
        pid, end = pty.fork()
        if pid == 0:
            os.chdir(checkout.root)
            plain = {"NO_COLOR": "1", "COLUMNS": "200"}  # whole lines, for the tests to read
            os.execve(
                sys.executable,
                inv_command(checkout.root, *words),
                {**os.environ, **plain},
            )
        return cls(pid, end)

    def until(self, text: str, times: int = 1) -> None:
        ends = time.monotonic() + 90
        while self.said.count(text) < times and self.read():
            assert time.monotonic() < ends, self.said
        assert self.said.count(text) >= times, self.said

    def read(self) -> bool:
        """What it says next; False at its end, which Linux tells as EIO."""
        try:
            data = os.read(self.end, 65536)
        except OSError:
            return False
        self.said += data.decode()
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def answer(self, text: str) -> None:
        """Type an answer, and again if nothing comes of it: a Ctrl-C in the moment between the
        prompt and its read is noticed at the next key only.
        """
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            self.type(text)
            before = self.said
            while select.select([self.end], [], [], 5)[0] and self.read():
                if "\n" in self.said.removeprefix(before):
                    return

    def code(self) -> int:
        """Its exit code, and the rest of what it says."""
        while self.read():
            pass
        os.close(self.end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def slow(platform: Checkout) -> Iterator[Checkout]:
    """A revision that takes ten minutes; it never gets through here."""
    file = platform.root / "alembic" / "versions" / "0004_slow.py"
    platform.inv("db.upgrade")
    file.write_text(SLOW.replace("pg_sleep(60)", "pg_sleep(600)"))
    try:
        yield platform
    finally:
        platform.inv("db.cancel")
        assert platform.document("db.pending")["pending"][-1]["revision"] == "0004"
        file.unlink()


def interrupted(checkout: Checkout) -> tuple[Terminal, str]:
    """An upgrade under way, at the question that Ctrl-C brings; and its run."""
    terminal = Terminal.of(checkout, "db.upgrade")
    terminal.until("upgrade 0004")  # begun
    terminal.type("\x03")
    terminal.until(QUESTION)
    return terminal, terminal.said.split("continues unattended")[0].rsplit("run ", 1)[1].split()[0]


def test_ctrl_c_and_c_cancel_it_there(slow: Checkout) -> None:
    """Rolled back, and where the database is; exit 130."""
    terminal, run = interrupted(slow)
    terminal.type("c\n")
    assert terminal.code() == 130
    assert (
        f"error: run {run} was cancelled" in terminal.said
        and "the database is at 0003" in terminal.said
    )
    assert "run it again" not in terminal.said
    (newest,) = slow.document("db.history", "--limit", "1")["runs"]
    assert (newest["run"], newest["result"], newest["message"]) == (
        run,
        "interrupted",
        "asked to stop by SIGINT",
    )


@pytest.mark.parametrize("answer", ["l\n", "\x03"])
def test_ctrl_c_and_anything_else_leave_it(slow: Checkout, answer: str) -> None:
    """A second Ctrl-C too: it goes on there, the run is named, and nothing says to run it again
    while it is at work.
    """
    terminal, run = interrupted(slow)
    terminal.answer(answer)
    assert terminal.code() == 130
    assert (
        "it continues on the bastion" in terminal.said
        and f" next: inv db.attach --run {run}" in terminal.said
    )
    assert "run it again" not in terminal.said
    again = slow.inv("db.upgrade", "--lock-wait", "0")
    assert again.returncode == 3 and run in again.stderr, again.stderr


def test_sigterm_asks_no_question(slow: Checkout) -> None:
    """A program that stops us waits for no answer, terminal or not: the run is cancelled."""
    terminal = Terminal.of(slow, "db.upgrade")
    terminal.until("upgrade 0004")
    os.kill(terminal.pid, signal.SIGTERM)
    assert (
        terminal.code() == 130
        and QUESTION not in terminal.said
        and "was cancelled" in terminal.said
    )


def test_where_nothing_is_at_work_there_is_nothing_to_cancel(platform: Checkout) -> None:
    """Exit 3, told once, with how the run had ended."""
    platform.inv("db.downgrade", "--yes")
    run = platform.document("db.upgrade")["run"]
    done = platform.inv("db.cancel")
    assert (
        done.returncode == 3
        and "nothing to cancel" in done.stderr
        and done.stderr.count(f"run {run} is over: succeeded") == 1
    )
    assert platform.inv("db.cancel", "--run", "nope").returncode == 3


def test_a_log_is_read_with_what_is_there(platform: Checkout) -> None:
    """Another checkout's revisions, and so another bundle: nothing is sent to read a log or to
    cancel.
    """
    for word in ("db.downgrade", "db.upgrade"):  # so that the newest run is one that succeeded
        done = platform.inv(word, "--yes")
        assert done.returncode == 0, done.stderr
    other = platform.root / "alembic" / "versions" / "0004_other.py"
    other.write_text(SLOW)
    try:
        for word, code in (("db.attach", 0), ("db.cancel", 3)):
            done = platform.inv(word)
            assert done.returncode == code and "to the bastion" not in done.stderr, done.stderr
    finally:
        other.unlink()


def test_an_upgrade_with_nothing_to_do_says_no_more_than_that(platform: Checkout) -> None:
    """No run that no audit knows, no health that nobody looked at; the mode is the
    environment's.
    """
    platform.inv("db.upgrade")
    done = platform.document("db.upgrade")
    assert (done["mode"], done["run"], done["applied"]) == ("remote", None, [])
    assert (
        done["health"]["before"]["healthy"] is None and done["health"]["after"]["healthy"] is None
    )


def test_beside_goes_through_the_bastion_too(platform: Checkout) -> None:
    """pg_dump takes the tunnel that everything else takes."""
    done = platform.inv("db.verify", "--on-server", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["verified"], done.stderr
