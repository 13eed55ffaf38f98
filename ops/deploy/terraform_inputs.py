"""Terraform's uncommitted input files, compared with those of the last release."""

from __future__ import annotations

from functools import partial

from ops.core import ui
from ops.core.errors import OpsError, Refused
from ops.core.findings import Unknown
from ops.core.parallel import gather
from ops.deploy.context import DeployContext
from ops.platform import Platform
from ops.state import records
from ops.state.model import ReleaseRecord
from ops.state.rules.records import changed_inputs, last_inputs
from ops.terraform import inputs
from ops.terraform.program import TerraformProgram


def confirm(context: DeployContext, tf: TerraformProgram) -> None:
    """Ask for confirmation if input files changed since the last release, or may have.

    The digests are kept in `context`, for the record. Raises Refused on no.
    """
    context.terraform_inputs = now = inputs.digests(tf)
    settings = context.platform.settings
    if settings.environment.state is None:
        return
    services = settings.environment.services
    read = gather(**{name: partial(_read_all_records, context.platform, name) for name in services})
    unread = [f"{name}: {found.why}" for name, found in read.items() if isinstance(found, Unknown)]
    if unread:
        what = "it is unknown whether Terraform's input files have changed since the last release"
        ui.confirm(f"{what} ({unread[0]})", yes=context.request.yes)
        return
    last = last_inputs(
        record for found in read.values() if not isinstance(found, Unknown) for record in found
    )
    if last is None or last.terraform_inputs is None:
        ui.progress(
            "  input files: no earlier release has recorded them, so there is nothing to compare"
        )
        return
    changed = changed_inputs(last.terraform_inputs, now)
    if changed:
        since = f"the last release ({last.service} {last.tag}, {last.at})"
        ui.confirm(
            f"{', '.join(changed)} since {since}; git does not have it", yes=context.request.yes
        )
    context.changed_inputs = tuple(changed)
    for each in changed:
        ui.progress(f"  {each} since the last release")


def _read_all_records(platform: Platform, service: str) -> tuple[ReleaseRecord, ...]:
    """A service's newest records.

    Raises OpsError if one of them cannot be read.
    """
    keys = records.keys(platform, service, records.SHOWN)
    found = records.fetch(platform, keys)
    if len(found) < len(keys):
        why = f"{len(keys) - len(found)} of {len(keys)} could not be read"
        raise OpsError(f"release records of {service}", why, f"inv {service}.releases")
    return found


def refuse_moved(context: DeployContext, tf: TerraformProgram) -> None:
    """Raise Refused if an input file changed since the confirmation."""
    moved = changed_inputs(context.terraform_inputs or {}, inputs.digests(tf))
    if moved:
        raise Refused(
            f"Terraform's input files have changed during the {context.kind}",
            ", ".join(moved),
            f"run it again: {context.command}",
        )
