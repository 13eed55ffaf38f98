"""`db.*`: the database's schema, forward and back; and a look at both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.tasks.shared import Session, front_door

if TYPE_CHECKING:
    from ops.flows.migrate import Direction, Place

TO = "Revision to go to ('head', 'base', or its id)."
EDITED = "Revision that was edited after it was applied, and whose edit means the same."
CHANGE = ("plan", "yes", "json", "timeout", "wait")


def place(session: Session) -> Place:
    from ops.flows.migrate import Place

    return Place.of(session.settings)


def change(session: Session, direction: Direction, to: str | None, edited: str | None) -> None:
    """Plan, show, ask, run: the same both ways."""
    from ops.flows import migrate as flow

    asked = flow.Asked(session.timeout_s(), session.wait_s() if session.wait else None, edited)
    here = place(session)
    planned = flow.plan(here, direction, to)
    if session.plan:
        session.report(planned.as_document(), f"{planned.as_text()}\n\n{planned.as_sql()}".strip())
        return
    if planned.steps:
        flow.agreed(here, planned, yes=session.yes)
    done = flow.run(here, planned, asked)
    session.report(done.as_document(), done.as_text())


@front_door(options=CHANGE, help={"to": f"{TO} Default: head.", "edited": EDITED})
def upgrade(session: Session, to: str | None = None, edited: str | None = None) -> None:
    """Bring the database's schema up to the newest revision, one transaction a revision."""
    change(session, "upgrade", to, edited)


@front_door(options=CHANGE, help={"to": f"{TO} Default: one step back.", "edited": EDITED})
def downgrade(session: Session, to: str | None = None, edited: str | None = None) -> None:
    """Take revisions back, after showing which tables, columns and rows that costs."""
    change(session, "downgrade", to, edited)


@front_door(options=("json",))
def current(session: Session) -> None:
    """Show at which revision the database is, and what is pending."""
    from ops.flows import migrate as flow

    found = flow.standing(place(session))
    session.report(found.as_document(), found.as_text())


@front_door(options=("json",))
def pending(session: Session) -> None:
    """Show the revisions that this database has not seen, oldest first."""
    from ops.flows import migrate as flow

    found = flow.standing(place(session)).pending
    text = "\n".join(str(each) for each in found) or "nothing is pending"
    session.report({"pending": [each.as_document() for each in found]}, text)


@front_door(options=("json",), help={"limit": "How many runs to show."})
def history(session: Session, limit: int = 20) -> None:
    """Show who migrated this database when, from where, and how it ended: failed and killed runs too."""
    from ops.flows import migrate as flow

    runs = flow.history(place(session), limit)
    session.report({"runs": runs}, "\n".join(flow.said(each) for each in runs) or "nothing was migrated from here")


@front_door(options=("json",), help={"to": f"{TO} Default: head, or one step back.", "back": "The SQL of the way back."})
def sql(session: Session, to: str | None = None, back: bool = False) -> None:
    """Print the SQL of what db.upgrade (or db.downgrade) would run; nothing is changed."""
    from ops.flows import migrate as flow

    planned = flow.plan(place(session), "downgrade" if back else "upgrade", to)
    session.report(planned.as_document(), planned.as_sql())


@front_door(options=("json",))
def ping(session: Session) -> None:
    """Connect to the database and SELECT 1."""
    from ops import ui
    from ops.flows import migrate as flow

    found = flow.ping(place(session))
    text = f"{found['database']} answers in {ui.took(found['took_s'])}: PostgreSQL {found['server']}"
    session.report(found, f"{text}, {found['tls'] or 'without TLS'}, as {found['user']}")


@front_door(options=("json",), help={"message": "What it does, in a sentence.", "from_sql": "Legacy SQL file to wrap as it is."})
def revision(session: Session, message: str = "", from_sql: str | None = None) -> None:
    """Write a new revision after the newest one, both directions to be filled in."""
    from ops.flows import migrate_revision as flow

    files = flow.write(session.settings.root, message, from_sql)
    session.report({"files": [str(file) for file in files]}, "\n".join(f"wrote {file}" for file in files))


@front_door(
    options=("json",),
    help={
        "beside": "On a scratch database beside the configured one, not on a PostgreSQL of its own.",
        "major": "Major version of that PostgreSQL. Default: RDS's, where this machine has it.",
    },
)
def verify(session: Session, beside: bool = False, major: int = 0) -> None:
    """Run every revision there, back and there again on a scratch PostgreSQL; schema and rows must be the same each time."""
    from ops.flows import migrate_verify as flow

    found = flow.verify_beside(place(session)) if beside else flow.verify(session.settings, major or None)
    session.report(found.as_document(), found.as_text().splitlines()[-1])
    session.leave(0 if found.well else 1)
