"""Terraform's variable files that no commit has: noticed in a deploy when they differ from the last
release's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ops.core import ui
from ops.core.errors import OpsError, Refused
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.deploy.context import DeployContext
from ops.platform import Platform
from ops.state import records
from ops.state.rules.records import changed_inputs, last_inputs
from ops.terraform import inputs
from ops.terraform.program import TerraformProgram


def confirm(work: DeployContext, tf: TerraformProgram) -> None:
    """Ask where variable files have changed since the last release, or where that is unknown.

    The digests are kept in `work`, for the record. Raises Refused on no.
    """
    work.terraform_inputs = now = inputs.digests(tf)
    settings = work.platform.settings
    if settings.environment.state is None:
        return
    services = settings.environment.services
    read: dict[str, Any] = gather(
        **{name: partial(_read_all_records, work.platform, name) for name in services}
    )
    unread = [f"{name}: {found.why}" for name, found in read.items() if isinstance(found, Unknown)]
    if unread:
        what = (
            "it is unknown whether Terraform's variable files have changed since the last release"
        )
        ui.confirm(f"{what} ({unread[0]})", yes=not work.asks)
        return
    last = last_inputs(record for found in read.values() for record in found)
    if last is None:
        ui.progress(
            "  variable files: no earlier release has recorded them, so there is nothing to compare"
        )
        return
    changed = changed_inputs(last["terraform_inputs"], now)
    if changed:
        since = f"the last release ({last.get('service')} {last.get('tag')}, {last.get('at')})"
        ui.confirm(f"{', '.join(changed)} since {since}; git does not have it", yes=not work.asks)
    work.changed_inputs = tuple(changed)
    for each in changed:
        ui.progress(f"  {each} since the last release")


def _read_all_records(platform: Platform, service: str) -> tuple[Mapping[str, Any], ...]:
    """A service's newest records. Raises OpsError where one of them can't be read."""
    keys = records.keys(platform, service, records.SHOWN)
    found = records.fetch(platform, keys)
    if len(found) < len(keys):
        why = f"{len(keys) - len(found)} of {len(keys)} could not be read"
        raise OpsError(f"release records of {service}", why, f"inv {service}.releases")
    return found


def refuse_moved(work: DeployContext, tf: TerraformProgram) -> None:
    """Raises Refused where a variable file has changed since it was asked about."""
    moved = changed_inputs(work.terraform_inputs or {}, inputs.digests(tf))
    if moved:
        raise Refused(
            "Terraform's variable files have changed during the deploy",
            ", ".join(moved),
            f"run it again: inv {work.name}.deploy",
        )
