"""`troubleshoot.* --fix`: run the fixes of root causes that are tasks of ours, one by one.

Each fix is shown with its plan and confirmed. Afterwards the evidence is collected again, which
says whether the cause is gone. Other commands (`aws …`, advice) are only printed.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.core import ui
from ops.core.errors import Refused
from ops.core.text import format_duration
from ops.diagnosis.model import Diagnosed, Diagnosis

_OWN = "inv "
_TRIES, _PAUSE_S = 10, 5.0  # a platform needs time to recover
# Tasks that ask for what they lose or unlock; `--yes` of troubleshoot never answers that.
TYPED = ("tf.unlock", "lock.release", "db.upgrade", "db.downgrade", "db.adopt")

RunTask = Callable[[Sequence[str]], int]  # the words after `inv`; returns the exit code


@dataclass(frozen=True)
class FixOutcome:
    """A fix and its result: `exit_code` is None if it was not run, `gone` None if not checked.

    `refused`: the answer was no, or there was no terminal on which to ask.
    """

    cause: str
    service: str
    command: str
    exit_code: int | None = None
    gone: bool | None = None
    refused: bool = False

    def as_document(self) -> dict[str, Any]:
        return vars(self)


@dataclass(frozen=True)
class FixRunner:
    """How fixes are run.

    `options`: task → the names of its options, to tell a change (it has `plan`) from a read.
    `run` runs `inv` with the given words on this terminal. `diagnose` collects and diagnoses again.
    """

    options: Mapping[str, frozenset[str]]
    run: RunTask
    diagnose: Callable[[], Diagnosis]
    pause: Callable[[float], None] = time.sleep

    def fixes(self, found: Diagnosis) -> Iterator[tuple[Diagnosed, str]]:
        """Yield each root cause that a task of ours can fix, with the first such command."""
        for root in found.roots:
            command = next(filter(self._changes, root.candidate.finding.fix), None)
            if command:
                yield root, command

    def _changes(self, command: str) -> bool:
        """Whether a command is a task of ours that changes something."""
        task = _words(command)[:1]
        return bool(task) and (task[0] in TYPED or "plan" in self._options_of(task[0]))

    def _options_of(self, task: str) -> frozenset[str]:
        return self.options.get(task, frozenset())

    def apply(self, found: Diagnosis, *, yes: bool) -> tuple[Diagnosis, tuple[FixOutcome, ...]]:
        """Offer every fix; return the last diagnosis and the outcomes."""
        outcomes: list[FixOutcome] = []
        for root, command in list(self.fixes(found)):
            outcome = self._apply_one(root, command, yes=yes)
            if outcome.exit_code == 0:
                found, gone = self._until_gone(root)
                outcome = FixOutcome(*_identity(root), command, 0, gone)
                ui.progress(_verdict(root, gone))
            outcomes.append(outcome)
        if not outcomes:
            ui.progress("no cause has a fix that is a task of this tool")
        return found, tuple(outcomes)

    def _apply_one(self, root: Diagnosed, command: str, *, yes: bool) -> FixOutcome:
        words = _words(command)
        refused = FixOutcome(*_identity(root), command, refused=True)
        ui.progress(f"fix of {root.cause}: {command}")
        if not yes and not ui.on_terminal():
            ui.progress(f"not run: there is no terminal to ask on; add --yes, or type: {command}")
            return refused
        planned = self.run([*words, "--plan"]) if "plan" in self._options_of(words[0]) else 0
        if planned:
            ui.progress(f"not run: its plan ended with exit code {planned}")
            return FixOutcome(*_identity(root), command)
        typed = words[0] in TYPED
        if typed and not ui.on_terminal():
            ui.progress(f"not run: it asks for a typed confirmation; type: {command}")
            return refused
        if not typed and not _agreed(command, yes=yes):
            return refused
        confirmed = ["--yes"] if not typed and "yes" in self._options_of(words[0]) else []
        code = self.run([*words, *confirmed])
        return FixOutcome(*_identity(root), command, code, refused=code == Refused.exit_code)

    def _until_gone(self, root: Diagnosed) -> tuple[Diagnosis, bool]:
        """Diagnose until the cause and its consequences are gone, or the tries are used up.

        The second value says whether the cause is gone; consequences such as errors in a log may
        stay for a while.
        """
        every = {root.candidate.identity, *(each.identity for each in root.consequences)}
        for left in reversed(range(_TRIES)):
            found = self.diagnose()
            still = every & {each.candidate.identity for each in found.found}
            if not still or not left:
                break
            self.pause(_PAUSE_S)
        return found, root.candidate.identity not in still


def _agreed(command: str, *, yes: bool) -> bool:
    try:
        ui.confirm(f"run {command}", yes=yes)
    except Refused:
        return False
    return True


def _words(command: str) -> list[str]:
    """The words after `inv`; empty for another command or a sentence."""
    if not command.startswith(_OWN):
        return []
    try:
        return shlex.split(command)[1:]
    except ValueError:
        return []


def _identity(root: Diagnosed) -> tuple[str, str]:
    return root.candidate.identity


def _verdict(root: Diagnosed, gone: bool) -> str:
    waited = format_duration(_TRIES * _PAUSE_S)
    return f"{root.cause} is gone" if gone else f"{root.cause} is still found after {waited}"
