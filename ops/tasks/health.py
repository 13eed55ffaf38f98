"""`health.*`: the runbook's section 5 as one command, or one group of it; what is wrong, why, and
what changed since.
"""

from __future__ import annotations

from typing import Any

from ops.health.model import SweepRequest
from ops.tasks.shared import Session, ops_task

SINCE = (
    "Read the logs so far back, and judge all of it (30m). Default: since the last release, "
    "judging the last while."
)
AGAINST = "Compare with this file (of --save), or with last-release. Default: the run before."
SAVE = "Write this run to a file."
WATCH = "Look again every so many seconds (5), until Ctrl-C."
SHARED: dict[str, str] = {"since": SINCE, "against": AGAINST, "save": SAVE, "watch": WATCH}
ONLY = "Only this group; again, or with commas, for more."


def report_sweep(
    session: Session,
    only: tuple[str, ...],
    since: str | None,
    against: str | None,
    save: str | None,
    watch: str | None,
) -> None:
    """One sweep, or one after the other; exit code 1 where anything failed or is unknown."""
    from ops.core import ui
    from ops.health import history, render
    from ops.health import sweep as flow
    from ops.health import watch as health_watch
    from ops.platform import Platform

    request = SweepRequest(only, session.skip, ui.parse_seconds("since", since), against, save)
    pause = ui.parse_seconds("watch", watch)
    flow.check_request(request, session.settings)
    platform = Platform.of(session.settings)
    if pause is not None:
        health_watch.watch(platform, request, pause, session)
        return
    found = flow.run_sweep(platform, request)
    session.report(flow.as_document(found), render.as_text(found, session.settings))
    session.leave(history.save_or_exit_code(save, found) or (0 if found.healthy else 1))


@ops_task(options=("skip", "json"), help={**SHARED, "only": ONLY}, repeated=("only",), name="all")
def everything(
    session: Session,
    only: list[str] | None = None,
    since: str | None = None,
    against: str | None = None,
    save: str | None = None,
    watch: str | None = None,
) -> None:
    """Look at everything at once: pages, tasks, targets, database, CDN, certificates, logs,
    Terraform's lock; and what changed.
    """
    groups = tuple(name for text in only or () for name in text.split(",") if name)
    report_sweep(session, groups, since, against, save, watch)


def group(name: str, doc: str) -> Any:
    def body(
        session: Session,
        since: str | None = None,
        against: str | None = None,
        save: str | None = None,
        watch: str | None = None,
    ) -> None:
        report_sweep(session, (name,), since, against, save, watch)

    body.__doc__ = doc
    return ops_task(options=("skip", "json"), help=SHARED, name=name)(body)


endpoints = group(
    "endpoints",
    "Ask every page and API path, through the CDN and at the load balancer, for what it "
    "should say.",
)
ecs = group(
    "ecs",
    "Look at the cluster and every service: tasks, deployment, and whether all run the "
    "last release's image.",
)
targets = group("targets", "Look at every target group, with the load balancer's own reasons.")
db = group(
    "db",
    "Look at RDS, the secret, a connection, the schema beside the releases, and how many "
    "are connected.",
)
cdn = group(
    "cdn",
    "Look at the distribution, its invalidations, and whether a page is kept from before "
    "the running release.",
)
certificates = group(
    "certificates",
    "Look at the whole chain of certificates: trusted, for this host, and until when.",
)
logs = group(
    "logs", "Read errors and warnings of every service, grouped by pattern, new ones marked."
)
terraform = group("terraform", "Look whether somebody holds the Terraform state, and who.")
