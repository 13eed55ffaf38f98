"""`inv backend.logs` on the sandbox, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.terminal import Terminal
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
GROUP = "/ecs/dev-davidshaevel/backend"


def command(platform: Checkout, *words: str) -> list[str]:
    root = ["--search-root", str(platform.root)]
    return [sys.executable, "-P", "-m", "invoke", *root, *words]


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def running(platform: Checkout) -> set[str]:
    arns = world.aws(platform, "ecs").list_tasks(
        cluster="dev-davidshaevel-cluster", serviceName="dev-davidshaevel-backend"
    )["taskArns"]
    return {arn.rsplit("/", 1)[-1] for arn in arns}


def write(platform: Checkout, *messages: str) -> str:
    """Log lines of one running task, as its driver writes them; the task's id."""
    import time

    task = sorted(running(platform))[0]
    now = int(time.time() * 1000)
    world.aws(platform, "logs").put_log_events(
        logGroupName=GROUP,
        logStreamName=f"ecs/backend/{task}",
        logEvents=[{"timestamp": now, "message": message} for message in messages],
    )
    return task


def test_the_log_of_all_tasks(platform: Checkout) -> None:
    """Every running task's lines, by time, without colours in a pipe; each names its task."""
    done = platform.inv("backend.logs", "--since", "1h")
    assert done.returncode == 0 and "\x1b" not in done.stdout, done.stderr
    for task in running(platform):
        assert f"{task[:12]} " in done.stdout
    assert "listening" in done.stdout


def test_an_event_a_line_of_json(platform: Checkout) -> None:
    task = write(platform, "one for --json, password=hunter2hunter2")
    done = platform.inv("backend.logs", "--json", "--grep", "one for --json")
    event = json.loads(done.stdout)
    assert {*event} == {"at", "service", "task", "container", "message"}
    assert (event["service"], event["task"], event["container"]) == ("backend", task, "backend")
    assert event["at"].endswith("+00:00")
    assert event["message"] == "one for --json, password=***"


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_colours(platform: Checkout, variables: Any, coloured: bool) -> None:
    """An error is red; NO_COLOR and FORCE_COLOR decide, then whether it is a terminal."""
    write(platform, "ERROR broken pipe of tests")
    done = platform.inv("backend.logs", "--grep", "broken pipe", **variables)
    assert ("\x1b[31mERROR broken pipe of tests\x1b[0m" in done.stdout) is coloured
    assert "ERROR broken pipe of tests" in done.stdout


def test_one_task_by_the_beginning_of_its_id(platform: Checkout) -> None:
    task = write(platform, "only mine")
    done = platform.inv("backend.logs", "--since", "1h", "--task", task[:8])
    assert "only mine" in done.stdout
    assert {line.split()[1] for line in done.stdout.splitlines()} == {task[:12]}


def test_nothing_found_names_the_group_and_the_time_range(platform: Checkout) -> None:
    done = platform.inv("backend.logs", "--grep", "/no such (line)/", "--since", "5m")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"no events that match /no such (line)/ in {GROUP} (us-east-1) from" in done.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--since", "yesterday"], "--since yesterday"),
        (["--since", "5m", "--until", "10m"], "--since 5m --until 10m"),
        (["--follow", "--until", "5m"], "--follow and --until exclude each other"),
        (["--grep", "/(/"], "--grep /(/"),
        (["--task", "nothing"], "--task nothing: backend has no task or log stream with this id"),
        (["--container", "proxy"], "--container proxy: backend has no such container"),
    ],
)
def test_bad_input(platform: Checkout, words: list[str], error: str) -> None:
    """Three lines, exit code 2."""
    done = platform.inv("backend.logs", *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    lines = done.stderr.splitlines()[-3:]
    assert lines[0] == f"error: {error}"
    assert lines[1].startswith("  why: ") and lines[2].startswith(" next: ")


@pytest.mark.parametrize("words", [["--json"], ["--json", "--follow"], ["--follow"]])
def test_a_closed_pipe_ends_it_quietly(platform: Checkout, words: list[str]) -> None:
    """`| head -1` gets its line; nothing is left running, and nothing is complained about."""
    logs = subprocess.Popen(
        command(platform, "backend.logs", "--since", "1h", *words),
        cwd=platform.root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert logs.stdout is not None and logs.stderr is not None
    head = subprocess.run(["head", "-1"], stdin=logs.stdout, capture_output=True, check=True)
    logs.stdout.close()
    assert head.stdout
    assert logs.wait(30) == 0
    assert b"Error" not in logs.stderr.read()


def test_following_through_a_deploy(platform: Checkout, tmp_path: Path) -> None:
    """New tasks join, old ones end, each said in a line; every line once; Ctrl-C ends it with 0."""
    before = running(platform)
    world.commit(platform, {"backend/NOTE": "followed"}, "A version that is followed")
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        logs = subprocess.Popen(
            command(platform, "backend.logs", "--follow", "--since", "0s"),
            cwd=platform.root,
            env=environment(),
            stdout=stdout,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
        )
    try:
        until(lambda: "following" in err.read_text())
        assert platform.inv("backend.deploy", "--yes").returncode == 0
        new = running(platform) - before
        assert new
        for task in new:
            until(lambda task=task: f"{task[:12]}" in out.read_text())  # type: ignore[misc]
        until(lambda: " joined: " in err.read_text() and " stopping: " in err.read_text())
        logs.send_signal(signal.SIGINT)
        assert logs.wait(30) == 0
    finally:
        logs.kill()
    told = err.read_text()
    for task in before - running(platform):
        assert task[:12] in told
    starts = [line for line in out.read_text().splitlines() if "listening" in line]
    assert len(starts) == len({*starts}) == len(new)


def test_the_key_q_ends_following(platform: Checkout) -> None:
    """On a terminal: colours by task, and q ends it with exit code 0."""
    terminal = Terminal(
        command(platform, "backend.logs", "--follow", "--since", "1h"),
        platform.root,
        {**environment(), "TERM": "xterm"},
    )
    terminal.wait_for("q or Ctrl-C ends it")
    terminal.wait_for("listening")
    assert "\x1b[36m" in terminal.text
    terminal.type("q")
    assert terminal.ended() == 0
