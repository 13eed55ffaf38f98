"""`lock.*`: list deploy locks, and free a lock whose holder is gone."""

from __future__ import annotations

from ops.core.result import Report
from ops.tasks.shared import Session, ops_task


@ops_task(options=("json",))
def status(session: Session) -> None:
    """Show the locks of this environment: who, when, why, and whether they are still renewed."""
    from ops.platform import Platform
    from ops.state import lock_admin as flow

    locks = flow.lock_status(Platform.of(session.settings).cloud, session.settings)
    text = "\n".join(lock.as_text() for lock in locks) or "no lock is held"
    session.report(Report({"locks": [lock.as_document() for lock in locks]}, text))


@ops_task(options=("plan", "yes", "json"), help={"name": "The lock: a service's name."})
def release(session: Session, name: str | None = None) -> None:
    """Free a lock whose holder is gone; its name must be typed."""
    from ops.platform import Platform
    from ops.state import lock_admin as flow

    locks = flow.lock_status(Platform.of(session.settings).cloud, session.settings)
    session.carry_out(flow.LockRelease(flow.find_lock(locks, name)))
