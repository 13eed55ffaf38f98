"""`env.*`: the configuration itself: what is in effect, whether it still holds, its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.tasks.shared import ROOT, Session, ops_task

if TYPE_CHECKING:
    from ops.core.config.load import Configuration


@ops_task(
    options=("json",),
    help={"key": "Only this key or section below the environment (services.backend.container)."},
)
def show(session: Session, key: str | None = None) -> None:
    """Show the effective configuration, each value with its origin.

    Secrets are never printed. `over` names the weaker sources that set the same key.
    """
    from ops.environment import show as flow

    session.report(flow.show(_configuration(session), key))


@ops_task(options=("json", "timeout"))
def check(session: Session) -> None:
    """Compare the configuration with AWS, the checkout, Terraform and the bastion.

    Exit code 1 if something is different, or could not be read. Nothing is changed.
    """
    from ops.core.config import load
    from ops.environment import check as flow

    configuration = _configuration(session)
    load.check_all(session.context.config, ROOT)
    deadline_s = session.timeout_s() or configuration.settings.environment.health.deadline
    session.report(flow.check(configuration, deadline_s))


@ops_task(
    options=("json",),
    help={
        "overlay": "The schema of an overlay: an environment's keys, none of them required.",
        "output": "Write it to this file.",
    },
)
def schema(session: Session, overlay: bool = False, output: str | None = None) -> None:
    """Print the JSON Schema of invoke.yaml, for editors.

    It needs no environment: it works without a configuration of your own.
    """
    from ops.environment import schema as flow

    session.report(flow.schema(overlay=overlay, output=output))


def _configuration(session: Session) -> Configuration:
    """The chosen environment with its sources; prints where it acts, as every task does."""
    from ops.core import ui
    from ops.core.config import load

    configuration = load.read_configuration(session.context.config, ROOT)
    settings = configuration.settings
    ui.progress(f"{settings.name} · {settings.environment.account} · {settings.environment.region}")
    return configuration
