"""How this program was started, so that a suggested command can be pasted as it is printed.

Messages name the program `inv`. Where it was started as `./inv`, by another name, or with core
options (`--env dev`), `as_typed` puts those in; errors, results and documents pass through it when
they are printed, never where they are created or stored."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

_VARIABLE = "OPS_INV"  # how the wrapper was typed
# `inv` as the first word of one of our commands, not as a word of SQL or of a log
_COMMAND = re.compile(
    r"(?P<variables>INVOKE_ENV=\S+ )?(?<![\w./-])inv "
    r"(?=(?P<task>[a-z][a-z0-9-]*\.[a-zA-Z]|SERVICE\.|TASK\b|status\b|preflight\b|troubleshoot\b)"
    r"|--(?:list|help|hide|env|version|config|collection|print)\b|-f |…)"
)
_WITHOUT_ENVIRONMENT = ("sandbox.", "dev.")
_COMMAND_FIELDS = ("next", "fix")  # of documents


class Invocation:
    """The program's name as typed, and the core options that its suggested commands need."""

    def __init__(self) -> None:
        self.program, self.options = "inv", ""
        self.own = False  # whether our own program runs, not Invoke's

    def start(self, environ: Any, program: str = "inv") -> None:
        """Take the name from the wrapper's variable, which child processes do not inherit."""
        typed = environ.pop(_VARIABLE, "")
        self.program = shlex.quote(_shortest(typed)) if typed else program

    def set_options(self, config: str | None, environment: str | None) -> None:
        """The `-f FILE` and `--env NAME` of this run."""
        words = [
            *(["-f", config] if config else []),
            *(["--env", environment] if environment else []),
        ]
        self.options = f"{shlex.join(words)} " if words else ""

    def as_typed(self, text: str) -> str:
        """The text with each `inv …` in it as it must be typed here."""
        if (self.program == "inv" and not self.options) or "inv " not in text:
            return text
        return _COMMAND.sub(self._command, text)

    def _command(self, found: re.Match[str]) -> str:
        variables, task = found["variables"] or "", found["task"]
        follows = found.string[found.end() :]
        plain = variables or not task or follows.startswith(_WITHOUT_ENVIRONMENT)
        return f"{variables}{self.program} {'' if plain else self.options}"

    def in_document(self, document: Any, field: str = "") -> Any:
        """The document with the commands of its fields `next` and `fix` as they must be typed."""
        if self.program == "inv" and not self.options:
            return document
        if isinstance(document, Mapping):
            return {key: self.in_document(value, str(key)) for key, value in document.items()}
        if isinstance(document, Sequence) and not isinstance(document, str | bytes):
            return [self.in_document(value, field) for value in document]
        return (
            self.as_typed(document)
            if field in _COMMAND_FIELDS and isinstance(document, str)
            else document
        )


def _shortest(typed: str) -> str:
    """`inv` for a wrapper that the shell finds on the PATH; else the path as typed."""
    import shutil

    return "inv" if typed.startswith("/") and shutil.which("inv") == typed else typed


invocation = Invocation()
