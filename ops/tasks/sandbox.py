"""`sandbox.*`: start, stop and break the embedded platform.

No other task knows that there is one.
"""

from __future__ import annotations

from typing import Any

from ops.core.result import Report
from ops.core.text import format_duration
from ops.tasks.arguments import optional_positional
from ops.tasks.shared import ROOT, Session, ops_task

ENGINE = (
    "What runs the tasks: `process` (needs nothing), or `docker` (a real engine). Default: as "
    "running."
)
ROLLOUT = (
    "How to roll out: `ecs`, `terraform`, or `auto` (Terraform if it works on this machine). "
    "Default: as running, else auto."
)
REGISTRY = (
    "A real registry on this machine for the images (127.0.0.1:5000), with `--engine docker`. "
    "Default: as running."
)


def one_of(option: str, given: str | None, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError for a value that the option does not allow."""
    if given not in (None, *allowed):
        from ops.core.errors import ConfigError

        raise ConfigError(f"--{option} {given}", f"allowed: {', '.join(allowed)}", "inv sandbox.up")


@ops_task(options=("json",), help={"engine": ENGINE, "rollout": ROLLOUT, "registry": REGISTRY})
def up(
    session: Session,
    engine: str | None = None,
    rollout: str | None = None,
    registry: str | None = None,
) -> None:
    """Start the embedded platform, or repair it after a crash; does nothing if it is healthy."""
    from ops.core import ui
    from ops.core.terminal.step import step
    from ops.sandbox import lifecycle

    one_of("engine", engine, ("process", "docker"))
    one_of("rollout", rollout, ("auto", "ecs", "terraform"))
    with step("starting the sandbox"):
        status = lifecycle.up(
            ROOT / ".sandbox", engine=engine, rollout=rollout, registry=registry, say=ui.progress
        )
    session.report(Report(status.as_document(), status.as_text()))


@ops_task(
    options=("json",),
    help={"purge": "Also remove the sandbox's files: database, images, the sample's checkout."},
)
def down(session: Session, purge: bool = False) -> None:
    """Stop the embedded platform and all its processes."""
    from ops.core import ui
    from ops.core.terminal.step import step
    from ops.sandbox import lifecycle

    with step("stopping the sandbox"):
        lifecycle.down(ROOT / ".sandbox", purge=purge, say=ui.progress)
    status = lifecycle.status(ROOT / ".sandbox")
    session.report(Report(status.as_document(), "the sandbox is down"))


@ops_task(options=("json",))
def status(session: Session) -> None:
    """Show whether the embedded platform is ready, and the addresses of its parts."""
    from ops.sandbox import lifecycle

    status = lifecycle.status(ROOT / ".sandbox")
    session.report(Report(status.as_document(), status.as_text(), 0 if status.ready else 1))


@ops_task(options=("json",))
def faults(session: Session) -> None:
    """List the faults: description, runbook section, expected diagnosis, and whether active."""
    from ops.sandbox import faults

    rows = faults.faults(ROOT / ".sandbox")
    session.report(Report({"faults": rows}, "\n".join(map(line, rows))))


@ops_task(
    name="break",
    options=("json",),
    positional=("fault",),
    help={"fault": "Name of the fault, as listed by `inv sandbox.faults`."},
)
def break_(session: Session, fault: str) -> None:
    """Inject a fault into the sandbox, and return when it is in effect."""
    carry_out(session, "break", fault)


@ops_task(
    options=("json",),
    positional=("fault",),
    help={
        "fault": "Name of the fault, as listed by `inv sandbox.faults`; not with --all.",
        "all": "Remove every active fault.",
    },
)
def mend(session: Session, fault: str, all: bool = False) -> None:
    """Remove a fault, and return when the sandbox is healthy again."""
    carry_out(session, "mend-all" if all and not fault else "mend", fault)


mend = optional_positional(mend, "fault", "all")


def carry_out(session: Session, verb: str, fault: str) -> None:
    """Send a request to the sandbox, and print a line for each fault concerned."""
    from ops.sandbox import faults

    done = faults.send_request(ROOT / ".sandbox", verb, fault)
    lines = [
        each["says"] + (f" ({format_duration(each['took_s'])})" if each["changed"] else "")
        for each in done
    ]
    session.report(Report({"faults": done}, "\n".join(lines) or "no fault is active"))


def line(row: dict[str, Any]) -> str:
    mark = "*" if row["active"] else " "
    return (
        f"{mark} {row['name']:<24} {row['cause']:<26} "
        f"{row['description']}{' (emulated)' if row['emulated'] else ''}"
    )
