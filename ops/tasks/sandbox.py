"""`sandbox.*`: the embedded platform's front doors, and the only ones that know that there is one."""

from __future__ import annotations

from ops.tasks.shared import ROOT, Session, front_door

ENGINE = "What runs the tasks: `process` (needs nothing), or `docker` (a real engine); without it, what is up."


@front_door(options=("json",), help={"engine": ENGINE})
def up(session: Session, engine: str | None = None) -> None:
    """Start the embedded platform; a second time, do nothing; after a crash, heal it."""
    from ops import ui
    from ops.sandbox import lifecycle

    if engine not in (None, "process", "docker"):
        from ops.errors import ConfigError

        raise ConfigError(f"--engine {engine}", "allowed: process, docker", "inv sandbox.up")
    status = lifecycle.up(ROOT / ".sandbox", engine=engine, say=ui.say)
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
