"""`health.*`: the runbook's section 5 as one command, or one group of it.

Reports failures, their causes, and what changed since an earlier run.
"""

from __future__ import annotations

from typing import Any

from ops.core.result import Report
from ops.tasks.shared import Session, ops_task

SINCE = (
    "How far back to read logs (30m); every error counts. Default: since the last release, "
    "counting recent errors only."
)
BASELINE = (
    "Compare with this file (written by --save), or with last-release. Default: the previous run."
)
SAVE = "Write this run to a file."
WATCH = "Repeat every so many seconds (5), until Ctrl-C."
SHARED: dict[str, str] = {"since": SINCE, "baseline": BASELINE, "save": SAVE, "watch": WATCH}
ONLY = "Only this group; repeat, or separate with commas, for more."


def report_sweep(
    session: Session,
    only: tuple[str, ...],
    since: str | None,
    baseline: str | None,
    save: str | None,
    watch: str | None,
) -> None:
    """Run one sweep, or one after the other; exit code 1 if a check failed or is unknown."""
    from ops.core import ui
    from ops.core.terminal.step import step
    from ops.health import history, render
    from ops.health import sweep as flow
    from ops.health import watch as health_watch
    from ops.health.model import SweepRequest
    from ops.platform import Platform

    request = SweepRequest(only, session.skip, ui.parse_seconds("since", since), baseline, save)
    pause = ui.parse_seconds("watch", watch)
    flow.check_request(request, session.settings)
    platform = Platform.of(session.settings)
    if pause is not None:
        session.leave(health_watch.watch(platform, request, pause, session))
        return
    with step("health: checking everything at once"):
        found = flow.run_sweep(platform, request)
    exit_code = history.save_or_exit_code(save, found) or (0 if found.healthy else 1)
    text = render.as_text(found, session.settings, all=session.verbose)
    session.report(Report(flow.as_document(found), text, exit_code))


@ops_task(
    options=("skip", "verbose", "json"),
    help={**SHARED, "only": ONLY},
    repeated=("only",),
    name="all",
)
def everything(
    session: Session,
    only: list[str] | None = None,
    since: str | None = None,
    baseline: str | None = None,
    save: str | None = None,
    watch: str | None = None,
) -> None:
    """Check pages, tasks, targets, database, CDN, certificates, logs and Terraform at once."""
    groups = tuple(name for text in only or () for name in text.split(",") if name)
    report_sweep(session, groups, since, baseline, save, watch)


def group(name: str, doc: str) -> Any:
    def body(
        session: Session,
        since: str | None = None,
        baseline: str | None = None,
        save: str | None = None,
        watch: str | None = None,
    ) -> None:
        report_sweep(session, (name,), since, baseline, save, watch)

    body.__doc__ = doc
    return ops_task(options=("skip", "verbose", "json"), help=SHARED, name=name)(body)


endpoints = group(
    "endpoints",
    "Check every page and API path, through the CDN and at the load balancer.",
)
ecs = group(
    "ecs",
    "Check the cluster and every service: tasks, deployment, and the last release's image.",
)
targets = group("targets", "Check every target group, with the load balancer's own reasons.")
db = group(
    "db",
    "Check RDS, the secret, a connection, the schema revision, and the number of connections.",
)
cdn = group(
    "cdn",
    "Check the distribution, its invalidations, and pages cached before the running release.",
)
certificates = group(
    "certificates",
    "Check the certificate chain: trust, host name and expiry.",
)
logs = group(
    "logs", "Check the logs of every service: errors and warnings by pattern, new ones marked."
)
terraform = group("terraform", "Check whether the Terraform state is locked, and by whom.")
