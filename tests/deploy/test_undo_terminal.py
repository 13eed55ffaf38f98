"""A failed deploy on a terminal undoes itself after a countdown; a key stops it, and what was typed
before is no answer.
"""

from __future__ import annotations

import re
import time

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.factories import inv_command, plain_environment
from tests.terminal import Terminal

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
COUNTDOWN = "in 10 s; press a key to decide"


def crashing(platform: Checkout, note: str) -> tuple[Terminal, str]:
    """A deploy of a commit that crashes, begun on a terminal; and the revision that ran before."""
    world.commit(platform, {"backend/server.py": world.CRASH, "backend/NOTE": note}, note)
    old = str(world.service(platform)["taskDefinition"])
    command = inv_command(platform.root, "backend.deploy", "--skip", "tests")
    environment = plain_environment(TERM="xterm-256color", COLUMNS="200")
    terminal = Terminal(command, platform.root, environment)
    terminal.wait_for("deployment ecs-svc/")
    return terminal, old


def test_nobody_answers_and_it_goes_back(platform: Checkout) -> None:
    """Keys typed during the watch are dropped: neither the countdown nor a question takes them."""
    terminal, old = crashing(platform, "Crashes, and nobody is there")
    terminal.type("n\nx")
    terminal.wait_for(COUNTDOWN)
    code = terminal.ended()
    world.revert(platform)
    assert code == 4, terminal.text
    assert "[Y/n]" not in terminal.text and world.service(platform)["taskDefinition"] == old


def test_a_key_stops_the_countdown_and_no_keeps_it(platform: Checkout) -> None:
    """What is left, and the command that goes back, stand in `next:`; that command works."""
    terminal, old = crashing(platform, "Crashes, and is kept")
    terminal.wait_for(COUNTDOWN)
    terminal.type("xn\n")  # all of it belongs to the countdown
    terminal.wait_for("[Y/n] ")
    terminal.type("n\n")
    code, screen = terminal.ended(), terminal.plain
    world.revert(platform)
    assert code == 1 and world.service(platform)["taskDefinition"] != old, screen
    (advice,) = re.findall(r"  next +(ECS continues with .*)\r", screen)
    assert "inv backend.status" in advice and f"returns to {old.rsplit('/', 1)[-1]}" in advice
    found = re.search(r", inv (backend\.deploy --tag \S+) returns", advice)
    assert found
    back = platform.inv(*found[1].split())
    assert back.returncode == 0, back.stderr


def test_a_second_ctrl_c_leaves_it_and_says_how_to_go_on(platform: Checkout) -> None:
    """The first one begins the undo, the second one stops it: exit 130, and `next:` as after a
    no.
    """
    terminal, old = crashing(platform, "Interrupted twice")
    terminal.interrupt()
    terminal.wait_for(COUNTDOWN)
    terminal.interrupt()
    code, screen = terminal.ended(), terminal.plain
    world.revert(platform)
    assert code == 130 and "not undone: " in screen, screen
    assert re.search(
        rf"  next +ECS continues with .* returns to {re.escape(old.rsplit('/', 1)[-1])}\r", screen
    ), screen
    tag = re.search(r"inv backend\.deploy --tag (\S+) returns", screen)
    assert tag
    back = platform.inv("backend.deploy", "--tag", tag[1])
    assert back.returncode == 0, back.stderr


def test_the_first_ctrl_c_at_the_countdown_rolls_back_at_once(platform: Checkout) -> None:
    """The deploy failed by itself, so this is the first signal: it ends the countdown, not the
    undo.
    """
    terminal, old = crashing(platform, "Crashes, and the countdown is interrupted")
    terminal.wait_for(COUNTDOWN)
    terminal.interrupt()
    code, screen = terminal.ended(), terminal.plain
    world.revert(platform)
    assert code == 4 and "interrupted by SIGINT: rolling back to" in screen, screen
    assert "not undone" not in screen and world.service(platform)["taskDefinition"] == old


def test_a_second_ctrl_c_after_the_rollback_was_sent_says_so(platform: Checkout) -> None:
    """ECS is on the old revision by then: `next:` does not offer to watch the failed one."""
    terminal, old = crashing(platform, "Interrupted during the rollback")
    terminal.interrupt()
    terminal.wait_for(COUNTDOWN)
    terminal.type("x")
    terminal.wait_for("[Y/n] ")
    terminal.type("y\n")
    terminal.wait_for(f"rolling back to {old.rsplit('/', 1)[-1]}: deployment ")
    terminal.interrupt()
    code, screen = terminal.ended(), terminal.plain
    world.revert(platform)
    label = re.escape(old.rsplit("/", 1)[-1])
    assert code == 130 and "watches it on" not in screen, screen
    assert re.search(
        rf"  next +the rollback to {label} \(ecs-svc/\S+\) was sent and ECS continues with it "
        rf"unwatched: inv backend\.status shows it\r",
        screen,
    ), screen
    end = time.monotonic() + 90
    while len(world.service(platform)["deployments"]) > 1:
        assert time.monotonic() < end
        time.sleep(0.3)
    assert world.service(platform)["taskDefinition"] == old
