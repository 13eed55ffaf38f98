"""The session-manager-plugin: found or missed, and started as the AWS CLI starts it."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.core.errors import Interrupted, Refused
from ops.tools import session_plugin
from ops.tools.session_plugin import PluginSession
from tests.waiting import until

SESSION = PluginSession(
    {"SessionId": "ecs-execute-command-1", "TokenValue": "AAEAA-token", "StreamUrl": "wss://x/1"},
    "ecs:main_abc_abc-123",
    "eu-west-1",
    "ops",
    "https://ecs.eu-west-1.amazonaws.com",
)
RECORDS = """
import json, os, sys
if sys.argv[1:] == ["--version"]:
    print({version!r})
    sys.exit()
record = {{"argv": sys.argv[1:], "response": os.environ.get("AWS_SSM_START_SESSION_RESPONSE")}}
open({file!r}, "w").write(json.dumps(record))
{then}
"""
Plugin = Callable[..., str]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """A stand-in on PATH, of a version, that records how it was started and then goes on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(version: str = "1.2.707.0", then: str = "") -> str:
        program = folder / session_plugin.PROGRAM
        code = RECORDS.format(version=version, file=str(tmp_path / "record"), then=then)
        program.write_text(f"#!{sys.executable} -S\n{code}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return str(program)

    return make


def test_the_arguments_are_the_aws_cli_s_and_the_token_is_in_none_of_them(
    plugin: Plugin, tmp_path: Path
) -> None:
    """As `aws ssm start-session` does it: the variable's name in place of the session."""
    plugin()
    assert session_plugin.attach(session_plugin.find(), SESSION) == 0
    record = json.loads((tmp_path / "record").read_text())
    assert record["argv"] == [
        "AWS_SSM_START_SESSION_RESPONSE",
        "eu-west-1",
        "StartSession",
        "ops",
        '{"Target": "ecs:main_abc_abc-123"}',
        "https://ecs.eu-west-1.amazonaws.com",
    ]
    assert json.loads(record["response"]) == dict(SESSION.response)
    assert "AWS_SSM_START_SESSION_RESPONSE" not in os.environ


@pytest.mark.parametrize(
    ("then", "code"), [("sys.exit(5)", 5), ("os.kill(os.getpid(), 9)", 128 + 9)]
)
def test_its_end_is_ours(plugin: Plugin, then: str, code: int) -> None:
    """A signal counts as in a shell."""
    plugin(then=then)
    assert session_plugin.attach(session_plugin.find(), SESSION) == code


def test_a_missing_plugin_is_named_with_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, before AWS is asked for a session."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refused, match="was not found on PATH") as error:
        session_plugin.find()
    assert error.value.code == 3 and "install it: https://docs.aws.amazon.com/" in error.value.next


@pytest.mark.parametrize("version", ["1.2.497.0", "1.2.30.0", "1.1", "no version at all"])
def test_a_plugin_that_takes_the_token_as_an_argument_is_refused(
    plugin: Plugin, version: str
) -> None:
    """Arguments can be read by every user of the machine."""
    plugin(version)
    with pytest.raises(Refused, match="ECS Exec needs the Session Manager plugin"):
        session_plugin.find()


@pytest.mark.parametrize("version", ["1.2.498.0", "1.2.536.0", "1.3", "2.0.0.0"])
def test_newer_ones_are_taken(plugin: Plugin, version: str) -> None:
    """Those after 1.2.497.0 read the variable."""
    assert plugin(version) == session_plugin.find()


def test_ctrl_c_is_the_remote_program_s(plugin: Plugin, tmp_path: Path) -> None:
    """The terminal sends it to both: the plugin gets it with its default action, and we go on."""
    then = "import time\nopen(sys.argv[0] + '.up', 'w').close()\ntime.sleep(60)"
    program = plugin(then=then)
    before = signal.getsignal(signal.SIGINT)

    def press() -> None:
        until(lambda: Path(f"{program}.up").exists())
        record = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
        mine = [pid for pid in record if parent(pid) == os.getpid() and program in command(pid)]
        os.kill(os.getpid(), signal.SIGINT)
        for pid in mine:
            os.kill(pid, signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    assert session_plugin.attach(program, SESSION) in (1, 130)  # KeyboardInterrupt, or the signal
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_ends_the_plugin_too(plugin: Plugin, tmp_path: Path) -> None:
    """It comes to us alone, and nothing is left behind."""
    program = plugin(then="import time\nopen(sys.argv[0] + '.up', 'w').close()\ntime.sleep(60)")

    def end(number: int, frame: object) -> None:
        raise Interrupted("SIGTERM")

    def ask() -> None:
        until(lambda: Path(f"{program}.up").exists())
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    threading.Thread(target=ask, daemon=True).start()
    try:
        with pytest.raises(Interrupted):
            session_plugin.attach(program, SESSION)
    finally:
        signal.signal(signal.SIGTERM, before)
    left = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    assert not [pid for pid in left if parent(pid) == os.getpid() and program in command(pid)]


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
