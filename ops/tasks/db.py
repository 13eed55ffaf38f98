"""`db.*`: migrate the database's schema, in both directions, and inspect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.text import format_duration
from ops.tasks.shared import Session, ops_task

if TYPE_CHECKING:
    from ops.migrations.plan import Direction, MigrationTarget
    from ops.migrations.snapshot import RdsWait

TO = "Target revision ('head', 'base', or an id)."
ACCEPT_EDIT = "Accept this revision, edited after it was applied without a change of meaning."
CHANGE = ("plan", "yes", "json", "timeout", "lock_wait")


def migration_target(session: Session) -> MigrationTarget:
    from ops.migrations.plan import MigrationTarget

    return session.held(MigrationTarget.opened(session.settings))


def migrate(
    session: Session, direction: Direction, to: str | None, accept_edit: str | None
) -> None:
    """Plan, print, confirm and run a migration, in either direction."""
    from ops.core import ui
    from ops.health import before_after
    from ops.migrations import lint as migrations_lint
    from ops.migrations import plan as flow
    from ops.migrations.remote import run as migrations_run

    asked = flow.RunOptions(session.timeout_s(), lock_wait_s(session), accept_edit)
    here = migration_target(session)
    planned = flow.plan(here, direction, to)
    ahead = migrations_lint.review_revisions(here, planned)
    if session.plan:
        text = "\n".join(filter(None, [planned.as_text(), ahead.as_text(), planned.costs()]))
        session.report(
            {**planned.as_document(), **ahead.as_document()},
            f"{text}\n\n{planned.as_sql()}".strip("\n"),
        )
        return
    if planned.steps:
        ui.progress(planned.as_text())
        ui.progress(ahead.as_text())
        migrations_lint.refuse_blocking(here, ahead.found)
        flow.confirm_plan(here, planned, yes=session.yes)
    if planned.snapshot:
        from ops.migrations import snapshot as migrations_snapshot

        migrations_snapshot.take(
            session.settings,
            f"before {planned.to}",
            wait_policy(session, migrations_snapshot.SNAPSHOT_S),
        )
    enabled = (
        bool(planned.steps) and here.door.mode != "local"
    )  # a developer's own database has no platform around it
    with before_after.before_and_after(
        session.settings, f"db.{direction} to {planned.to}", enabled=enabled
    ) as around:
        done = migrations_run.run(here, planned, asked)
    session.report(
        {**done.as_document(), "health": around.as_document()},
        "\n".join([done.as_text(), *around.lines()]),
    )


@ops_task(options=CHANGE, help={"to": f"{TO} Default: head.", "accept_edit": ACCEPT_EDIT})
def upgrade(session: Session, to: str | None = None, accept_edit: str | None = None) -> None:
    """Upgrade the database's schema to the newest revision, one transaction per revision."""
    migrate(session, "upgrade", to, accept_edit)


@ops_task(
    options=CHANGE, help={"to": f"{TO} Default: the previous revision.", "accept_edit": ACCEPT_EDIT}
)
def downgrade(session: Session, to: str | None = None, accept_edit: str | None = None) -> None:
    """Downgrade the schema, after listing the tables, columns and rows that are lost."""
    migrate(session, "downgrade", to, accept_edit)


@ops_task(options=("json",))
def current(session: Session) -> None:
    """Show the database's revision, pending revisions, and schema drift (exit code 1)."""
    from ops.migrations import drift as migrations_drift
    from ops.migrations import plan as flow

    here = migration_target(session)
    found = flow.revision_status(here)
    drift = migrations_drift.drift(here, found.revision)
    session.report(
        found.as_document() | drift.as_document(), f"{found.as_text()}\n{drift.as_text()}"
    )
    session.leave(1 if drift.drifted else 0)


@ops_task(
    options=("plan", "yes", "json", "lock_wait"),
    help={"to": "Revision to record. Default: the oldest one with this schema."},
)
def adopt(session: Session, to: str | None = None) -> None:
    """Record the revision of a database made by another tool, if its schema matches.

    Otherwise print the differences.
    """
    from ops.core import ui
    from ops.migrations import adopt as flow

    here = migration_target(session)
    found = flow.plan_adoption(here, to)
    for line in found.lines():
        ui.progress(line)
    if found.same and not session.plan:
        found = flow.adopt(here, found, lock_wait_s(session), yes=session.yes)
    session.report(
        found.as_document(),
        found.sql
        or (f"recorded {found.revision}" if found.run else f"would record {found.revision}"),
    )
    session.leave(0 if found.same else 3)


@ops_task(options=("json",))
def pending(session: Session) -> None:
    """Show the revisions not yet applied to this database, oldest first."""
    from ops.migrations import plan as flow

    found = flow.revision_status(migration_target(session)).pending
    text = "\n".join(str(each) for each in found) or "nothing is pending"
    session.report({"pending": [each.as_document() for each in found]}, text)


@ops_task(options=("json",), help={"limit": "How many runs to show."})
def history(session: Session, limit: int = 20) -> None:
    """Show every migration of this database: who, when, from where, and its result.

    Failed and killed runs are included.
    """
    from ops.migrations import plan as flow

    runs = flow.history(migration_target(session), limit)
    session.report(
        {"runs": runs},
        "\n".join(flow.describe_status(each) for each in runs) or "nothing was migrated from here",
    )


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

    planned = flow.plan(migration_target(session), "downgrade" if downgrade else "upgrade", to)
    session.report(planned.as_document(), planned.as_sql())


def lock_wait_s(session: Session) -> float | None:
    """The value of `--lock-wait`; None if it was not given: the configured one applies."""
    return session.lock_wait_s() if session.lock_wait else None


def wait_policy(session: Session, longest: float) -> RdsWait:
    from ops.migrations.snapshot import RdsWait

    return RdsWait(session.settings.environment.poll, session.timeout_s() or longest)


@ops_task(
    options=("plan", "json", "timeout"),
    help={"name": "Name of the snapshot. Default: instance, reason and time."},
)
def snapshot(session: Session, name: str | None = None) -> None:
    """Take an RDS snapshot of the database, and wait until it is available."""
    from ops.migrations import snapshot as flow

    if session.plan:
        planned = flow.planned(session.settings, "snapshot")
        session.report(planned, planned["plan"][0]["says"])
        return
    taken = flow.take(session.settings, "manual", wait_policy(session, flow.SNAPSHOT_S), name)
    session.report(taken.as_document(), f"snapshot {taken.name}")


@ops_task(options=("plan", "json", "timeout"))
def start(session: Session) -> None:
    """Start the RDS instance if it is stopped, and wait until it is available."""
    from ops.migrations import snapshot as flow

    if session.plan:
        planned = flow.planned(session.settings, "start")
        session.report(
            planned,
            "\n".join(step["says"] for step in planned["plan"])
            or f"{planned['instance']} is available",
        )
        return
    found = flow.started(session.settings, wait_policy(session, flow.START_S))
    session.report(found, f"{found['instance']} was {found['before']}, is {found['status']}")


@ops_task(options=("json",))
def ping(session: Session) -> None:
    """Connect to the database and SELECT 1."""
    from ops.migrations import plan as flow

    found = flow.ping(migration_target(session))
    took = format_duration(found["took_s"])
    text = f"{found['database']} answers in {took}: PostgreSQL {found['server']}"
    session.report(found, f"{text}, {found['tls'] or 'without TLS'}, as {found['user']}")


@ops_task(
    options=("json",),
    positional=("message",),
    help={
        "message": "What the revision does, in one sentence.",
        "from_sql": "Legacy SQL file to wrap unchanged.",
        "autogenerate": "Generate operations from the difference between the configured metadata "
        "(database.metadata) and the newest revision.",
    },
)
def revision(
    session: Session, message: str, from_sql: str | None = None, autogenerate: bool = False
) -> None:
    """Write a new revision after the newest one, with upgrade and downgrade to be filled in."""
    from ops.migrations.authoring import new_revision as flow

    files = flow.write(session.settings, message, from_sql, autogenerate)
    nothing = "nothing to write: the newest revision has all that the metadata has"
    session.report(
        {"files": [str(file) for file in files]},
        "\n".join(f"wrote {file}" for file in files) or nothing,
    )


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

    found = (
        flow.verify_on_server(migration_target(session))
        if on_server
        else flow.verify(session.settings, postgres_version or None)
    )
    session.report(found.as_document(), found.as_text().splitlines()[-1])
    session.leave(0 if found.well else 1)


RUN = {"run": "Id of the run, as printed at its start. Default: the active one, else the newest."}


@ops_task(options=("json",), help=RUN)
def attach(session: Session, run: str = "latest") -> None:
    """Attach to a migration on the bastion: print its whole log, then its result."""
    from ops.migrations.remote import run as flow

    done = flow.attach(migration_target(session), run)
    session.report(done.as_document(), done.as_text())


@ops_task(options=("json",), help=RUN)
def cancel(session: Session, run: str = "latest") -> None:
    """Interrupt a migration on the bastion; the running revision is rolled back."""
    from ops.migrations.remote import run as flow

    found = flow.cancel(migration_target(session), run)
    session.report(found, found["said"])


@ops_task(options=("json", "timeout"))
def tunnel(session: Session) -> None:
    """Open a local port that leads to the database, until Ctrl-C.

    Prints the psql command line, without the password.
    """
    from ops.migrations import tunnel as flow

    opened = flow.open_tunnel(migration_target(session))
    session.report(opened.as_document(), opened.as_text())
    flow.wait(session.timeout_s())


@ops_task(options=("json",), help={"revision": "Only this revision (default: all revisions)."})
def lint(session: Session, revision: str | None = None) -> None:
    """Lint the SQL of the revisions (squawk and our own rules); exit code 1 if one is blocked."""
    from ops.migrations import lint as flow

    found = flow.lint_project(session.settings, revision)
    session.report(found.as_document(), found.as_text())
    session.leave(1 if found.blocking else 0)
