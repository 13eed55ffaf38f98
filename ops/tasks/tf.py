"""`tf.*`: Terraform for the chosen environment, with saved plans, and its state lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.tasks.shared import Session, ops_task

if TYPE_CHECKING:
    from ops.terraform.plan import TerraformWorkspace

WAIT = {"wait": "Wait this long for a locked state (10m)."}
ALLOW_DESTROY = (
    "Allow Terraform to destroy or replace ADDRESS, which --yes does not (repeat for more)."
)
BOTH = {"wait": "Wait this long for a locked state, or for a deploy to end (10m)."}


def workspace(session: Session) -> TerraformWorkspace:
    from ops.platform import Platform
    from ops.terraform.plan import TerraformWorkspace

    return TerraformWorkspace.of(Platform.of(session.settings))


def seconds(wait: str | None) -> float:
    from ops.core import ui

    return ui.parse_seconds("wait", wait) or 0.0


@ops_task(options=("json",))
def init(session: Session) -> None:
    """Initialise Terraform's directory with its backend configuration.

    Every tf task does so if needed.
    """
    from ops.terraform import plan as flow

    here = workspace(session)
    flow.initialise(here)
    session.report(
        {"environment": session.settings.name, "directory": str(here.tf.directory)},
        f"{here.tf.directory} is initialised",
    )


@ops_task(options=("json",), help=WAIT)
def plan(session: Session, wait: str | None = None) -> None:
    """Save a plan and print it, with every service's image as it is running."""
    from ops.terraform import plan as flow

    planned = flow.plan_as_running(workspace(session), wait_s=seconds(wait))
    alarming = [change for change in planned.changes if change.alarming and not change.unknown]
    words = ["inv tf.apply", *([flow.allowing(alarming)] if alarming else [])]
    session.report(
        planned.as_document(), f"saved: {planned.saved.file}\napply it: {' '.join(words)}"
    )


@ops_task(
    options=("yes", "json"),
    help={**BOTH, "allow_destroy": ALLOW_DESTROY},
    repeated=("allow_destroy",),
)
def apply(session: Session, wait: str | None = None, allow_destroy: Any = None) -> None:
    """Apply the saved plan, if it is recent and matches this commit and state.

    A destroy or replacement needs --allow-destroy ADDRESS, or its address typed on a terminal.
    """
    from ops.health import before_after
    from ops.terraform import plan as flow

    with before_after.before_and_after(session.settings, "tf.apply") as around:
        allowed = frozenset(allow_destroy or ())
        planned = flow.apply_saved(
            workspace(session), yes=session.yes, allowed=allowed, wait_s=seconds(wait)
        )
    document = {**planned.as_document(), "applied": True, "health": around.as_document()}
    session.report(document, "\n".join(["applied", *around.lines()]))


@ops_task(options=("json",))
def output(session: Session) -> None:
    """Show Terraform's outputs; sensitive ones without their value."""
    from ops.terraform import plan as flow

    found = flow.outputs(workspace(session))
    text = (
        "\n".join(
            f"{name} = {'(sensitive)' if value is None else value}"
            for name, value in sorted(found.items())
        )
        or "no outputs"
    )
    session.report({"environment": session.settings.name, "outputs": found}, text)


@ops_task(options=("json",), help=WAIT)
def drift(session: Session, wait: str | None = None) -> None:
    """Show changes made outside of Terraform (exit code 1); nothing is written."""
    from ops.terraform import plan as flow

    planned = flow.drift(workspace(session), wait_s=seconds(wait))
    rows = planned.drift
    document = {
        "environment": session.settings.name,
        "drifted": bool(rows),
        "drift": [row.as_document() for row in rows],
    }
    session.report(document, f"{len(rows)} drifted" if rows else "no drift")
    session.leave(1 if rows else 0)


@ops_task(options=("json",))
def locks(session: Session) -> None:
    """Show who holds the state lock, since when, and for what (S3 lock file or DynamoDB)."""
    from ops.terraform import unlock as flow

    held = flow.held(workspace(session))
    text = (
        "\n".join(f"{lock.path}: {lock.describe()}" for lock in held) or "the state is not locked"
    )
    session.report(
        {"environment": session.settings.name, "locks": [flow.as_document(lock) for lock in held]},
        text,
    )


@ops_task(
    options=("json",),
    help={"id": "The lock's id, as printed by tf.locks, after checking that its owner is gone."},
)
def unlock(session: Session, id: str | None = None) -> None:
    """Remove the state lock of an owner that is gone; there is no --yes."""
    from ops.terraform import unlock as flow

    lock = flow.unlock(workspace(session), id)
    session.report(
        {"environment": session.settings.name, "unlocked": flow.as_document(lock)},
        f"removed: {lock.describe()}",
    )
