"""`db.*`: migrate the database's schema, in both directions, and inspect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.errors import Refused
from ops.tasks.shared import Session, ops_task

if TYPE_CHECKING:
    from ops.migrations.migrate import Migration
    from ops.migrations.snapshot import RdsWait
    from ops.migrations.target import MigrationTarget
    from ops.postgres.access import Direction

TO = "Target revision ('head', 'heads', 'base', an id, 'BRANCH@head', 'ID@-1')."
ACCEPT_EDIT = "Accept revisions (0001,0002) edited after they were applied, unchanged in meaning."
MIGRATE_OPTIONS = ("plan", "yes", "json", "timeout", "lock_wait")
RUN = {"run": "Id of the run, as printed at its start. Default: the active one, else the newest."}


def _target(session: Session) -> MigrationTarget:
    if _by_task(session):
        from ops.database_task import run
        from ops.platform import Platform

        return session.held(run.open_target(Platform.of(session.settings)))
    return _target_from_here(session)


def _target_from_here(session: Session, *, relay: bool = True) -> MigrationTarget:
    """The database as this machine reaches it, also beside `run: task` (`database.tunnel`)."""
    from ops.migrations.target import MigrationTarget

    return session.held(MigrationTarget.opened(session.settings, relay=relay))


def _by_task(session: Session) -> bool:
    return session.settings.environment.database_run == "task"


def _refuse_by_task(session: Session, task: str) -> None:
    """Raise Refused for what connects from this machine, if it can't."""
    from ops.postgres import tunnel

    if tunnel.by_task_only(session.settings):
        raise Refused(
            f"{task} connects from this machine",
            "only ECS tasks reach the database (database.run: task)",
            "set database.tunnel (docs/migrations.md), or run it where the database is reached",
        )


def _lock_wait_s(session: Session) -> float | None:
    """The value of `--lock-wait`; None if it was not given: the configured one applies."""
    return session.lock_wait_s() if session.lock_wait else None


def _rds_wait(session: Session, default_s: float) -> RdsWait:
    from ops.migrations.snapshot import RdsWait

    return RdsWait(session.settings.environment.poll, session.timeout_s() or default_s)


def _migration(
    session: Session, direction: Direction, to: str | None, accept_edit: str | None
) -> Migration:
    """Plan a migration whose result includes the platform's health before and after it."""
    from ops.health import before_after
    from ops.migrations.migrate import Migration
    from ops.migrations.run import RunOptions
    from ops.migrations.snapshot import SNAPSHOT_S

    return Migration.planned(
        _target(session),
        direction,
        to,
        RunOptions(session.timeout_s(), _lock_wait_s(session), accept_edit),
        _rds_wait(session, SNAPSHOT_S),
        lambda title, enabled: before_after.before_and_after(
            session.settings, title, enabled=enabled
        ),
    )


@ops_task(options=MIGRATE_OPTIONS, help={"to": f"{TO} Default: head.", "accept_edit": ACCEPT_EDIT})
def upgrade(session: Session, to: str | None = None, accept_edit: str | None = None) -> None:
    """Upgrade the database's schema to the newest revision, one transaction per revision."""
    session.carry_out(_migration(session, "upgrade", to, accept_edit))


@ops_task(
    options=MIGRATE_OPTIONS,
    help={"to": f"{TO} Default: the previous revision.", "accept_edit": ACCEPT_EDIT},
)
def downgrade(session: Session, to: str | None = None, accept_edit: str | None = None) -> None:
    """Downgrade the schema, after listing the tables, columns and rows that are lost."""
    session.carry_out(_migration(session, "downgrade", to, accept_edit))


@ops_task(options=("json",))
def current(session: Session) -> None:
    """Show the database's revision, pending revisions, and schema drift (exit code 1)."""
    from ops.migrations import drift as flow

    session.report(flow.current(_target(session)))


@ops_task(
    options=("plan", "yes", "json", "lock_wait"),
    help={"to": "Revision to record. Default: the oldest one with this schema."},
)
def adopt(session: Session, to: str | None = None) -> None:
    """Record the revision of a database made by another tool, if its schema matches.

    Otherwise print the differences.
    """
    from ops.migrations.adopt import Adoption

    session.carry_out(Adoption.planned(_target(session), to, _lock_wait_s(session)))


@ops_task(options=("json",))
def pending(session: Session) -> None:
    """Show the revisions not yet applied to this database, oldest first."""
    from ops.migrations import status as flow

    session.report(flow.pending(_target(session)))


@ops_task(options=("json",), help={"limit": "How many runs to show."})
def history(session: Session, limit: int = 20) -> None:
    """Show every migration of this database: who, when, from where, and its result.

    Failed and killed runs are included.
    """
    from ops.migrations import status as flow

    session.report(flow.history(_target(session), limit))


@ops_task(
    options=("json",),
    help={
        "to": f"{TO} Default: head, or the previous revision.",
        "downgrade": "Print the SQL of db.downgrade.",
    },
)
def sql(session: Session, to: str | None = None, downgrade: bool = False) -> None:
    """Print the SQL that db.upgrade (or db.downgrade) would run; nothing is changed."""
    from ops.migrations import plan as flow

    direction: Direction = "downgrade" if downgrade else "upgrade"
    session.report(flow.plan_migration(_target(session), direction, to))


@ops_task(
    options=("plan", "json", "timeout"),
    help={"name": "Name of the snapshot. Default: instance, reason and time."},
)
def snapshot(session: Session, name: str | None = None) -> None:
    """Take an RDS snapshot of the database, and wait until it is available."""
    from ops.migrations.snapshot import SNAPSHOT_S, InstanceSnapshot

    wait = _rds_wait(session, SNAPSHOT_S)
    session.carry_out(InstanceSnapshot.planned(session.settings, wait, name))


@ops_task(options=("plan", "json", "timeout"))
def start(session: Session) -> None:
    """Start the RDS instance if it is stopped, and wait until it is available."""
    from ops.migrations.snapshot import START_S, InstanceStart

    session.carry_out(InstanceStart.planned(session.settings, _rds_wait(session, START_S)))


@ops_task(options=("json",))
def ping(session: Session) -> None:
    """Connect to the database and SELECT 1."""
    from ops.migrations import status as flow

    session.report(flow.ping(_target(session)))


@ops_task(
    options=("json",),
    positional=("message",),
    help={
        "message": "What the revision does, in one sentence.",
        "from_sql": "Legacy SQL file to wrap unchanged.",
        "autogenerate": "Generate operations from the difference between the configured metadata "
        "(database.metadata) and the newest revision.",
        "merge": "Merge all heads; the revision changes nothing.",
    },
)
def revision(
    session: Session,
    message: str,
    from_sql: str | None = None,
    autogenerate: bool = False,
    merge: bool = False,
) -> None:
    """Write a new revision after the newest one, with upgrade and downgrade to be filled in."""
    from ops.migrations.authoring import new_revision as flow

    session.report(flow.write_revision(session.settings, message, from_sql, autogenerate, merge))


@ops_task(
    options=("json",),
    help={
        "on_server": "Use a scratch database on the configured server, not a separate PostgreSQL.",
        "postgres_version": "Major version of that PostgreSQL. Default: RDS's, if installed here.",
    },
)
def verify(session: Session, on_server: bool = False, postgres_version: int = 0) -> None:
    """Run every revision up, down and up again on a scratch PostgreSQL, and compare.

    Schema and rows must be the same each time.
    """
    from ops.migrations import verify as flow

    if on_server:
        _refuse_by_task(session, "db.verify --on-server")
    session.report(
        flow.verify_on_server(_target_from_here(session))
        if on_server
        else flow.verify(session.settings, postgres_version or None)
    )


@ops_task(options=("json",), help=RUN)
def attach(session: Session, run: str = "latest") -> None:
    """Attach to a migration on the bastion or in a task: print its log, then its result."""
    from ops.migrations.remote import run as flow

    if _by_task(session):
        from ops.database_task import attach as tasks
        from ops.platform import Platform

        session.report(tasks.attach(Platform.of(session.settings), run))
        return
    session.report(flow.attach(_target(session), run))


@ops_task(options=("json",), help=RUN)
def cancel(session: Session, run: str = "latest") -> None:
    """Interrupt a migration on the bastion or in a task; its revision is rolled back."""
    from ops.migrations.remote import run as flow

    if _by_task(session):
        from ops.database_task import attach as tasks
        from ops.platform import Platform

        session.report(tasks.cancel(Platform.of(session.settings), run))
        return
    session.report(flow.cancel(_target(session), run))


@ops_task(options=("json", "timeout"))
def tunnel(session: Session) -> None:
    """Open a local port that leads to the database, until Ctrl-C.

    Prints the psql command line, without the password.
    """
    from ops.migrations import tunnel as flow

    _refuse_by_task(session, "db.tunnel")
    target = _target_from_here(session, relay=False)
    session.report(flow.open_tunnel(target))
    flow.wait(target, session.timeout_s())


@ops_task(options=("json",), help={"revision": "Only this revision (default: all revisions)."})
def lint(session: Session, revision: str | None = None) -> None:
    """Lint the SQL of the revisions (squawk and our own rules); exit code 1 if one is blocked."""
    from ops.migrations import lint as flow

    session.report(flow.lint_project(session.settings, revision))
