"""The state of a database: its revision, pending revisions, past runs, and whether it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ops.core.result import Report
from ops.core.text import format_duration
from ops.migrations.target import BASE, MigrationTarget
from ops.postgres import access
from ops.postgres.access import Revision


@dataclass(frozen=True)
class RevisionStatus:
    """The database's revision, this checkout's head, and the revisions between them.

    Several revisions or heads are joined by commas.
    """

    revision: str | None
    head: str | None
    pending: tuple[Revision, ...]

    def as_document(self) -> dict[str, Any]:
        """The fields of the revision in the document that `db.current --json` prints."""
        return {
            "revision": self.revision,
            "head": self.head,
            "pending": [revision.id for revision in self.pending],
        }

    def as_text(self) -> str:
        heads = "heads are" if self.head and "," in self.head else "head is"
        first = f"at {self.revision or 'no revision'}, {heads} {self.head or 'none'}"
        pending = [f"  pending {revision}" for revision in self.pending]
        return "\n".join([first, *(pending or ["  nothing is pending"])])


def revision_status(target: MigrationTarget) -> RevisionStatus:
    """Read the database's revision.

    Raises Refused for a revision that this checkout does not have.
    """
    database = target.database
    if not database.has_revisions:
        return RevisionStatus(access.current(database), None, ())
    scripts, at = database.scripts, access.current(database)
    return RevisionStatus(at, scripts.newest, access.pending(database, scripts, at))


@dataclass(frozen=True)
class PendingRevisions:
    """The revisions that are not yet applied, oldest first; the result of `db.pending`."""

    revisions: tuple[Revision, ...]

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.pending --json` prints."""
        return {"pending": [revision.as_document() for revision in self.revisions]}

    @property
    def text(self) -> str:
        return "\n".join(str(revision) for revision in self.revisions) or "nothing is pending"


def pending(target: MigrationTarget) -> PendingRevisions:
    """Read the pending revisions. Raises Refused, as `revision_status` does."""
    return PendingRevisions(revision_status(target).pending)


@dataclass(frozen=True)
class RunHistory:
    """The most recent runs, newest first; the result of `db.history`."""

    runs: list[dict[str, Any]]

    exit_code: ClassVar[int] = 0

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.history --json` prints."""
        return {"runs": self.runs}

    @property
    def text(self) -> str:
        return "\n".join(map(format_run, self.runs)) or "nothing was migrated from here"


def history(target: MigrationTarget, limit: int) -> RunHistory:
    """Read the most recent runs from the audit."""
    return RunHistory(access.history(target.database, limit))


def ping(target: MigrationTarget) -> Report:
    """Run SELECT 1, and report the way, the server's version, the user and the TLS version."""
    answer = access.ping(target.database)
    way = target.database.route.way if target.database.route else ""
    document = {
        "environment": target.settings.name,
        "reachable": True,
        "database": target.where,
        "way": way,
        **vars(answer),
    }
    through = f" {way}" if way else ""
    text = (
        f"{target.where} answers{through} in {format_duration(answer.took_s)}: "
        f"PostgreSQL {answer.server}, {answer.tls or 'without TLS'}, as {answer.user}"
    )
    if answer.read_only:
        text += f"\nread-only: {answer.read_only}"
    return Report(document, text)


def format_run(run: dict[str, Any]) -> str:
    """One run of the history, with a line for each of its revisions."""
    to = run["to"] or (BASE if run["ended_at"] else "?")  # unknown for a run without an end
    head = (
        f"{run['began_at']:%Y-%m-%d %H:%M:%S} {run['verb']} {run['result']}: "
        f"{run['from'] or BASE} → {to}"
    )
    lines = [f"{head}, by {run['by']}@{run['host']} (run {run['run']})"]
    for step in run["steps"]:
        problem = f": {step['message']}" if step["message"] else ""
        lines.append(
            f"    {step['direction']} {step['revision']} {step['result']} in "
            f"{step['took_s']:.2f} s{problem}"
        )
    return "\n".join(lines)
