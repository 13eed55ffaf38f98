"""`sandbox.*`: the embedded platform's front doors, and the only ones that know that there is one."""

from __future__ import annotations

from ops.tasks.shared import ROOT, Session, front_door

ENGINE = "What runs the tasks: `process` (needs nothing), or `docker` (a real engine); without it, what is up."
ROLLOUT = "Who rolls out: `ecs`, `terraform`, or `auto` (Terraform where it works on this machine); without it, what is up, else auto."


def one_of(option: str, given: str | None, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError for a word that the option does not know."""
    if given not in (None, *allowed):
        from ops.errors import ConfigError

        raise ConfigError(f"--{option} {given}", f"allowed: {', '.join(allowed)}", "inv sandbox.up")


@front_door(options=("json",), help={"engine": ENGINE, "rollout": ROLLOUT})
def up(session: Session, engine: str | None = None, rollout: str | None = None) -> None:
    """Start the embedded platform; a second time, do nothing; after a crash, heal it."""
    from ops import ui
    from ops.sandbox import lifecycle

    one_of("engine", engine, ("process", "docker"))
    one_of("rollout", rollout, ("auto", "ecs", "terraform"))
    status = lifecycle.up(ROOT / ".sandbox", engine=engine, rollout=rollout, say=ui.say)
    session.report(status.as_document(), status.as_text())


@front_door(options=("json",), help={"purge": "Remove the sandbox's files too: database, images, the sample's checkout."})
def down(session: Session, purge: bool = False) -> None:
    """Stop the embedded platform and every process of it."""
    from ops import ui
    from ops.sandbox import lifecycle

    lifecycle.down(ROOT / ".sandbox", purge=purge, say=ui.say)
    status = lifecycle.status(ROOT / ".sandbox")
    session.report(status.as_document(), "the sandbox is down")


@front_door(options=("json",))
def status(session: Session) -> None:
    """Show whether the embedded platform is ready, and where its parts listen."""
    from ops.sandbox import lifecycle

    status = lifecycle.status(ROOT / ".sandbox")
    session.report(status.as_document(), status.as_text())
    session.leave(0 if status.ready else 1)
