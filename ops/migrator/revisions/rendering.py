"""The SQL of revisions, recorded by Alembic in a process of its own (`confined`)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import RevisionStep
from alembic.script import ScriptDirectory

from ops.migrator.model import MigrateError
from ops.migrator.revisions import output, session_state, user_code
from ops.migrator.revisions.user_code import UserCodeError, contained, describe, location

Send = Callable[[Any], None]
_OWN_PACKAGES = ("alembic", "ops", "sqlalchemy")  # whose errors are not of the network
_ALEMBIC_MARK = "/* Alembic */"


def render(
    directory: ScriptDirectory,
    config: Config,
    steps: list[RevisionStep],
    heads: tuple[str, ...],
    send: Send,
) -> None:
    """Send ("text", SQL) of each step, ("problem", reason), or ("error", its fields).

    A problem ends the SQL of its step, and the steps after it are not run. What the revisions print
    is discarded: it would look like a migration that runs.
    """
    buffer, ends = io.StringIO(), [0]

    def one_by_one(_heads: Any, context: Any) -> Iterator[RevisionStep]:
        _mark_alembic_transactions(context.impl)
        for number, step in enumerate(steps, 1):
            step.migration_fn = _only_printed(step.migration_fn, context.impl, buffer)
            yield step  # Alembic has written it when it asks for the next
            ends.append(buffer.tell())
            if number < len(steps):  # what follows the last one belongs to it
                send(("text", _encodable(buffer.getvalue()[ends[-2] :], step)))

    config.output_buffer = buffer
    environment: Any = EnvironmentContext(
        config, directory, fn=one_by_one, as_sql=True, starting_rev=heads or None
    )
    folder = Path(directory.dir)
    try:
        try:
            with contained(), output.discarded(), environment:
                directory.run_env()
        except UserCodeError as error:
            at = steps[len(ends) - 1].revision.revision if len(ends) <= len(steps) else ""
            what, why = f"revision {at}" if at else "env.py", describe(error)
            why += location(error, folder)
            raise MigrateError("failed", what, why, "raise an exception instead") from None
        except MigrateError:
            raise
        except Exception as error:  # a revision is Python, and may fail without a database
            send(("problem", describe(error) + location(error, folder) + _refused_note(error)))
        last = min(len(ends), len(steps)) - 1
        send(("text", _encodable(buffer.getvalue()[ends[last] :], steps[last])))
    except MigrateError as error:
        send(("error", (error.kind, error.what, error.why, error.next)))


def _refused_note(problem: Exception) -> str:
    """The restrictions of this process, for an error of a library that does not know of them."""
    package = type(problem).__module__.partition(".")[0]
    if isinstance(problem, OSError) or package not in (*_OWN_PACKAGES, *sys.stdlib_module_names):
        return "; network and programs are refused while its SQL is only read"
    return ""


def _encodable(text: str, step: RevisionStep) -> str:
    """The SQL. Raises MigrateError if it has a lone surrogate, which UTF-8 can't encode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text[: error.start].rpartition("\n")[2] + text[error.start :].partition("\n")[0]
        shown = line.encode("utf-8", "backslashreplace").decode()[:80]
        what, why = (
            f"revision {step.revision.revision}",
            f"its SQL holds a lone surrogate, which is no character: {shown}",
        )
        raise MigrateError("failed", what, why, "correct the text") from None
    return text


def _only_printed(original: Any, impl: Any, buffer: io.StringIO) -> Any:
    """`original` without side effects, and with the engine's resets where they matter.

    Raises EffectRefused also for an effect whose refusal the revision ignored.
    """

    def run_one(**given: Any) -> None:
        begin = buffer.tell()
        with user_code.without_effects() as refused:
            original(**given)
        if refused:
            raise refused[0]
        buffer.seek(begin)
        if session_state.changes_session(buffer.read()):
            for statement in session_state.RESET_STATEMENTS:
                impl.static_output(f"{statement} {_ALEMBIC_MARK}{impl.command_terminator}")

    run_one.__name__ = original.__name__
    return run_one


def _mark_alembic_transactions(impl: Any) -> None:
    """Mark Alembic's own BEGIN and COMMIT, because the linter refuses a revision's."""
    impl.emit_begin = lambda: impl.static_output(f"BEGIN {_ALEMBIC_MARK}{impl.command_terminator}")
    impl.emit_commit = lambda: impl.static_output(
        f"COMMIT {_ALEMBIC_MARK}{impl.command_terminator}"
    )
