"""Apply saved plans (runbook 2, step 6).

What is applied is a recent plan file that was made from this commit and this state. An apply is
never repeated.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from ops.core import ui
from ops.core.errors import Refused
from ops.core.text import short_commit
from ops.state import lock
from ops.terraform import plan_files, program
from ops.terraform.errors import LockHeld
from ops.terraform.facts import SavedPlan
from ops.terraform.plan import TerraformPlan, read_plan
from ops.terraform.rules.plan_diff import ResourceChange
from ops.terraform.rules.policies import why_not_applicable
from ops.terraform.rules.scope import MAX_NAMED, unknown_action
from ops.terraform.workspace import (
    TerraformWorkspace,
    ensure_initialised,
    retry_transient,
    with_lock_wait,
)


def apply_saved(
    workspace: TerraformWorkspace,
    *,
    yes: bool,
    allowed: Collection[str] = (),
    wait_s: float = 0.0,
) -> TerraformPlan:
    """Print the saved plan, confirm and apply it (`tf.apply`).

    The address of a destroy or replacement must be in `allowed`, or be typed on a terminal; `yes`
    does not confirm it. It holds the lock of every service, so that no deploy runs beside it, and
    checks the plan again once it has them. Raises Refused for a plan that is not understood.
    """
    planned = load_plan(workspace)
    planned.print()
    check_understood(planned)
    settings = workspace.platform.settings
    if settings.environment.protected:
        ui.confirm(f"apply this to {settings.name}", yes=yes, typed=settings.name)
    confirm_destructive(planned.changes, allowed)
    holder = lock.myself("terraform apply", short_commit(planned.saved.commit))
    with lock.hold_each(workspace.platform.cloud, settings, holder, wait_s=wait_s):
        _check_applicable(workspace, planned.saved)
        apply(workspace, planned, wait_s=wait_s)
    return planned


def load_plan(workspace: TerraformWorkspace) -> TerraformPlan:
    """Read the saved plan. Raises Refused if there is none, or it must be made again."""
    ensure_initialised(workspace)
    saved = plan_files.load(workspace.tf)
    _check_applicable(workspace, saved)
    contents = read_plan(workspace, saved.file)
    return TerraformPlan(saved, contents, workspace.platform.settings.name)


def _check_applicable(workspace: TerraformWorkspace, saved: SavedPlan) -> None:
    """Raise Refused if the plan is too old, or of another commit or state."""
    state = retry_transient(lambda: program.state_version(workspace.tf))
    commit = workspace.checkout().commit.full
    why = why_not_applicable(saved, commit, state, datetime.now(UTC), workspace.config.plan_limit)
    if why:
        raise Refused("the saved plan is not applied", why, "plan again: inv tf.plan")


def check_understood(planned: TerraformPlan) -> None:
    """Raise Refused for a plan whose format, or one of whose actions, is unknown here."""
    unknown = next((unknown_action(change) for change in planned.changes if change.unknown), "")
    why = planned.refusal or unknown
    if why:
        how = (
            f"read it: terraform show {planned.saved.file}; apply it by Terraform itself, or "
            f"with a newer version of this tool"
        )
        raise Refused("the plan is not applied", why, how)


def confirm_destructive(changes: Sequence[ResourceChange], allowed: Collection[str]) -> None:
    """Confirm each destroy or replacement by its address.

    The address is in `allowed`, or typed on a terminal. A new revision of a task definition needs
    none. Raises Refused, with the options to add, if there is no terminal.
    """
    alarming = [change for change in changes if change.alarming]
    left = [change for change in alarming if change.address not in allowed]
    _check_allowed(alarming, left, allowed)
    if left and not ui.on_terminal():
        more = f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else ""
        what = ", ".join(f"{change.verb} {change.address}" for change in left[:MAX_NAMED])
        why = (
            "there is no terminal to type the address on, and --yes does not confirm a destroy "
            "or a replacement"
        )
        raise Refused(f"Terraform {what}{more}", why, f"add {allow_options(left)}")
    for change in left:
        ui.confirm(
            f"{change.verb} {change.address}",
            yes=False,
            typed=change.address,
            option=allow_options([change]),
        )


def _check_allowed(
    alarming: Sequence[ResourceChange], left: Sequence[ResourceChange], allowed: Collection[str]
) -> None:
    """Raise Refused if an allowed address is in no alarming change while others are left."""
    unmatched = sorted(set(allowed) - {change.address for change in alarming})
    if not unmatched or not left:
        return
    verb = "is no address" if len(unmatched) == 1 else "are no addresses"
    exact = ", ".join(change.address for change in alarming[:MAX_NAMED])
    raise Refused(
        f"--allow-destroy {' '.join(map(shlex.quote, unmatched))}",
        f"{', '.join(unmatched)} {verb} that this plan destroys or replaces "
        f"(exact addresses: {exact})",
        f"add {allow_options(left)}",
    )


def allow_options(changes: Sequence[ResourceChange]) -> str:
    """Return the options that allow these changes, quoted for a shell."""
    words = [f"--allow-destroy {shlex.quote(change.address)}" for change in changes[:MAX_NAMED]]
    more = [f"… ({len(changes)} in all)"] if len(changes) > MAX_NAMED else []
    return " ".join([*words, *more])


def apply(workspace: TerraformWorkspace, planned: TerraformPlan, *, wait_s: float = 0.0) -> None:
    """Apply a saved plan once, and delete its file, also after a failure.

    If the state is locked, nothing is done and the plan is left.
    """
    file = planned.saved.file
    ui.progress(f"terraform apply of {file.name}")

    def run(lock_wait_s: float) -> None:
        program.apply(workspace.tf, file, lock_wait_s=lock_wait_s, report=ui.progress)

    try:
        with_lock_wait(run, wait_s)
    except LockHeld:
        raise
    except BaseException:
        plan_files.discard(planned.saved)
        raise
    plan_files.discard(planned.saved)
