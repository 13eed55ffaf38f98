"""`dev.*`: what a developer of this project types."""

from __future__ import annotations

from ops.tasks.shared import ROOT, Session, front_door


@front_door(options=(), help={"select": "Only tests whose names match this expression (pytest's -k)."})
def test(session: Session, select: str | None = None) -> None:
    """Run the house's checks and all tests."""
    from ops import dev

    session.leave(dev.test(ROOT, select=select))


@front_door(options=())
def check(session: Session) -> None:
    """Run ruff and mypy and change nothing."""
    from ops import dev

    session.leave(dev.check(ROOT))


@front_door(options=())
def fix(session: Session) -> None:
    """Let ruff mend what it can."""
    from ops import dev

    session.leave(dev.fix(ROOT))


@front_door(options=())
def bench(session: Session) -> None:
    """Run every benchmark of bench/ and print its table."""
    from ops import dev

    session.leave(dev.bench(ROOT))


@front_door(options=())
def docs(session: Session) -> None:
    """Bring the pages that are gathered from the code up to date."""
    from ops import dev

    session.leave(dev.docs(ROOT))
