"""Run a migration on the bastion, and watch, cancel and attach to such runs.

A broken tunnel leaves locks behind, and a slow one slows the migration down; a runner next to the
database does neither. The plan is made and confirmed here; only the run itself is on the bastion,
and goes on without its watcher. A watcher that loses its connection reconnects for a while, then
prints how to continue: `inv db.attach`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ops.core import ui
from ops.core.config.database import Bastion
from ops.core.errors import Cancelled, OpsError, Refused, Unreachable
from ops.core.retry import pauses_within, retry
from ops.core.text import format_error, format_timestamp
from ops.migrations.plan import MigrationPlan
from ops.migrations.remote import bastion, bundle
from ops.migrations.remote.bastion import BastionEnvironment
from ops.migrations.remote.interruption import leave_or_cancel
from ops.migrations.remote.result import outcome_of
from ops.migrations.run import RunOptions, RunResult, run_from_here
from ops.migrations.target import MigrationTarget
from ops.migrator.remote.messages import CancelAnswer, RunEnd, StartRequest, WatchMessage
from ops.migrator.revisions.interrupts import STOP_S
from ops.postgres import access
from ops.postgres.access import DatabaseAccess
from ops.ssh import connection
from ops.ssh.connection import ConnectionLost, Host

_RECONNECT_S = 60.0  # how long a watcher tries to reconnect
_PAUSES_S = (0.5, 1.0, 2.0, 5.0)
_WATCHERS = 5  # of one run that may be killed, before this command gives up
_AUTHORITY_KEY = "sslrootcert"
_T = TypeVar("_T")


def run(
    target: MigrationTarget,
    plan: MigrationPlan,
    options: RunOptions,
    progress: Callable[[str], None] = ui.progress,
) -> RunResult:
    """Run the plan by the target's route, on the bastion (`database.run: remote`), or from here.

    Raises the engine's errors.
    """
    if target.route is not None:
        done: RunResult = target.route.run(plan, options, progress)
        return done
    if target.database.mode != "remote":
        return run_from_here(target, plan, options, progress)
    if not plan.revisions:  # the engine only reads
        mode = target.database.mode
        return replace(run_from_here(target, plan, options, progress), mode=mode)
    with _connected(target) as host:
        environment = _prepare(target, host, progress)
        if environment is not None:
            with RemoteRun(target, environment, progress, host) as remote:
                return remote.start_and_wait(plan, options)
    return run_from_here(target, plan, options, progress)


@contextmanager
def _connected(target: MigrationTarget) -> Iterator[Host]:
    """The connection that the target was opened with, or another one if it was lost meanwhile."""
    own = target.database.bastion
    if own is not None and own.is_alive():
        yield own
        return
    with connection.connect(target.settings) as host:
        yield host


def _prepare(
    target: MigrationTarget, host: Host, progress: Callable[[str], None]
) -> BastionEnvironment | None:
    """Install what the bastion lacks; None if its Python is too old."""
    configured, environment = _configured(target), target.settings.name
    python, folders = bastion.probe(host, configured.python, configured.cache, environment)
    if python.old:
        progress(
            f"{python} on the bastion: migrations need 3.11 or newer there, so this one "
            f"goes through the tunnel"
        )
        return None
    site = bundle.site_bundle(target.settings.root, python)
    code = bundle.code_bundle(Path(target.database.target.folder))
    return bastion.install_missing(
        host, configured.python, environment, folders, site, code, progress
    )


def _configured(target: MigrationTarget) -> Bastion:
    configured = target.settings.environment.bastion
    assert configured is not None  # else `connect` has refused
    return configured


def _start_message(
    target: MigrationTarget, plan: MigrationPlan, options: RunOptions
) -> StartRequest:
    """The request that starts a run; it contains the password, and is sent by stdin."""
    database = target.database
    parameters, authority = dict(database.own), None
    file = parameters.get(_AUTHORITY_KEY)
    if file and file != "system":
        authority = Path(file).read_text(encoding="utf-8")
    return {
        "parameters": parameters,
        "authority": authority,
        "direction": plan.direction,
        "to": plan.to,
        "shown": list(access.split_heads(plan.at)),
        "accepted": options.accept_edit,
        "redact": "ops.core.redaction.redact:redacted",
        "limits": asdict(access.effective_limits(database, options.timeout_s, options.wait_s)),
        "who": asdict(access.run_identity(plan.direction)),
    }


@dataclass
class RemoteRun:
    """A run on the bastion, watched from here.

    `offset` is the position in its log, `end` its last message, `started` whether the bastion
    confirmed its start, `named` whether its id was printed.
    """

    target: MigrationTarget
    environment: BastionEnvironment
    progress: Callable[[str], None]
    host: Host
    id: str = "latest"
    offset: int = 0
    end: RunEnd | None = None
    started: bool = True
    named: bool = True

    def __enter__(self) -> RemoteRun:
        return self

    def __exit__(self, *problem: object) -> None:
        if self.host is not self.target.database.bastion:  # which is closed with the target
            self.host.close()

    def start_and_wait(self, plan: MigrationPlan, options: RunOptions) -> RunResult:
        """Start the run, and wait for its end."""
        message = _start_message(self.target, plan, options)
        self.id, self.started = message["who"]["run"], False
        return self.wait(lambda: self._start(message))

    def _start(self, message: StartRequest) -> None:
        """Start the run; an id is not started twice."""
        self._retry_once(lambda: bastion.start(self.host, self.environment, message))
        self.started = True
        self.progress(
            f"run {self.id} on {self.host.where}; it continues unattended (inv db.attach)"
        )

    def _retry_once(self, request: Callable[[], _T]) -> _T:
        """Repeat a request whose connection was lost, perhaps only with its answer."""
        try:
            return request()
        except ConnectionLost:
            self._reconnect()
            return request()

    def wait(self, begin: Callable[[], None] = lambda: None) -> RunResult:
        """Print the run's log to its end, and return its outcome.

        Raises the engine's errors, and Cancelled after an interrupt.
        """
        try:
            begin()
            self._follow()
        except KeyboardInterrupt as interruption:
            raise self._on_interrupt(interruption) from None
        return RunResult(outcome_of(self.id, self.last_message(), self._database), "remote")

    def _follow(self) -> None:
        """Print the log until the run has ended; a watcher that was killed is replaced."""
        killed = 0
        while self.end is None:
            try:
                bastion.attach(
                    self.host, self.environment, self.id, self.offset, self._handle_message
                )
                if self.end is None:
                    raise ConnectionLost(
                        f"run {self.id}", "its watcher on the bastion ended", "inv db.attach"
                    )
            except ConnectionLost:
                self._reconnect()
            except bastion.WatcherKilled:
                killed += 1
                if killed >= _WATCHERS:
                    raise
                self.progress("the watcher on the bastion was killed; watching again")
                time.sleep(_PAUSES_S[0])

    def _handle_message(self, message: WatchMessage) -> None:
        if "missing" in message:
            raise _unknown_run(message)
        if "line" in message:  # by a revision, which may print anything
            self.progress(self.target.database.target.hide(message["line"]))
        # `latest` means this run from now on
        self.id, self.offset = message.get("run", self.id), message["offset"]
        if not self.named and "run" in message:
            self.named = True
            self.progress(_title(self.id, self.host.where, message.get("about", {})))
        self.end = message.get("end")

    def last_message(self) -> RunEnd:
        assert self.end is not None  # `_follow` has returned
        return self.end

    @contextmanager
    def _database(self) -> Iterator[DatabaseAccess]:
        """The database by the current connection: the first tunnel may be gone."""
        with access.through_bastion(self.target.database, self.host) as database:
            yield database

    def _reconnect(self) -> None:
        """Connect again after a lost connection.

        Raises the connection's error (also for a host key), with the command to continue with.
        """
        self.host.close()
        self.progress("the connection was lost; the run continues on the bastion")
        time.sleep(_PAUSES_S[0])
        pauses = pauses_within(chain(_PAUSES_S[1:], repeat(_PAUSES_S[-1])), _RECONNECT_S)
        try:
            self.host = retry(
                lambda: connection.connect(self.target.settings),
                pauses,
                passing=lambda error: isinstance(error, Unreachable),
            )
        except OpsError as problem:
            first = "" if isinstance(problem, Unreachable) else f"{problem.next}; then: "
            raise type(problem)(
                f"run {self.id} can't be reached, and continues",
                format_error(problem),
                f"{first}inv db.attach --run {self.id}",
            ) from None
        self.progress("connected again")

    def _on_interrupt(self, interruption: KeyboardInterrupt) -> OpsError:
        place = "on the bastion" if self.started else ""
        return leave_or_cancel(interruption, self.id, place, self._cancelled)

    def _cancelled(self) -> OpsError:
        """Cancel the run; its error is an interruption of this command (exit code 130)."""
        ended = self.cancel()
        return Cancelled(ended.what, ended.why, ended.next)

    def cancel(self) -> OpsError:
        """Interrupt the run, wait for its rollback, and return its error.

        The error is Cancelled, or the reason why it was not cancelled.
        """
        answer = self._retry_once(lambda: bastion.cancel(self.host, self.environment, self.id))
        if "missing" in answer:
            return (
                _unknown_run(answer)
                if self.started
                else Cancelled(f"run {self.id} was not started", "nothing was done", "run it again")
            )
        self.id = answer["run"]
        if not answer["interrupted"]:
            return Refused(
                "there is nothing to cancel",
                f"run {self.id} is over: {answer['state']}",
                f"inv db.attach --run {self.id}",
            )
        self.progress(
            f"run {self.id} is interrupted; it is ended after {STOP_S:g} s if its revision "
            f"ignores that"
        )
        self._follow()
        try:
            outcome_of(self.id, self.last_message(), self._database)
        except OpsError as ended:
            return ended
        return Refused(
            f"run {self.id} was not cancelled",
            "it had succeeded by then",
            "inv db.downgrade takes it back",
        )


def _title(run: str, where: str, about: dict[str, Any]) -> str:
    """A run as `db.attach` names it; an older engine does not send what it is `about`."""
    who, began = about.get("who") or {}, about.get("began_at")
    words = [f"run {run} on {where}"]
    if who:
        words.append(f"{who['verb']} by {who['by']}@{who['host']}")
    if began:
        words.append(f"began {format_timestamp(began)}")
    return ", ".join(words)


def _unknown_run(message: WatchMessage | CancelAnswer) -> Refused:
    return Refused(
        f"run {message['missing']} is not known on the bastion",
        f"known there: {', '.join(message['known']) or 'none'}",
        "inv db.attach --run ID, or inv db.history",
    )


def attach(
    target: MigrationTarget, id: str, progress: Callable[[str], None] = ui.progress
) -> RunResult:
    """Watch a run from its beginning to its end; `latest` is the active one, else the newest."""
    with _open_run(target, id, progress) as remote:
        remote.named = False
        return remote.wait()


@dataclass(frozen=True)
class CancelResult:
    """A run that was cancelled; the result of `db.cancel`."""

    run: str
    state: str
    text: str

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.cancel --json` prints."""
        return {"run": self.run, "state": self.state, "said": self.text}


def cancel(
    target: MigrationTarget, id: str, progress: Callable[[str], None] = ui.progress
) -> CancelResult:
    """Interrupt a run, and wait for its rollback.

    Raises Refused if no run was active, and the error of a run that failed meanwhile.
    """
    with _open_run(target, id, progress) as remote:
        ended = remote.cancel()
        if not isinstance(ended, Cancelled):
            raise ended
        state = remote.last_message()["state"]
        return CancelResult(remote.id, state, format_error(ended))


def _open_run(target: MigrationTarget, id: str, progress: Callable[[str], None]) -> RemoteRun:
    """Connect to a run on the bastion. Raises Refused.

    Nothing is installed for it: reading a log needs no libraries, and no newer engine.
    """
    what = "there are no runs on the bastion"
    if target.database.mode != "remote":
        key = f"environments.{target.settings.name}.database.run"
        why = f"{key} is {target.database.mode}: a run ends with the command that started it"
        raise Refused(what, why, "inv db.history")
    with ExitStack() as opened:
        host = opened.enter_context(_connected(target))
        configured, name = _configured(target), target.settings.name
        _, folders = bastion.probe(host, configured.python, configured.cache, name)
        code = bundle.code_bundle(Path(target.database.target.folder)).name
        environment = bastion.installed_environment(configured.python, name, folders, code)
        if environment is None:
            raise Refused(what, f"nothing was ever run on {host.where}", "inv db.history")
        opened.pop_all()  # the run closes it
    return RemoteRun(target, environment, progress, host, id)
