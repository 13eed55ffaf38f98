"""`tf.*`: Terraform for the chosen environment, with saved plans, and its state lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.tasks.shared import Session, ops_task

if TYPE_CHECKING:
    from ops.terraform.workspace import TerraformWorkspace

_LOCK_WAIT = {"lock_wait": "Wait this long for a locked state (10m)."}
_PLAN_HELP = {
    **_LOCK_WAIT,
    "target": "Limit the plan to ADDRESS and what it depends on (repeat for more).",
}
_APPLY_HELP = {
    "lock_wait": "Wait this long for a locked state, or for a deploy to end (10m).",
    "allow_destroy": "Allow Terraform to destroy or replace ADDRESS, which --yes does not (repeat "
    "for more).",
}


def _workspace(session: Session) -> TerraformWorkspace:
    from ops.platform import Platform
    from ops.terraform.workspace import TerraformWorkspace

    return TerraformWorkspace.of(Platform.of(session.settings))


@ops_task(options=("json",))
def init(session: Session) -> None:
    """Initialise Terraform's directory with its backend configuration.

    Every tf task does so if needed.
    """
    from ops.terraform.workspace import initialise

    session.report(initialise(_workspace(session)))


@ops_task(options=("json", "lock_wait"), help=_PLAN_HELP, repeated=("target",))
def plan(session: Session, target: Any = None) -> None:
    """Save a plan and print it, with every service's image as it is running."""
    from ops.terraform.plan import plan_as_running

    planned = plan_as_running(
        _workspace(session), wait_s=session.lock_wait_s(), targets=tuple(target or ())
    )
    session.report(planned)


@ops_task(
    options=("plan", "yes", "json", "lock_wait"), help=_APPLY_HELP, repeated=("allow_destroy",)
)
def apply(session: Session, allow_destroy: Any = None) -> None:
    """Apply the saved plan, if it is recent and matches this commit and state.

    A destroy or replacement needs --allow-destroy ADDRESS, or its address typed on a terminal.
    """
    from ops.health.before_after import before_and_after
    from ops.terraform.apply import SavedPlanChange

    change = SavedPlanChange.load(
        _workspace(session),
        lambda: before_and_after(session.settings, "tf.apply"),
        allowed=frozenset(allow_destroy or ()),
        wait_s=session.lock_wait_s(),
    )
    session.carry_out(change)


@ops_task(options=("json",))
def output(session: Session) -> None:
    """Show Terraform's outputs; sensitive ones without their value."""
    from ops.terraform.workspace import outputs

    session.report(outputs(_workspace(session)))


@ops_task(options=("json", "lock_wait"), help=_LOCK_WAIT)
def drift(session: Session) -> None:
    """Show changes made outside of Terraform (exit code 1); nothing is written."""
    from ops.terraform import plan

    session.report(plan.drift(_workspace(session), wait_s=session.lock_wait_s()))


@ops_task(options=("json",))
def locks(session: Session) -> None:
    """Show who holds the state lock, since when, and for what (S3 lock file or DynamoDB)."""
    from ops.terraform.state_locks import report_locks

    session.report(report_locks(_workspace(session)))


@ops_task(
    options=("json",),
    help={"id": "The lock's id, as printed by tf.locks, after checking that its owner is dead."},
)
def unlock(session: Session, id: str | None = None) -> None:
    """Remove the state lock of an owner that is gone; there is no --yes."""
    from ops.terraform import state_locks

    session.report(state_locks.unlock(_workspace(session), id))
