"""Port forwarding by the session-manager-plugin: start it, wait for its port, end it.

The plugin listens on a free port of 127.0.0.1 and prints it ("Port N opened for sessionId …"). It
runs in a session of its own: a Ctrl-C of the terminal reaches the command that uses the tunnel
first, which may need the connection to roll back.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from ops.core.errors import TimedOut, Unreachable
from ops.core.redaction.redact import known, one_line
from ops.tools import session_plugin
from ops.tools.session_plugin import PluginSession

OPEN_TIMEOUT = 30.0  # seconds until the port is open
_POLL_S = 0.05
_LAST_OUTPUT_S = 1.0  # a message about a connection may arrive after its end
_RECENT_S = 5.0
_LINES = 20  # of the output's end, for errors
_OPENED = re.compile(r"Port (\d+) opened for sessionId")
_USUAL = ("Starting session", "Port ", "Waiting for connections", "Connection accepted")
_UNREACHABLE = "Connection to destination port failed"
_ADDRESS = {"SSM_PLUGIN_LOCAL_HOST": "127.0.0.1"}  # the plugin's default is `localhost`
Fault = Literal["ended", "destination"]


@dataclass
class ForwardedPort:
    """A running plugin and its port; `what` names the tunnel in errors."""

    what: str
    process: subprocess.Popen[bytes]
    port: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    failed_at: float = float("-inf")  # when a connection to the destination failed last

    def read_output(self) -> None:
        """Read the plugin's output until it ends; `port` is set as soon as it is printed."""
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").strip()
            opened = _OPENED.search(line)
            if opened:
                self.port = int(opened[1])
            if _UNREACHABLE in line:
                self.failed_at = time.monotonic()
            if line:
                self.lines.append(line)

    def wait_until_open(self, timeout_s: float) -> None:
        """Wait for the port. Raises Unreachable if the plugin ends first, and TimedOut."""
        deadline = time.monotonic() + timeout_s
        while not self.port:
            if not self.is_open():
                time.sleep(_POLL_S)  # for the last line
                raise Unreachable(self.what, self.end_text(), "run it again")
            if time.monotonic() > deadline:
                why = f"the plugin opened no port within {timeout_s:g} s{self._output()}"
                raise TimedOut(self.what, why, "check this network's way to ssmmessages (wss, 443)")
            time.sleep(_POLL_S)

    def is_open(self) -> bool:
        return self.process.poll() is None

    def fault(self) -> Fault | None:
        """What broke a connection just now; waits a moment for the plugin's message."""
        deadline = time.monotonic() + _LAST_OUTPUT_S
        while True:
            if time.monotonic() - self.failed_at < _RECENT_S:
                return "destination"
            if not self.is_open():
                return "ended"
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL_S)

    def close(self) -> None:
        """End the plugin, by its pid."""
        session_plugin.end(self.process)

    def end_text(self) -> str:
        """How the plugin ended, with the end of its output."""
        code = self.process.poll()
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"{session_plugin.PROGRAM} ended ({how}){self._output()}"

    def _output(self) -> str:
        lines = [line for line in self.lines if not line.startswith(_USUAL)]
        return f": {known.hide(one_line(' '.join(lines[-2:])))}" if lines else ""


def start(
    program: str, session: PluginSession, what: str, timeout_s: float = OPEN_TIMEOUT
) -> ForwardedPort:
    """Start the plugin, and wait until its port is open.

    Raises ConfigError if it cannot be started, Unreachable if it ends at once, and TimedOut.
    """
    try:
        process = subprocess.Popen(
            session.argv(program),
            env={**session.environment(), **_ADDRESS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise session_plugin.not_started(program, error) from None
    port = ForwardedPort(what, process)
    try:
        reader = threading.Thread(target=port.read_output, name="plugin output", daemon=True)
        reader.start()
        port.wait_until_open(timeout_s)
    except BaseException:
        port.close()
        raise
    return port
