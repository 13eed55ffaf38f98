"""The session-manager-plugin: find it, and hand the terminal over to it.

Its arguments are those of the AWS CLI (`awscli/customizations/ecs/executecommand.py`), except for
the session's token: as in `aws ssm start-session`, it is passed in an environment variable, since
arguments can be read by every user of the machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ops.core.errors import ConfigError, Refused, TimedOut, Unreachable
from ops.core.redaction.redact import one_line
from ops.tools import shell

PROGRAM = "session-manager-plugin"
RESPONSE_VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"
_TOKEN_IN_ARGUMENTS = (1, 2, 497, 0)  # the last version that does not read the variable
_VERSION = re.compile(r"\d+(?:\.\d+){1,3}")
_INSTALL = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html"
)
# the terminal sends these to both programs; the plugin passes them on to the remote command
_TERMINAL_SIGNALS = ("SIGINT", "SIGQUIT", "SIGTSTP")
_STOP_GRACE = 5.0  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True)
class PluginSession:
    """A session to attach to, in the terms of the plugin's arguments.

    `more`: the parameters of StartSession beside the target.
    """

    response: Mapping[str, str]
    target: str
    region: str
    profile: str
    endpoint: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def argv(self, program: str) -> list[str]:
        """The plugin's command line; it contains no secret."""
        request = json.dumps({"Target": self.target, **self.more})
        start = [RESPONSE_VARIABLE, self.region, "StartSession"]
        return [program, *start, self.profile, request, self.endpoint]

    def environment(self) -> dict[str, str]:
        """The plugin's environment: ours, and the session with its token."""
        return {**os.environ, RESPONSE_VARIABLE: json.dumps(dict(self.response))}


def find(purpose: str = "ECS Exec") -> str:
    """The path of the plugin. Raises Refused if it is missing or would need the token in argv.

    `purpose` is what needs it, for the error.
    """
    program = shutil.which(PROGRAM)
    what = f"{purpose} needs the Session Manager plugin"
    if program is None:
        raise Refused(what, f"{PROGRAM} was not found on PATH", f"install it: {_INSTALL}")
    try:
        answer = shell.version(program)
    except ConfigError as error:
        raise Refused(what, error.why, f"install it again: {_INSTALL}") from None
    except (Unreachable, TimedOut) as error:
        why = f"{error.what}: {error.why}"
        raise Refused(what, why, f"install it again: {_INSTALL}") from None
    found = _VERSION.search(answer)
    if found is None:
        why = f"{program} --version answered {one_line(answer)!r}, which is no version"
        raise Refused(what, why, f"install it again: {_INSTALL}")
    numbers = tuple(int(number) for number in found[0].split("."))
    if (*numbers, 0, 0, 0)[:4] <= _TOKEN_IN_ARGUMENTS:
        why = (
            f"{program} is version {found[0]}, which takes the session's token as an argument, "
            "where every user of this machine can read it"
        )
        raise Refused(what, why, f"update it: {_INSTALL}")
    return program


def attach(program: str, session: PluginSession) -> int:
    """Run the plugin on our terminal to its end, and return its exit code (128+n for a signal).

    SIGTERM and SIGHUP end the plugin before they are raised. Raises ConfigError if it cannot be
    started.
    """
    sys.stdout.flush()
    with _terminal_signals_passed():
        try:
            process = subprocess.Popen(session.argv(program), env=session.environment())
        except (OSError, ValueError) as error:
            raise not_started(program, error) from None
        try:
            code = process.wait()
        finally:
            end(process)
    return code if code >= 0 else 128 - code


def not_started(program: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{program} could not be started", one_line(error), f"install it again: {_INSTALL}"
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End the plugin: SIGTERM, and SIGKILL if it ignores it."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_GRACE)
    if process.poll() is None:
        process.kill()
        process.wait()


@contextmanager
def _terminal_signals_passed() -> Iterator[None]:
    """Leave the terminal's signals to the plugin.

    Ours do nothing meanwhile. They are handled, not ignored: a child inherits an ignored signal.
    """
    names = [name for name in _TERMINAL_SIGNALS if hasattr(signal, name)]
    before = {
        name: signal.signal(getattr(signal, name), lambda number, frame: None) for name in names
    }
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler or signal.SIG_DFL)
