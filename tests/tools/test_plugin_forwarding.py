"""Port forwarding by a stand-in of the session-manager-plugin that really forwards TCP."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from ops.core.errors import ConfigError, TimedOut, Unreachable
from ops.tools import plugin_forwarding, session_plugin
from ops.tools.session_plugin import PluginSession
from tests import plugin_stand_in
from tests.factories import stop_listening
from tests.waiting import until

MORE = {"DocumentName": "D", "Parameters": {"host": ["db"], "portNumber": ["5432"]}}
SESSION = PluginSession(
    {"SessionId": "ann-1", "TokenValue": "AAEAA-token", "StreamUrl": "wss://x/1"},
    "ecs:main_abc_abc-123",
    "eu-west-1",
    "ops",
    "https://ssm.eu-west-1.amazonaws.com",
    MORE,
)


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                with near:
                    while data := near.recv(100):
                        near.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        stop_listening(listener)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stand-in on PATH, in front of an echo server; the file of its records."""
    plugin_stand_in.install(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("STAND_IN_RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("SSM_PLUGIN_LOCAL_HOST", "0.0.0.0")  # of the operator; ours replaces it
    with echo() as port:
        monkeypatch.setenv("STAND_IN_DATABASE", f"127.0.0.1:{port}")
        yield tmp_path / "record"


@contextmanager
def opened(timeout_s: float = 30.0) -> Iterator[plugin_forwarding.ForwardedPort]:
    program = session_plugin.find("the tunnel")
    with closing(plugin_forwarding.start(program, SESSION, "tunnel through x", timeout_s)) as port:
        yield port


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def exchange(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as near:
        near.sendall(b"ping")
        return near.recv(10)


def test_bytes_go_through_and_the_plugin_ends_with_the_context(plugin: Path) -> None:
    with opened() as at:
        assert exchange(at.port) == b"ping" and exchange(at.port) == b"ping"
        record = json.loads(plugin.read_text())
        assert record["pid"] == at.process.pid and os.getsid(at.process.pid) != os.getsid(0)
        assert at.fault() is None
    assert not is_alive(record["pid"])
    assert record["request"] == {"Target": SESSION.target, **MORE}
    assert record["session"] == dict(SESSION.response)
    assert record["listen"] == "127.0.0.1"
    assert "AAEAA-token" not in "".join(record["argv"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x")])
def test_it_ends_on_an_interrupt_and_on_an_error(plugin: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), opened():
        raise error
    assert not is_alive(json.loads(plugin.read_text())["pid"])


def test_one_that_ignores_sigterm_is_killed(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "stubborn")
    monkeypatch.setattr(session_plugin, "_STOP_GRACE", 0.2)
    with opened() as at:
        pass
    assert at.process.returncode == -9


def test_one_that_ends_before_its_port_gives_its_last_line(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "refused")
    with pytest.raises(Unreachable) as error, opened():
        pytest.fail("there is no port")
    assert error.value.what == "tunnel through x"
    assert error.value.why == (
        "session-manager-plugin ended (exit code 0): "
        "Cannot perform start session: websocket: bad handshake"
    )


def test_one_that_opens_no_port_is_ended(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "silent")
    with pytest.raises(TimedOut, match="no port within 1 s"), opened(1.0):
        pytest.fail("there is no port")
    assert not is_alive(json.loads(plugin.read_text())["pid"])


def test_a_destination_that_does_not_answer_is_known_from_its_output(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment: a later connection may succeed."""
    monkeypatch.setenv("STAND_IN_FAULT", "destination")
    with opened() as at:
        assert exchange_fails(at.port) and at.fault() == "destination"
        monkeypatch.setattr(plugin_forwarding, "_RECENT_S", 0.0)
        assert at.fault() is None and at.is_open()


def test_one_that_dies_is_known(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "dies")
    with opened() as at:
        assert exchange(at.port) == b"ping" and exchange_fails(at.port)
        until(lambda: not at.is_open())
        assert at.fault() == "ended"
        until(lambda: "the session has timed out" in at.end_text())


def exchange_fails(port: int) -> bool:
    try:
        return exchange(port) == b""
    except OSError:
        return True


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="could not be started"):
        plugin_forwarding.start(str(tmp_path / "absent"), SESSION, "x")
