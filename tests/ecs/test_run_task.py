"""`inv backend.run` as an operator types it, on a sandbox: exit codes, streams, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import Checkout
from tests.deploy import deploying as world

pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.timeout(240)]
EXIT_7 = "sh -c 'echo out; exit 7'"
WAITS = "python3 -c 'import time; print(\"up\", flush=True); time.sleep(600)'"


def started(platform: Checkout, *words: str) -> subprocess.Popen[str]:
    """`inv backend.run` that has printed what its task printed: it runs."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    inv = [sys.executable, "-m", "invoke", "--search-root", str(platform.root)]
    process = subprocess.Popen(
        [*inv, "backend.run", "--command", WAITS, *words],
        cwd=platform.root,
        env=keep,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if "--json" not in words:
        assert process.stdout.readline() == "up\n"
    return process


def one_offs(platform: Checkout) -> list[str]:
    """The one-off tasks that are to run."""
    aws, cluster = world.aws(platform, "ecs"), "dev-davidshaevel-cluster"
    return [
        arn
        for arn in aws.list_tasks(cluster=cluster)["taskArns"]
        if aws.describe_tasks(cluster=cluster, tasks=[arn])["tasks"][0]["startedBy"].startswith(
            "inv-run-"
        )
    ]


def test_the_task_s_own_exit_code_is_ours_and_called_its_own(platform: Checkout) -> None:
    """stdout is the task's output; the rest is on stderr."""
    done = platform.inv("backend.run", "--command", EXIT_7)
    assert (done.returncode, done.stdout) == (7, "out\n"), done.stderr
    assert "the task's own exit code: 7" in done.stderr and "error:" not in done.stderr
    assert platform.inv("backend.run", "--command", "python3 -c pass").returncode == 0


def test_as_a_document(platform: Checkout) -> None:
    """One document on stdout; the log goes to stderr."""
    done = platform.inv("backend.run", "--command", "sh -c 'echo out; exit 3'", "--json")
    assert done.returncode == 3 and "out\n" in done.stderr
    document = json.loads(done.stdout)
    assert document["exit_code"] == 3 and "error" not in document
    assert document["stopped_reason"] == "Essential container in task exited"
    assert re.fullmatch(r"[0-9a-f]{32}", document["task"]) and document["took_s"] > 0
    assert document["service"] == "backend" and document["environment"] == "sandbox"


def test_a_command_that_cannot_be_started_is_125(platform: Checkout) -> None:
    """Not 127: ECS started nothing, and says why."""
    done = platform.inv("backend.run", "--command", "nosuchprogram", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 125 and document["exit_code"] is None and document["task"]
    assert "could not start" in document["error"]["what"]
    assert "CannotStartContainerError" in document["error"]["why"]
    assert document["findings"][0]["cause"] == "exec_failed"


def test_the_time_limit_stops_it(platform: Checkout) -> None:
    """6, and the task is stopped."""
    done = platform.inv("backend.run", "--command", WAITS, "--timeout", "3s", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 6 and "did not end within 3s" in document["error"]["what"]
    assert "was stopped" in document["error"]["why"] and document["task"]
    assert one_offs(platform) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_stops_it(platform: Checkout, name: str) -> None:
    """130, with what became of the task."""
    process = started(platform)
    process.send_signal(signal.Signals[name])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"interrupted by {name}" in err and "was stopped; the task's own exit code: " in err
    assert one_offs(platform) == []


def test_a_plan_changes_nothing(platform: Checkout) -> None:
    """What would be run, and where."""
    done = platform.inv("backend.run", "--command", EXIT_7, "--plan")
    assert done.returncode == 0 and "Run one task of dev-davidshaevel-backend:" in done.stdout
    assert "command of container backend: sh -c 'echo out; exit 7'" in done.stdout
    plan = platform.document("backend.run", "--command", EXIT_7, "--plan")["plan"]
    assert [step["verb"] for step in plan] == ["run_task", "override", "follow"]
    assert one_offs(platform) == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["run", "--command="], 2, "its value is empty"),
        (["run"], 2, "--command is missing"),
        (["run", "--command", "sh -c 'open"], 2, "No closing quotation"),
        (["run", "--command", "ls", "--container", "worker"], 2, "its containers are: backend"),
        (["run", "--command", "ls", "--timeout", "soon"], 2, "--timeout soon"),
        (["exec", "--command="], 2, "its value is empty"),
        (["exec", "--command", "ls"], 3, "session-manager-plugin was not found on PATH"),
    ],
)
def test_bad_input_is_three_lines(
    platform: Checkout, words: list[str], code: int, text: str
) -> None:
    """And nothing was started."""
    done = platform.inv(f"backend.{words[0]}", *words[1:], PATH="/usr/bin:/bin")
    error = done.stderr[done.stderr.index("error:") :]
    assert (done.returncode, len(error.splitlines())) == (code, 3), done.stderr
    assert text in error and done.stdout == ""
    assert one_offs(platform) == []


def test_a_protected_environment_asks_first(platform: Checkout) -> None:
    """Without a terminal it is refused; --yes runs it."""
    file = platform.root / "invoke.yaml"
    before = file.read_text()
    file.write_text(before.replace("    cluster:", "    protected: true\n    cluster:", 1))
    try:
        refused = platform.inv("backend.run", "--command", EXIT_7)
        assert refused.returncode == 3 and "this needs an answer" in refused.stderr
        assert one_offs(platform) == []
        assert platform.inv("backend.run", "--command", EXIT_7, "--yes").returncode == 7
    finally:
        file.write_text(before)


def test_exec_hands_over_to_the_plugin(platform: Checkout, tmp_path: Path) -> None:
    """From the command line to a stand-in of the plugin, whose exit code is ours."""
    program = tmp_path / "session-manager-plugin"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 1.2.707.0 && exit\necho "$1 $3 $5"\nexit 5\n'
    )
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = platform.inv("backend.exec", "--command", "ls -l", PATH=path)
    assert done.returncode == 5 and "error:" not in done.stderr, done.stderr
    assert done.stdout.startswith("AWS_SSM_START_SESSION_RESPONSE StartSession ")
    assert "ecs:dev-davidshaevel-cluster_" in done.stdout
