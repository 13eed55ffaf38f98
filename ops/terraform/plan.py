"""`inv tf.*`: Terraform as the runbook uses it, by saved plans that were shown (runbook 2, steps 5
and 6).

Every plan passes every service's image variable, so that none moves a sibling. What is applied is a
file on disk, made from this commit and this state, and young. Known transient errors are tried
again while nothing is written; an apply never is."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ops.core import ui
from ops.core.errors import OpsError, Refused
from ops.core.retry import retry
from ops.core.text import format_duration, short_commit
from ops.platform import Platform
from ops.state import lock
from ops.terraform import image_variables, plan_files, program
from ops.terraform.errors import LockHeld, TerraformError, WantsInit
from ops.terraform.facts import SavedPlan
from ops.terraform.program import TerraformProgram
from ops.terraform.render import print_plan
from ops.terraform.rules import plan_diff as rules
from ops.terraform.rules.plan_diff import ResourceChange
from ops.terraform.rules.plan_json import notes, questions
from ops.terraform.rules.plan_json import refusal as refusal_of
from ops.terraform.rules.policies import (
    PAUSES_S,
    transient_cause,
    uncommitted_in,
    why_not_applicable,
)
from ops.terraform.rules.scope import MOST_NAMED, unknown_action
from ops.tools import git
from ops.tools.facts import Checkout

if TYPE_CHECKING:
    from ops.core.config.settings import Terraform as Configured

T = TypeVar("T")


@dataclass(frozen=True)
class TerraformWorkspace:
    """One environment with its Terraform."""

    platform: Platform
    tf: TerraformProgram

    @classmethod
    def of(cls, platform: Platform) -> TerraformWorkspace:
        """Raises ConfigError where the environment has no Terraform, or its directory is not
        there.
        """
        return cls(platform, program.connect(platform.settings))

    @property
    def configured(self) -> Configured:
        assert (
            self.platform.settings.environment.terraform is not None
        )  # `connect` has refused otherwise
        return self.platform.settings.environment.terraform


@dataclass(frozen=True)
class TerraformPlan:
    """A saved plan, and what it says. `document` is Terraform's own JSON: it may hold secrets and
    is never printed.
    """

    saved: SavedPlan
    document: Mapping[str, Any]
    environment: str
    targeted: bool = False

    @property
    def changes(self) -> tuple[ResourceChange, ...]:
        return rules.changes(self.document)

    @property
    def drift(self) -> tuple[ResourceChange, ...]:
        return rules.drift(self.document)

    @property
    def notes(self) -> tuple[str, ...]:
        """What it does that changes no resource."""
        return notes(self.document)

    @property
    def uncertain(self) -> tuple[str, ...]:
        """What makes its effect uncertain: parts that are not known here, or left out by
        Terraform.
        """
        return questions(self.document, targeted=self.targeted)

    def show(self) -> None:
        """Print it on stderr."""
        print_plan(self.changes, self.drift, self.notes, self.uncertain)

    def as_document(self) -> dict[str, Any]:
        """The shape that `tf.plan --json` prints."""
        return {
            "environment": self.environment,
            "summary": rules.summary(self.changes, self.notes),
            "changes": [change.as_document() for change in self.changes],
            "drift": [change.as_document() for change in self.drift],
            "notes": list(self.notes),
            "warnings": list(self.uncertain),
            "images": dict(self.saved.images),
            "plan": self.saved.as_document(),
        }


def retry_transient(act: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """The result of a command that writes nothing, repeated after a transient error."""

    def report(error: OpsError, pause_s: float) -> None:
        ui.progress(
            f"  {error.what}: {_transient_cause(error)}: this passes; again in {pause_s:g} s"
        )

    return retry(
        act,
        PAUSES_S,
        passing=lambda error: bool(_transient_cause(error)),
        report=report,
        sleep=sleep,
    )


def _transient_cause(error: OpsError) -> str:
    return transient_cause(error.said) if isinstance(error, TerraformError) else ""


def initialise(place: TerraformWorkspace) -> None:
    ui.progress(f"terraform init in {place.tf.directory}")
    retry_transient(lambda: program.init(place.tf, ui.progress))


def ensure_initialised(place: TerraformWorkspace) -> None:
    """Initialise where binary, backend, providers or modules have changed since the last time, or
    there was none.
    """
    if not program.initialised(place.tf):
        initialise(place)


def with_lock_wait(act: Callable[[float], T], wait_s: float) -> T:
    """`act(0)`; where the state is locked, its owner is named and Terraform itself waits for
    `wait_s` seconds.
    """
    try:
        return act(0.0)
    except LockHeld as held:
        if wait_s <= 0:
            raise
        ui.progress(f"waiting up to {format_duration(wait_s)} for the state's lock: {held.why}")
    return act(wait_s)


def plan(
    place: TerraformWorkspace,
    images: Mapping[str, str],
    *,
    name: str = plan_files.PLAN,
    refresh_only: bool = False,
    wait_s: float = 0.0,
    targets: tuple[str, ...] = (),
) -> TerraformPlan:
    """Make, save and read a plan; nothing is changed. Raises what stands in Terraform's way."""
    ensure_initialised(place)
    checkout = terraform_checkout(place)
    state = retry_transient(lambda: program.state_version(place.tf))
    file = place.tf.own / f"{name}.tfplan"

    def act(wait: float) -> None:
        program.plan(
            place.tf,
            file,
            images,
            lock_wait_s=wait,
            refresh_only=refresh_only,
            say=ui.progress,
            targets=targets,
        )

    def make() -> None:
        ui.progress(f"terraform plan in {place.tf.directory}")
        with_lock_wait(act, wait_s)

    try:
        retry_transient(make)
    except (
        WantsInit
    ):  # a provider that a resource merely implies, or a plugin folder that was emptied
        initialise(place)
        retry_transient(make)
    document = readable(place, file)
    uncommitted = uncommitted_in(
        checkout.changes, git.below(place.platform.settings.source, place.tf.directory)
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    saved = SavedPlan(
        file, checkout.commit.full, state, now, plan_files.owner(), uncommitted, images
    )
    plan_files.store(saved)
    return TerraformPlan(saved, document, place.platform.settings.name, bool(targets))


def readable(place: TerraformWorkspace, file: Path) -> dict[str, Any]:
    """A saved plan as JSON. One that can't be read is removed: it may hold secrets, and nobody can
    apply it.
    """
    try:
        document = retry_transient(lambda: program.show(place.tf, file))
        rules.changes(document), rules.drift(document), notes(document)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return document


def terraform_checkout(place: TerraformWorkspace) -> Checkout:
    """The checkout that Terraform's directory lies in, which need not be the application's."""
    environment = place.platform.settings.environment
    return git.checkout(place.tf.directory, environment.branch, environment.remote)


def plan_as_running(place: TerraformWorkspace, *, wait_s: float = 0.0) -> TerraformPlan:
    """`tf.plan`: with every service's image as it runs."""
    image_variables.refuse_undeclared(place.platform, place.tf)
    planned = plan(place, image_variables.values(place.platform), wait_s=wait_s)
    planned.show()
    if planned.saved.uncommitted:
        ui.progress(
            f"not committed, so tf.apply will not apply it: "
            f"{', '.join(planned.saved.uncommitted[:3])}"
        )
    return planned


def drift(place: TerraformWorkspace, *, wait_s: float = 0.0) -> TerraformPlan:
    """`tf.drift`: a plan that only looks (`-refresh-only`); nothing is written to the state."""
    image_variables.refuse_undeclared(place.platform, place.tf)
    planned = plan(
        place,
        image_variables.values(place.platform),
        name="drift",
        refresh_only=True,
        wait_s=wait_s,
    )
    plan_files.discard(planned.saved)
    print_plan((), planned.drift)
    return planned


def apply_saved(
    place: TerraformWorkspace, *, yes: bool, allowed: Collection[str] = (), wait_s: float = 0.0
) -> TerraformPlan:
    """`tf.apply`: the saved plan, shown once more.

    A destroy or replacement needs its address: in `allowed`, or typed on a terminal. `yes` does not
    answer for it. Raises Refused for a plan that can't be understood.

    No deploy runs beside it: it holds the lock of every service, and looks again once it has them.
    """
    settings = place.platform.settings
    ensure_initialised(place)
    saved = plan_files.stored(place.tf)
    refuse_if_moved(place, saved)
    planned = TerraformPlan(
        saved, retry_transient(lambda: program.show(place.tf, saved.file)), settings.name
    )
    planned.show()
    refuse_not_understood(planned)
    if settings.environment.protected:
        ui.confirm(f"apply this to {settings.name}", yes=yes, typed=settings.name)
    confirm_destructive(planned.changes, allowed)
    with lock.hold_each(
        place.platform.cloud,
        settings,
        lock.myself("terraform apply", short_commit(saved.commit)),
        wait_s=wait_s,
    ):
        refuse_if_moved(place, saved)
        apply(place, planned, wait_s=wait_s)
    return planned


def refuse_if_moved(place: TerraformWorkspace, saved: SavedPlan) -> None:
    """Raises Refused where the plan is not of this commit and this state, or too old."""
    state = retry_transient(lambda: program.state_version(place.tf))
    why = why_not_applicable(
        saved,
        terraform_checkout(place).commit.full,
        state,
        datetime.now(UTC),
        place.configured.plan_limit,
    )
    if why:
        raise Refused("the saved plan is not applied", why, "plan again: inv tf.plan")


def refuse_not_understood(planned: TerraformPlan) -> None:
    """Raises Refused for a plan whose format, or one of whose actions, is not known here."""
    unknown = next((unknown_action(change) for change in planned.changes if change.unknown), "")
    why = refusal_of(planned.document) or unknown
    if why:
        how = (
            f"read it: terraform show {planned.saved.file}; apply it by Terraform itself, or "
            f"with a newer version of this tool"
        )
        raise Refused("the plan is not applied", why, how)


def confirm_destructive(changes: tuple[ResourceChange, ...], allowed: Collection[str]) -> None:
    """Each destroy or replacement by its address: allowed by an option, or typed on a terminal.

    A new revision of a task definition is neither. Raises Refused, naming the options, where nobody
    can be asked."""
    alarming = [change for change in changes if change.alarming]
    left = [change for change in alarming if change.address not in allowed]
    unmatched = sorted(set(allowed) - {change.address for change in alarming})
    if unmatched and left:
        verb = "is no address" if len(unmatched) == 1 else "are no addresses"
        exact = ", ".join(change.address for change in alarming[:MOST_NAMED])
        raise Refused(
            f"--allow-destroy {' '.join(map(shlex.quote, unmatched))}",
            f"{', '.join(unmatched)} {verb} that this plan destroys or replaces "
            f"(exact addresses: {exact})",
            f"add {allowing(left)}",
        )
    if left and not ui.on_terminal():
        more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        what = ", ".join(f"{change.word} {change.address}" for change in left[:MOST_NAMED])
        why = (
            "there is no terminal to type the address on, and --yes does not answer a destroy "
            "or a replacement"
        )
        raise Refused(f"Terraform {what}{more}", why, f"add {allowing(left)}")
    for change in left:
        ui.confirm(
            f"{change.word} {change.address}",
            yes=False,
            typed=change.address,
            option=allowing([change]),
        )


def allowing(changes: Sequence[ResourceChange]) -> str:
    """The options that allow these destroys and replacements, as they would be typed."""
    words = [f"--allow-destroy {shlex.quote(change.address)}" for change in changes[:MOST_NAMED]]
    more = [f"… ({len(changes)} in all)"] if len(changes) > MOST_NAMED else []
    return " ".join([*words, *more])


def apply(place: TerraformWorkspace, planned: TerraformPlan, *, wait_s: float = 0.0) -> None:
    """Apply a saved plan, once: after it, or after its failure, the file is worthless."""
    ui.progress(f"terraform apply of {planned.saved.file.name}")
    try:
        with_lock_wait(
            lambda wait: program.apply(
                place.tf, planned.saved.file, lock_wait_s=wait, say=ui.progress
            ),
            wait_s,
        )
    except LockHeld:
        raise  # nothing was done: the plan is as good as before
    except BaseException:
        plan_files.discard(planned.saved)
        raise
    plan_files.discard(planned.saved)


def outputs(place: TerraformWorkspace) -> dict[str, Any]:
    """`tf.output`: every output; None where it is sensitive."""
    ensure_initialised(place)
    return retry_transient(lambda: program.output(place.tf))
