"""One environment's Terraform: initialisation, retries and waits that all commands share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ops.core import ui
from ops.core.errors import OpsError
from ops.core.result import Report
from ops.core.retry import retry
from ops.core.text import format_duration
from ops.platform import Platform
from ops.terraform import program
from ops.terraform.errors import LockHeld, TerraformError
from ops.terraform.program import TerraformProgram
from ops.terraform.rules.policies import RETRY_PAUSES_S, transient_cause
from ops.tools import git
from ops.tools.facts import Checkout

if TYPE_CHECKING:
    from ops.core.config.settings import Terraform

T = TypeVar("T")
_RACE_PAUSE_S = 1.0


@dataclass(frozen=True)
class TerraformWorkspace:
    """One environment with its Terraform."""

    platform: Platform
    tf: TerraformProgram

    @classmethod
    def of(cls, platform: Platform) -> TerraformWorkspace:
        """Raises ConfigError if the environment has no Terraform, or no such directory."""
        return cls(platform, program.connect(platform.settings))

    @property
    def config(self) -> Terraform:
        found = self.platform.settings.environment.terraform
        assert found is not None  # `connect` has refused otherwise
        return found

    def checkout(self) -> Checkout:
        """Return the checkout of Terraform's directory, which need not be the application's."""
        environment = self.platform.settings.environment
        return git.checkout(self.tf.directory, environment.branch, environment.remote)


def retry_transient(act: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """Run a command that writes nothing, again after an error that passes by itself."""

    def report(error: OpsError, pause_s: float) -> None:
        ui.progress(f"  {error.what}: {_cause(error)}: retrying in {pause_s:g} s")

    return retry(
        act,
        RETRY_PAUSES_S,
        passing=lambda error: bool(_cause(error)),
        report=report,
        sleep=sleep,
    )


def _cause(error: OpsError) -> str:
    return transient_cause(error.output) if isinstance(error, TerraformError) else ""


def initialise(workspace: TerraformWorkspace) -> Report:
    """Run `terraform init` (`tf.init`)."""
    directory = workspace.tf.directory
    ui.progress(f"{workspace.tf.program} init in {directory}")
    retry_transient(lambda: program.init(workspace.tf, ui.progress))
    document = {"environment": workspace.platform.settings.name, "directory": str(directory)}
    return Report(document, f"{directory} is initialised")


def ensure_initialised(workspace: TerraformWorkspace) -> None:
    """Initialise the directory unless program, backend, providers and modules are unchanged."""
    if not program.is_initialised(workspace.tf):
        initialise(workspace)


def with_lock_wait(
    act: Callable[[float], T], wait_s: float, pause: Callable[[float], None] = time.sleep
) -> T:
    """Call `act(0)`, and if the state is locked, report its owner and call `act(wait_s)`.

    The argument is the time that Terraform itself waits for the lock, in seconds. It does not wait
    after a race (an owner that releases the lock before it is read), so that is repeated here.
    """
    try:
        return act(0.0)
    except LockHeld as held:
        if wait_s <= 0:
            raise
        ui.progress(f"waiting up to {format_duration(wait_s)} for the state's lock: {held.why}")
    ends, left = time.monotonic() + wait_s, wait_s
    while True:
        try:
            return act(left)
        except LockHeld as held:
            left = ends - time.monotonic() - _RACE_PAUSE_S
            if held.lock is not None or left <= 0:
                raise
            pause(_RACE_PAUSE_S)


def outputs(workspace: TerraformWorkspace) -> Report:
    """Read all outputs (`tf.output`)."""
    ensure_initialised(workspace)
    found = retry_transient(lambda: program.outputs(workspace.tf))
    document = {
        "environment": workspace.platform.settings.name,
        "outputs": {each.name: each.value for each in found},
    }
    return Report(document, "\n".join(str(each) for each in found) or "no outputs")
