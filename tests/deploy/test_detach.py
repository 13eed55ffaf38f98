"""`q`, `l`, Ctrl-C, Ctrl-Z and a resize while a rollout is watched on a real terminal."""

from __future__ import annotations

import os
import signal
import termios
import time

import pytest

from bench.emulator import EmulatedTerminal
from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.factories import inv_command, plain_environment
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(300)]
SLOW = "import time\ntime.sleep(6)\n"


def begun(platform: Checkout, note: str, columns: int = 80, lines: int = 24) -> EmulatedTerminal:
    """A deploy of a commit that starts slowly, as soon as its table is drawn."""
    server = (world.source(platform) / "backend/server.py").read_text().removeprefix(SLOW)
    world.commit(platform, {"backend/server.py": SLOW + server, "backend/NOTE": note}, note)
    command = inv_command(platform.root, "backend.deploy", "--skip", "tests")
    environment = plain_environment(TERM="xterm-256color")
    terminal = EmulatedTerminal(command, platform.root, environment, columns, lines)
    terminal.wait_for("q detach · l logs · Ctrl-C roll back", 120)
    return terminal


def finished(platform: Checkout) -> None:
    """Wait until ECS has ended what a test left to it."""
    until(lambda: len(world.service(platform)["deployments"]) == 1, 90)


def test_q_detaches_after_it_said_what_that_means(platform: Checkout) -> None:
    """Any other key stays; after q the rollout goes on, exit 0, recorded as started."""
    terminal = begun(platform, "Detached")
    terminal.type("q")
    said = terminal.wait_for("any other key to stay")
    assert "it is not rolled back by this run" in said and "backend.watch" in said
    terminal.type("x")
    terminal.wait_for(lambda text: "any other key to stay" not in text)
    terminal.type("qq")
    assert terminal.ended() == 0
    screen = terminal.screen.text
    assert not terminal.screen.alternate and "started  backend" in screen, screen
    assert "to attach again" in screen and "TASK" not in screen
    finished(platform)
    assert platform.document("backend.releases")["releases"][0]["verdict"] == "started"
    assert platform.document("lock.status")["locks"] == []
    assert platform.document("backend.deploy", "--skip", "tests")["verdict"] == "succeeded"


def test_l_shows_and_hides_the_log(platform: Checkout) -> None:
    """And the estimate comes from the release before."""
    assert platform.inv("backend.deploy", "--skip", "tests").returncode == 0  # a record
    terminal = begun(platform, "Logs", 120, 40)
    assert "log of the new tasks" not in terminal.screen.text
    terminal.type("l")
    terminal.wait_for("log of the new tasks")
    terminal.type("l")
    terminal.wait_for(lambda text: "log of the new tasks" not in text)
    terminal.wait_for(lambda text: " of ~" in text or "usually ~" in text)
    assert terminal.ended() == 0
    assert "succeeded" in terminal.screen.text and "TASK" not in terminal.screen.text


def test_a_resize_leaves_nothing_behind(platform: Checkout) -> None:
    """Narrow, wide and low: every line is drawn once, and the keys are in the last line."""
    terminal = begun(platform, "Resized", 200, 50)
    for columns, lines in ((90, 30), (60, 12), (160, 45)):
        terminal.resize(columns, lines)
        terminal.watch(1.0)
        drawn = terminal.screen.display
        assert drawn[-1].rstrip().endswith("Ctrl-C roll back"), terminal.screen.text
        assert sum("roll out" in line for line in drawn) == 1, terminal.screen.text
        assert sum("TASK " in line for line in drawn) <= 1
    terminal.type("qq")
    assert terminal.ended() == 0
    finished(platform)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_rolls_back_and_the_terminal_is_put_back(
    platform: Checkout, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM as before: the rollout is undone, whatever the screen showed."""
    old = world.service(platform)["taskDefinition"]
    terminal = begun(platform, f"Interrupted {number.name}")
    os.kill(terminal.pid, number)
    terminal.wait_for("press a key to decide")
    code = terminal.ended()
    assert code == 130 and world.service(platform)["taskDefinition"] == old, terminal.screen.text


def test_stop_and_continue(platform: Checkout) -> None:
    """Ctrl-Z gives the normal screen and line editing back; after `fg` the table is there again."""
    terminal = begun(platform, "Stopped")
    local = 3  # of tcgetattr
    assert not termios.tcgetattr(terminal.master)[local] & termios.ICANON
    os.kill(terminal.pid, signal.SIGTSTP)
    ends = time.monotonic() + 20
    while terminal.screen.alternate and time.monotonic() < ends:
        terminal.watch(0.2)
    assert not terminal.screen.alternate
    assert termios.tcgetattr(terminal.master)[local] & termios.ICANON
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.wait_for("q detach", 20)
    assert not termios.tcgetattr(terminal.master)[local] & termios.ICANON
    os.kill(terminal.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.wait_for("q detach", 20)
    terminal.type("qq")
    assert terminal.ended() == 0
    finished(platform)
