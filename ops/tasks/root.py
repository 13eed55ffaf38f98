"""The tasks without a namespace: `preflight` and `status`."""

from __future__ import annotations

from ops.tasks.shared import Session, ops_task


@ops_task(
    options=("skip", "verbose", "json"),
    help={"service": "Only this service (default: all services of the environment)."},
)
def preflight(session: Session, service: str | None = None) -> None:
    """Check everything on the runbook's checklist and change nothing."""
    from ops.core.terminal.step import step
    from ops.preflight import report as flow

    settings = session.settings
    with step("preflight: reading what a release needs"):
        report = flow.preflight(settings, service, session.skip, all=session.verbose)
    session.report(report)


@ops_task(options=("json",))
def status(session: Session) -> None:
    """Show every service of the environment: its image, tasks and deployments."""
    from ops.ecs import status as flow

    names = tuple(sorted(session.settings.environment.services))
    session.report(flow.status(session.settings, names))
