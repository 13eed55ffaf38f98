"""Open the database by a task: start it, install the engine in it, and connect there."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core import ui
from ops.core.errors import ConfigError, OpsError, Refused, Unreachable, error_of_kind
from ops.core.redaction.redact import one_line, redacted
from ops.core.text import format_size
from ops.database_task.channel import RunChannel
from ops.database_task.plan import TaskPlan, plan_task, require_log_group
from ops.database_task.rules import advice, requirements
from ops.database_task.running import RunningTask
from ops.database_task.session import TaskSession
from ops.migrations.remote import bundle
from ops.migrations.remote.bundle import Bundle, RemotePython
from ops.migrations.target import explain_stopped
from ops.platform import Platform
from ops.postgres import access, facts
from ops.postgres.access import READ_TIMEOUT_S, DatabaseAccess

if TYPE_CHECKING:
    from ops.core.config.database import Database

_END_S = 10.0  # how long the task may take to confirm its end
REDACT = "ops.core.redaction.redact:redacted"


class DatabaseConnection:
    """A task that is connected to the database."""

    def __init__(self, platform: Platform, progress: Callable[[str], None] = ui.progress) -> None:
        self.platform, self.progress = platform, progress
        self.folder = access.revisions_of(platform.settings)
        self.running: RunningTask | None = None
        self.code = ""  # the bundle with the revisions that the first task got
        self.parameters: dict[str, Any] = {}
        self.server_version = 0

    def open(self) -> None:
        """Start a task and connect there. Raises OpsError; the task is stopped then."""
        plan = plan_task(self.platform)
        require_log_group(self.platform, plan)
        for line in requirements.plain_passwords(plan.definition, plan.container, plan.variables):
            self.progress(line)
        channel = RunChannel(self.platform.cloud, plan.place, secrets.token_hex(4))
        self.running = running = RunningTask(self.platform, plan, channel, self.progress)
        try:
            python = _remote_python(running, running.start())
            self._install(running, plan, python)
            self._connect(running, plan)
        except BaseException:
            self.close(failed=True)
            raise

    def _install(self, running: RunningTask, plan: TaskPlan, python: RemotePython) -> None:
        bundles: dict[str, Bundle] = {}
        if plan.libraries == "bundle":
            bundles["site"] = bundle.site_bundle(self.platform.settings.root, python)
        bundles["code"] = self._code_bundle()
        self.code = self.code or bundles["code"].name
        parts = []
        for kind, each in bundles.items():
            part, uploaded = running.channel.upload_bundle(kind, each)
            parts.append(part)
            if uploaded:
                size = format_size(len(each.archive))
                self.progress(f"  {kind} {each.name}: {size} to {plan.place}")
        reply = running.ask({"verb": "install", "parts": parts})
        if "error" in reply:
            raise OpsError(
                f"the engine can't start in {plan.definition.label} ({python})",
                one_line(reply["error"], limit=700),
                advice.after_install_error(reply["error"], plan.place, plan.libraries),
            )

    def _code_bundle(self) -> Bundle:
        return bundle.code_bundle(Path(self.folder) if self.folder else None)

    def refuse_changed(self) -> None:
        """Raise Refused if the revisions are no longer those that were planned with."""
        if self.code != self._code_bundle().name:
            raise Refused(
                "the revisions have changed since the plan was made",
                f"files below {self.folder} differ from those in the task",
                "run it again",
            )

    def _connect(self, running: RunningTask, plan: TaskPlan) -> None:
        configured = self.platform.settings.environment.database
        assert configured is not None  # else `plan_task` has refused
        request = {
            "verb": "open",
            "parameters": given_parameters(configured),
            "variables": dict(plan.variables),
            "redact": REDACT,
            "statement_timeout_s": READ_TIMEOUT_S,
        }
        reply = running.ask(request)
        if error := reply.get("error"):
            error["next"] = advice.after_connection_error(
                error["why"], error["next"], plan.variables
            )
        try:
            raise_error(reply)
        except Unreachable as problem:
            raise explain_stopped(
                problem, self.platform.settings, lambda: self.platform.cloud
            ) from None
        self.parameters = {name: value for name, value in reply["parameters"].items() if value}
        self.server_version = int(reply["server_version"])

    @contextmanager
    def session(self) -> Iterator[TaskSession]:
        """A session in the task, which is started again if it has ended meanwhile."""
        yield TaskSession(self.connected().ask, self.server_version)

    def connected(self) -> RunningTask:
        """The task, or another one if it has ended, as after a long wait for an answer."""
        if self.running is None or self.running.has_stopped():
            self.open()
        assert self.running is not None
        return self.running

    def close(self, *, failed: bool = False) -> None:
        """End the task: by a request, or by StopTask after a failure."""
        running, self.running = self.running, None
        if running is None:
            return
        if running.state is not None:
            self._end(running, failed)
        for problem in running.channel.delete():
            self.progress(f"left in S3: {problem}")

    def _end(self, running: RunningTask, failed: bool) -> None:
        try:
            if running.has_stopped():
                return
            if failed:
                running.stop("the command has ended")
            else:
                running.ask({"verb": "end"}, _END_S)
        except OpsError as error:
            self.progress(f"task {running.task.id} may still run: {error.what}: {error.why}")


def raise_error(reply: dict[str, Any]) -> None:
    """Raise the engine's error of a reply, if it has one."""
    if "error" in reply:
        error = {name: one_line(text, limit=700) for name, text in reply["error"].items()}
        raise error_of_kind(error["kind"], error["what"], error["why"], error["next"])


def _remote_python(running: RunningTask, hello: dict[str, Any]) -> RemotePython:
    """The task's Python. Raises OpsError for an old one, and for an image without a folder."""
    version, libc = hello["version"], hello["libc_version"]
    found = RemotePython(
        (version[0], version[1]), hello["machine"], hello["libc"], (libc[0], libc[1])
    )
    label, name = running.plan.definition.label, running.plan.container
    if found.old:
        raise ConfigError(
            f"{label} has {found}",
            "migrations need Python 3.11 or newer in the image",
            "set database.task.python, or database.task.task_definition to a newer image",
        )
    if not hello["folder"]:
        raise ConfigError(
            f"container {name} of {label} has no folder for the engine",
            f"{hello['problem']}",
            "mount a volume at /tmp in the task definition (readonlyRootFilesystem)",
        )
    return found


def given_parameters(configured: Database) -> dict[str, Any]:
    """libpq's parameters that are configured here; the task's variables have the rest."""
    known = {"host": configured.host, "port": configured.port, "dbname": configured.name}
    certificates = facts.root_certificates(configured)
    file = certificates.pop("sslrootcert", "")
    found: dict[str, Any] = {
        **{name: value for name, value in known.items() if value},
        "sslmode": configured.sslmode,
        "application_name": "ecs-runbook",
        **facts.role_option(configured),
    }
    if file == "system":
        return {**found, "sslrootcert": file}
    return {**found, "authority": Path(file).read_text(encoding="utf-8")} if file else found


def database_access(connection: DatabaseConnection) -> DatabaseAccess:
    """The connected database, with the project's revisions."""
    from ops.migrator.model import Limits, TargetDatabase

    configured = connection.platform.settings.environment.database
    assert configured is not None
    limits = Limits(configured.lock_timeout, configured.statement_timeout, wait_s=configured.wait)
    target = TargetDatabase(connection.folder, connection.parameters, None, redacted)
    return DatabaseAccess(target, limits, "task", remote_session=connection.session)


@contextmanager
def opened(
    platform: Platform, progress: Callable[[str], None] = ui.progress
) -> Iterator[tuple[DatabaseConnection, DatabaseAccess]]:
    """A task that is connected to the database, while the context is open."""
    connection = DatabaseConnection(platform, progress)
    connection.open()
    try:
        yield connection, database_access(connection)
    except BaseException:
        with suppress(OpsError):
            connection.close(failed=True)
        raise
    connection.close()


_reading: dict[tuple[Path, str], Future[str | None]] = {}
_reading_lock = threading.Lock()


def read_revision(platform: Platform, progress: Callable[[str], None]) -> str | None:
    """The content of alembic_version, read by a task; None if it is empty. Raises OpsError.

    Threads that ask at the same time, as preflight does for each service, share one task.
    """
    key = (platform.settings.root, platform.settings.name)
    with _reading_lock:
        shared = _reading.get(key)
        own: Future[str | None] = Future()
        if shared is None:
            _reading[key] = own
    if shared is not None:
        return shared.result()
    try:
        with opened(platform, progress) as (_, door):
            own.set_result(access.current(door))
    except BaseException as error:
        own.set_exception(error)
        raise
    finally:
        with _reading_lock:
            del _reading[key]
    return own.result()
