"""`troubleshoot.*`: find the cause of what is wrong now (runbook 7).

Every task collects the same evidence and applies the same rules; the topic only says what was asked
about.
"""

from __future__ import annotations

from typing import Any

from ops.tasks.shared import Session, ops_task

HELP = {
    "save": "Write the evidence to this new folder, without secrets.",
    "from": "Diagnose the evidence in this folder (written by --save) instead of the platform.",
}


def _troubleshoot(session: Session, topic_name: str, save: str | None, source: str | None) -> None:
    from pathlib import Path

    from ops.diagnosis import archive
    from ops.diagnosis.collect import collect
    from ops.diagnosis.diagnose import diagnose
    from ops.diagnosis.result import DiagnosisResult
    from ops.diagnosis.rules import topics
    from ops.platform import Platform

    if save:
        archive.check_target(Path(save))
    snapshot = archive.load(Path(source)) if source else collect(Platform.of(session.settings))
    if save:
        archive.save(snapshot, Path(save))
    session.report(DiagnosisResult(diagnose(snapshot), getattr(topics, topic_name)))


def _topic(name: str, topic: str, doc: str) -> Any:
    def body(session: Session, save: str | None = None, from_: str | None = None) -> None:
        _troubleshoot(session, topic, save, from_)

    body.__doc__ = doc
    return ops_task(options=("json",), help=HELP, name=name)(body)


everything = _topic("all", "ALL", "Find the causes of whatever is wrong now, root causes first.")
tasks = _topic("tasks", "TASKS", "Find out why tasks fail to start or to stay healthy.")
gateway = _topic("gateway", "GATEWAY", "Find out why pages answer 502, 503 or 504.")
stale = _topic("stale", "STALE", "Find out why the CDN serves old content.")
database = _topic("database", "DATABASE", "Find out why the database is not available or slow.")
lock = _topic(
    "lock", "LOCK", "Find out who holds Terraform's state lock, and whether it still runs."
)
