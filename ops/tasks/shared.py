"""What every task shares: options, results, signals and the error boundary, by one decorator.

    @ops_task(options=("plan", "json"), help={"tag": "…"})
    def deploy(session: Session, tag: str | None = None) -> None: ...

Invoke reads parameters from a signature, so the decorator gives the task its own parameters and the
shared ones; the body finds the shared ones on its `Session`. SIGINT, SIGTERM and SIGHUP arrive as
one exception, and every error leaves as three lines.
"""

from __future__ import annotations

import atexit
import errno
import gc
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from invoke.exceptions import Exit

from ops.core import streams
from ops.core.errors import Cancelled, Interrupted, OpsError
from ops.ssh.sharing import shared_connections
from ops.tasks.arguments import OpsTask, required_after
from ops.tasks.command_line.core_options import check_core_options

if TYPE_CHECKING:
    from ops.core.config.settings import Settings
    from ops.core.result import PlannedChange, Result

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
OPTIONS: Mapping[str, tuple[Any, str]] = {
    "plan": (False, "Print what would be done and change nothing."),
    "yes": (False, "Answer yes to questions, except those that have an option of their own."),
    "json": (False, "Print one JSON document on stdout, all else on stderr."),
    "timeout": (None, "Longest wait, in seconds or as 5m."),
    "lock_wait": (None, "Wait this long for a lock that is held, in seconds or as 5m."),
    "follow": (False, "Show log lines as they come."),
    "verbose": (False, "Show every check, and the output of builds and tests."),
    "skip": (None, "Leave out a check: --skip NAME (again for more)."),
}
REPEATED = ("skip",)  # their default must be None: Invoke takes the kind from any other
COLLECT = (
    50_000,
    10,
    10,
)  # objects made between two looks for cycles; Python's own 700 suits a program that runs for long
ALL_TASKS: dict[str, Any] = {}  # name → task, filled when the collection is built
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Session:
    """One call of one task: where it acts, what was asked, and how it answers."""

    def __init__(self, context: Any, options: Mapping[str, Any]) -> None:
        self.context = context
        self.plan = bool(options.get("plan"))
        self.yes = bool(options.get("yes"))
        self.json = bool(options.get("json"))
        self.follow = bool(options.get("follow"))
        self.verbose = bool(options.get("verbose"))
        self.timeout: str | None = options.get("timeout")
        self.lock_wait: str | None = options.get("lock_wait")
        self.skip = frozenset(
            name for text in options.get("skip") or () for name in text.split(",") if name
        )
        self.stream: Any = sys.stdout
        self.if_stopped: Callable[[OpsError], Mapping[str, Any]] = (
            lambda error: {}
        )  # fields of an error's document
        self.reread = ""  # the command that prints a log again that was streamed to stdout
        self.resources = ExitStack()  # what is held open until the call ends: a tunnel

    def held(self, resource: AbstractContextManager[T]) -> T:
        """Enter it now, and leave it when this call ends."""
        return self.resources.enter_context(resource)

    @cached_property
    def settings(self) -> Settings:
        """The chosen environment, validated; says where this task acts before anything does."""
        from ops.core import ui
        from ops.core.config import load

        settings = load.read(self.context.config, ROOT)
        environment = settings.environment
        ui.progress(f"{settings.name} · {environment.account} · {environment.region}")
        return settings

    @property
    def environment_name(self) -> str | None:
        """The environment's name, once `settings` has been read; for documents of errors."""
        return self.settings.name if "settings" in vars(self) else None

    def timeout_s(self) -> float | None:
        from ops.core import ui

        return ui.parse_seconds("timeout", self.timeout)

    def lock_wait_s(self) -> float:
        from ops.core import ui

        return ui.parse_seconds("lock-wait", self.lock_wait) or 0.0

    def carry_out(self, change: PlannedChange) -> None:
        """Report the change's plan with `--plan`; else confirm it, apply it and report the result.

        The only place that handles `--plan`.
        """
        if self.plan:
            self.report(change.preview())
            return
        change.confirm(yes=self.yes)
        self.report(change.apply())

    def report(self, result: Result) -> None:
        """Print the result, its document with `--json`, else its text; exit with its exit code."""
        self._print(result.document, result.text, verbatim=getattr(result, "verbatim", False))
        self.leave(result.exit_code)

    def _print(self, document: Any, text: str, *, verbatim: bool) -> None:
        from ops.core import ui

        if self.json:
            ui.write_document(self.stream, document)
        elif text:
            ui.print_text(text, verbatim=verbatim)
        if self.failure and text:
            ui.progress(text)

    def report_forced_end(self, what: str, why: str, how: str) -> None:
        """Report that user code was ended (`ops.migrator.revisions.interrupts`)."""
        from ops.core import ui

        error = Cancelled(what, why, how)
        ui.write_document(self.stream, {**self.if_stopped(error), **error.as_document()})
        print(error, file=sys.stderr, flush=True)

    @property
    def failure(self) -> OSError | None:
        """The error that stopped the answer from being written; None for a closed pipe."""
        found: OSError | None = getattr(self.stream, "failure", None)
        return found

    def leave(self, code: int) -> None:
        """End with an exit code whose reason has been reported already."""
        if code:
            error = unwritten(self)
            if error and self.reread:
                print(error, file=sys.stderr, flush=True)
            raise Exit(code=code)


def ops_task(
    *,
    options: tuple[str, ...],
    help: Mapping[str, str] | None = None,
    name: str | None = None,
    repeated: tuple[str, ...] = (),
    positional: tuple[str, ...] = (),
    paired: Mapping[str, str] | None = None,
) -> Callable[..., Any]:
    """Make a task from `body(session, **own)`, with shared options added to its own.

    `repeated` options take several values. `positional` parameters are required: Invoke has no
    optional positional. `paired` maps a positional parameter to the option that requires it.
    """

    def decorate(body: Callable[..., None]) -> Any:
        def call(context: Any, **given: Any) -> None:
            own = {key: value for key, value in given.items() if key not in options}
            from ops.core import ui
            from ops.core.redaction.redact import known

            def guarded(session: Session, **own: Any) -> None:
                session.plan |= check_core_options(context.config, made.path, options)
                ui.show_details(session.verbose)
                body(session, **own)

            streams.make_safe()
            tune_gc()

            with ui.ignore_broken_pipes(), signals_raised():
                known.add_variables(os.environ)
                session = Session(context, {key: given.get(key) for key in options})
                with shared_connections(), session.resources:
                    run_and_report(session, guarded, own)

        call.__doc__, call.__name__, call.__module__ = body.__doc__, body.__name__, body.__module__
        call.__signature__ = signature(body, options)  # type: ignore[attr-defined]
        texts = {**{key: OPTIONS[key][1] for key in options}, **(help or {})}
        iterable = [*repeated, *(key for key in options if key in REPEATED)]
        made = OpsTask(
            call,
            name=name,
            help=texts,
            auto_shortflags=False,
            positional=[*positional, *(paired or {})],
            iterable=iterable,
        )
        for second, first in (paired or {}).items():
            made = required_after(made, second, first)
        return made

    return decorate


def signature(body: Callable[..., None], options: tuple[str, ...]) -> inspect.Signature:
    parameters = list(inspect.signature(body).parameters.values())
    shared = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=OPTIONS[key][0])
        for key in options
    ]
    return inspect.Signature([*parameters, *shared])


def tune_gc() -> None:
    """Let the collector of cycles run seldom: what the libraries of AWS and PostgreSQL bring in
    stays to the end, and walking through it again and again, at the end once more, was a third of
    what a task like health.all computed."""
    gc.set_threshold(*COLLECT)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)  # what is left is not looked through when Python ends


@contextmanager
def signals_raised() -> Iterator[None]:
    """Raise `Interrupted` for SIGINT, SIGTERM and SIGHUP.

    SIGINT is installed, not inherited: under `sh &` it starts ignored. A lost terminal counts once:
    shell and kernel both send SIGHUP, and the second is no request to stop the undo.
    """

    def raise_interrupted(number: int, _frame: FrameType | None) -> None:
        if signal.Signals(number).name == "SIGHUP":
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    before = {
        name: signal.signal(getattr(signal, name), raise_interrupted)
        for name in SIGNALS
        if hasattr(signal, name)
    }
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler or signal.SIG_DFL)


def run_and_report(session: Session, body: Callable[..., None], own: Mapping[str, Any]) -> None:
    """Run the body; with `--json`, print exactly one document, an error's if there is no other."""
    if not session.json:
        translate_errors(session, body, own)
        refuse_unwritten(session)
        return
    from ops.core import ui
    from ops.migrator.revisions import interrupts

    with ui.clean_stdout() as session.stream:
        interrupts.set_report(session.report_forced_end)
        try:
            translate_errors(session, body, own)
        except OpsError as error:
            ui.write_document(session.stream, {**session.if_stopped(error), **error.as_document()})
            raise
        finally:
            interrupts.set_report(interrupts.print_report)
        refuse_unwritten(session)


def refuse_unwritten(session: Session) -> None:
    """Raise OpsError where the task is done, and its answer did not get to stdout."""
    if error := unwritten(session):
        raise error


def unwritten(session: Session) -> OpsError | None:
    """The error for an answer or a log that did not get to stdout; None if it did."""
    failed = session.failure
    if failed is None:
        return None
    why = f"[Errno {failed.errno}] {failed.strerror}"
    if session.reread:
        what = "lines of the log could not be written to stdout, and are not shown here either"
        return OpsError(what, why, f"free space where stdout goes, then: {session.reread}")
    how = "read it above, and free space where stdout goes; what was done stays done"
    return OpsError("the answer could not be written to stdout", why, how)


def translate_errors(session: Session, body: Callable[..., None], own: Mapping[str, Any]) -> None:
    """The error boundary: everything leaves as an `Exit`."""
    try:
        body(session, **own)
    except Exit:
        raise
    except KeyboardInterrupt as interruption:
        raise Cancelled(
            str(interruption) or "interrupted",
            "interrupted by the user",
            "run it again: it continues from the current state",
        ) from None
    except (
        BaseException
    ) as bug:  # SystemExit too: it would end the process with its own code, and without an answer
        error = internal_error(bug)
        error.about = getattr(bug, "about", {})
        raise error from bug


def internal_error(bug: BaseException) -> OpsError:
    """The error for an exception that nothing expected: a traceback goes to a file, and the file is
    named.
    """
    import tempfile
    import traceback

    from ops.core.redaction.redact import redact

    if exhausted(bug):
        how = "check ulimit -a, free memory and free disk space; then run it again"
        return OpsError(
            "this machine has run out of a resource",
            f"{type(bug).__name__}: {redact(str(bug))}",
            how,
        )
    what, why = f"unexpected {type(bug).__name__}: {redact(str(bug))}", "this is a bug in this tool"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="inv-", suffix=".traceback", delete=False, encoding="utf-8"
        ) as file:
            file.write(redact("".join(traceback.format_exception(bug))))
    except OSError as error:
        return OpsError(
            what,
            f"{why}, and its traceback could not be written: {error}",
            "set TMPDIR, run it again, and report it",
        )
    return OpsError(what, why, f"report it with {file.name}")


def exhausted(bug: BaseException) -> bool:
    """Whether the machine refused memory, a thread, a process, a file or disk space."""
    if isinstance(bug, OSError):
        return bug.errno in (
            errno.EAGAIN,
            errno.EDQUOT,
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOMEM,
            errno.ENOSPC,
        )
    return isinstance(bug, MemoryError) or (
        isinstance(bug, RuntimeError) and "can't start new thread" in str(bug)
    )
