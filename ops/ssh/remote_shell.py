"""Commands for an account with any login shell: `/bin/sh` reads them from its stdin.

sshd passes the command line to the account's login shell: fish and tcsh parse it differently, a
`.bashrc` may print before it, nologin and ForceCommand do not run it at all. So the command line is
the same for all commands, and free of everything that one of the shells reads differently (quotes
inside quotes, backslashes, `!`, newlines). The command itself is the first line of stdin; the rest
is the command's own stdin. `/bin/sh` prints a mark before it begins: what comes before the mark was
printed by the login shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from ops.core.errors import Refused
from ops.core.redaction.redact import one_line

# `read` takes one byte at a time from a pipe (POSIX), so that it leaves the rest to the command
COMMAND_LINE = """/bin/sh -c 'IFS= read -r line && eval "$line"'"""
_MARK = b"--ecs-runbook--begin--"
# messages in English, and Python's streams in UTF-8, whatever the account's profile sets
_LOCALE = "export LC_ALL=C PYTHONUTF8=1 PYTHONIOENCODING=utf-8; unset LANGUAGE"
_SHOWN_OUTPUT = 300  # bytes of the login shell's output that an error quotes


def first_line(command: str | list[str]) -> bytes:
    """The first line of stdin, which makes `/bin/sh` print the mark and run the command."""
    text = command if isinstance(command, str) else shlex.join(command)
    if "\n" in text:
        escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
        text = f'eval "$(printf %b {shlex.quote(escaped)})"'
    return f"echo {_MARK.decode()}; {_LOCALE}; {text}\n".encode()


@dataclass
class MarkedOutput:
    """Passes on what follows the mark; `before` holds what the login shell printed."""

    on_out: Callable[[bytes], None]
    before: bytes = b""
    begun: bool = field(default=False, init=False)

    def take(self, data: bytes) -> None:
        if self.begun:
            self.on_out(data)
            return
        head, mark, rest = (self.before + data).partition(_MARK + b"\n")
        self.before, self.begun = head, bool(mark)
        if rest:
            self.on_out(rest)


def no_shell(where: str, what: str, output: bytes, code: int) -> Refused:
    """The error of an account whose login shell or ForceCommand did not run the command."""
    text = one_line(output[:_SHOWN_OUTPUT].decode(errors="replace").strip())
    answer = f"it answered {text!r}" if text else f"it ended with exit code {code}"
    return Refused(
        f"ssh {where}: {what or 'a command'}",
        f"the account runs no commands (its login shell or ForceCommand): {answer}",
        "set bastion.user to an account with a shell, or set database.run: tunnel",
    )
