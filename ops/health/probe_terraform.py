"""Probe of the Terraform state lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from ops.core.findings import Finding
from ops.health.inputs import SweepInputs
from ops.health.model import Check, CheckKey
from ops.health.probe_runner import Probe, health_group
from ops.terraform import state_locks

_KEY = CheckKey("terraform", "state lock")


@health_group("terraform", when_empty="environment {name} has no terraform", needs=("terraform",))
def probes(inputs: SweepInputs) -> Iterator[Probe]:
    if inputs.environment.terraform is not None:
        yield Probe((_KEY,), partial(_state_lock, inputs))


def _state_lock(inputs: SweepInputs) -> Iterable[Check]:
    """Check whether the Terraform state is locked.

    The lock is read from the backend, without running Terraform.
    """
    held = state_locks.environment_locks(inputs.platform)
    if not held:
        return [Check(_KEY, "ok", "not locked", "free")]
    holders = "; ".join(f"{lock.path}: {lock.describe()}" for lock in held)
    fix = ("inv tf.locks", f"inv tf.unlock --id {held[0].id}")
    found = Finding("state_locked", f"the Terraform state is locked: {holders}", "certain", fix=fix)
    return [
        Check(
            _KEY,
            "failed",
            f"{holders}, expected no lock",
            "held",
            finding=found,
        )
    ]
