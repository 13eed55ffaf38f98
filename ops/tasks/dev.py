"""`dev.*`: tasks for developers of this project."""

from __future__ import annotations

from ops.tasks.shared import ROOT, Session, ops_task


@ops_task(
    options=(), help={"select": "Only tests whose names match this expression (pytest's -k)."}
)
def test(session: Session, select: str | None = None) -> None:
    """Run the static checks and all tests."""
    from ops import dev

    session.leave(dev.test(ROOT, select=select))


@ops_task(options=())
def check(session: Session) -> None:
    """Run ruff and mypy and change nothing."""
    from ops import dev

    session.leave(dev.check(ROOT))


@ops_task(options=())
def fix(session: Session) -> None:
    """Let ruff fix what it can."""
    from ops import dev

    session.leave(dev.fix(ROOT))


@ops_task(options=())
def bench(session: Session) -> None:
    """Run every benchmark of bench/ and print its table."""
    from ops import dev

    session.leave(dev.bench(ROOT))


@ops_task(options=())
def docs(session: Session) -> None:
    """Update the pages that are generated from the code."""
    from ops import dev

    session.leave(dev.docs(ROOT))


@ops_task(
    options=(),
    help={"only": "Only this picture (deploy, failure, …); repeat for more."},
    repeated=("only",),
)
def screens(session: Session, only: list[str] | None = None) -> None:
    """Take the pictures of docs/screens in the sandbox, which must be up."""
    from ops import dev

    session.leave(dev.screens(ROOT, only or []))
