"""`sandbox.*`: the embedded platform's front doors, and the only ones that know that there is
one.
"""

from __future__ import annotations

from typing import Any

from ops.tasks.positional import optional_positional
from ops.tasks.shared import ROOT, Session, ops_task

ENGINE = (
    "What runs the tasks: `process` (needs nothing), or `docker` (a real engine); without it, "
    "what is up."
)
ROLLOUT = (
    "Who rolls out: `ecs`, `terraform`, or `auto` (Terraform where it works on this machine); "
    "without it, what is up, else auto."
)
REGISTRY = (
    "A real registry on this machine that holds the images, `127.0.0.1:5000`, with `--engine "
    "docker`; without it, what is up."
)


def one_of(option: str, given: str | None, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError for a word that the option does not know."""
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
    """Start the embedded platform; a second time, do nothing; after a crash, heal it."""
    from ops.core import ui
    from ops.sandbox import lifecycle

    one_of("engine", engine, ("process", "docker"))
    one_of("rollout", rollout, ("auto", "ecs", "terraform"))
    status = lifecycle.up(
        ROOT / ".sandbox", engine=engine, rollout=rollout, registry=registry, say=ui.progress
    )
    session.report(status.as_document(), status.as_text())


@ops_task(
    options=("json",),
    help={"purge": "Remove the sandbox's files too: database, images, the sample's checkout."},
)
def down(session: Session, purge: bool = False) -> None:
    """Stop the embedded platform and every process of it."""
    from ops.core import ui
    from ops.sandbox import lifecycle

    lifecycle.down(ROOT / ".sandbox", purge=purge, say=ui.progress)
    status = lifecycle.status(ROOT / ".sandbox")
    session.report(status.as_document(), "the sandbox is down")


@ops_task(options=("json",))
def status(session: Session) -> None:
    """Show whether the embedded platform is ready, and where its parts listen."""
    from ops.sandbox import lifecycle

    status = lifecycle.status(ROOT / ".sandbox")
    session.report(status.as_document(), status.as_text())
    session.leave(0 if status.ready else 1)


@ops_task(options=("json",))
def faults(session: Session) -> None:
    """List what can be broken, where the runbook knows it, what it must be found to be, and whether
    it is broken now.
    """
    from ops.sandbox import faults

    rows = faults.faults(ROOT / ".sandbox")
    session.report({"faults": rows}, "\n".join(map(line, rows)))


@ops_task(
    name="break",
    options=("json",),
    positional=("fault",),
    help={"fault": "Its name, as `inv sandbox.faults` lists it."},
)
def break_(session: Session, fault: str) -> None:
    """Do a fault to the sandbox's world, and return when it is in effect."""
    carry_out(session, "break", fault)


@ops_task(
    options=("json",),
    positional=("fault",),
    help={
        "fault": "Its name, as `inv sandbox.faults` lists it; not with --all.",
        "all": "Mend every fault that is active.",
    },
)
def mend(session: Session, fault: str, all: bool = False) -> None:
    """Take a fault back, and return when the sandbox's world is well."""
    carry_out(session, "mend-all" if all and not fault else "mend", fault)


mend = optional_positional(mend, "fault", "all")


def carry_out(session: Session, verb: str, fault: str) -> None:
    """One order to the sandbox, and a line for each fault that it is about."""
    from ops.core import ui
    from ops.sandbox import faults

    done = faults.send_request(ROOT / ".sandbox", verb, fault)
    lines = [
        each["says"] + (f" ({ui.took(each['took_s'])})" if each["changed"] else "") for each in done
    ]
    session.report({"faults": done}, "\n".join(lines) or "no fault is active")


def line(row: dict[str, Any]) -> str:
    mark = "*" if row["active"] else " "
    return (
        f"{mark} {row['name']:<24} {row['cause']:<26} "
        f"{row['description']}{' (emulated)' if row['emulated'] else ''}"
    )
