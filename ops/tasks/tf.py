"""`tf.*`: Terraform for the chosen environment, with saved plans, and its state lock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ops.tasks.shared import Session, ops_task

if TYPE_CHECKING:
    from ops.terraform.workspace import TerraformWorkspace

_LOCK_WAIT = {"lock_wait": "Wait this long for a locked state (10m)."}
_APPLY_HELP = {
    "lock_wait": "Wait this long for a locked state, or for a deploy to end (10m).",
    "allow_destroy": "Allow Terraform to destroy or replace ADDRESS, which --yes does not (repeat "
    "for more).",
}


def _workspace(session: Session) -> TerraformWorkspace:
    from ops.platform import Platform
    from ops.terraform.workspace import TerraformWorkspace

    return TerraformWorkspace.of(Platform.of(session.settings))


def _seconds(lock_wait: str | None) -> float:
    from ops.core import ui

    return ui.parse_seconds("lock-wait", lock_wait) or 0.0


@ops_task(options=("json",))
def init(session: Session) -> None:
    """Initialise Terraform's directory with its backend configuration.

    Every tf task does so if needed.
    """
    from ops.terraform.workspace import initialise

    workspace = _workspace(session)
    initialise(workspace)
    directory = workspace.tf.directory
    session.report(
        {"environment": session.settings.name, "directory": str(directory)},
        f"{directory} is initialised",
    )


@ops_task(options=("json",), help=_LOCK_WAIT)
def plan(session: Session, lock_wait: str | None = None) -> None:
    """Save a plan and print it, with every service's image as it is running."""
    from ops.terraform.apply import allow_options
    from ops.terraform.plan import plan_as_running

    planned = plan_as_running(_workspace(session), wait_s=_seconds(lock_wait))
    alarming = [change for change in planned.changes if change.alarming and not change.unknown]
    words = ["inv tf.apply", *([allow_options(alarming)] if alarming else [])]
    session.report(
        planned.as_document(), f"saved: {planned.saved.file}\napply it: {' '.join(words)}"
    )


@ops_task(options=("yes", "json"), help=_APPLY_HELP, repeated=("allow_destroy",))
def apply(session: Session, lock_wait: str | None = None, allow_destroy: Any = None) -> None:
    """Apply the saved plan, if it is recent and matches this commit and state.

    A destroy or replacement needs --allow-destroy ADDRESS, or its address typed on a terminal.
    """
    from ops.health import before_after
    from ops.terraform.apply import apply_saved

    with before_after.before_and_after(session.settings, "tf.apply") as around:
        allowed = frozenset(allow_destroy or ())
        planned = apply_saved(
            _workspace(session), yes=session.yes, allowed=allowed, wait_s=_seconds(lock_wait)
        )
    document = {**planned.as_document(), "applied": True, "health": around.as_document()}
    session.report(document, "\n".join(["applied", *around.lines()]))


@ops_task(options=("json",))
def output(session: Session) -> None:
    """Show Terraform's outputs; sensitive ones without their value."""
    from ops.terraform.workspace import outputs

    found = outputs(_workspace(session))
    session.report(
        {
            "environment": session.settings.name,
            "outputs": {each.name: each.value for each in found},
        },
        "\n".join(str(each) for each in found) or "no outputs",
    )


@ops_task(options=("json",), help=_LOCK_WAIT)
def drift(session: Session, lock_wait: str | None = None) -> None:
    """Show changes made outside of Terraform (exit code 1); nothing is written."""
    from ops.terraform import plan

    rows = plan.drift(_workspace(session), wait_s=_seconds(lock_wait)).drift
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
    from ops.terraform.state_locks import workspace_locks

    found = workspace_locks(_workspace(session))
    now = datetime.now(UTC)
    session.report(
        {
            "environment": session.settings.name,
            "locks": [lock.as_document(now) for lock in found],
        },
        "\n".join(f"{lock.path}: {lock.describe(now)}" for lock in found)
        or "the state is not locked",
    )


@ops_task(
    options=("json",),
    help={"id": "The lock's id, as printed by tf.locks, after checking that its owner is gone."},
)
def unlock(session: Session, id: str | None = None) -> None:
    """Remove the state lock of an owner that is gone; there is no --yes."""
    from ops.terraform import state_locks

    lock = state_locks.unlock(_workspace(session), id)
    session.report(
        {
            "environment": session.settings.name,
            "unlocked": lock.as_document(datetime.now(UTC)),
        },
        f"removed: {lock.describe()}",
    )
