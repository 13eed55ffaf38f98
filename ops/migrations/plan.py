"""`inv db.*`: look where the database stands, show what there is to do, ask before rows are lost,
run it, say where it stands then.

Nobody holds the lock while thinking: the engine is told which revision was shown, and refuses where
the database has moved since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.aws import session
from ops.core import ui
from ops.core.errors import Refused
from ops.migrations import snapshot as migrations_snapshot
from ops.migrations.rules import called_code, cascades, declared_relations
from ops.migrations.rules import data_loss as rules
from ops.migrations.rules.data_loss import Loss
from ops.migrations.rules.implied_locks import written
from ops.migrations.rules.statements import readable
from ops.postgres import access
from ops.postgres.access import DatabaseAccess, Direction, MigrationOutcome, Revision

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

BASE = "base"

__all__ = [
    "Direction",
    "MigrationPlan",
    "MigrationTarget",
    "RevisionStatus",
    "RunOptions",
    "RunResult",
    "confirm_plan",
    "describe_status",
    "history",
    "ping",
    "plan",
    "revision_status",
    "run",
]


@dataclass(frozen=True)
class MigrationTarget:
    """One environment's database, and the project's revisions."""

    settings: Settings
    door: DatabaseAccess

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings) -> Iterator[MigrationTarget]:
        """Reached while this holds. Raises ConfigError (no database), Refused (no such secret), and
        what the bastion says.
        """
        with access.open_database(settings, lambda: session.connect(settings)) as door:
            yield cls(settings, door)


@dataclass(frozen=True)
class RunOptions:
    """The limits of one call, in seconds; None: the configured ones.

    `accept_edit`: a revision whose edit is accepted.
    """

    timeout_s: float | None = None
    wait_s: float | None = None
    accept_edit: str | None = None


@dataclass(frozen=True)
class RevisionStatus:
    """Where a database is, where this checkout leads, and what is between."""

    revision: str | None
    head: str | None
    pending: tuple[Revision, ...]

    def as_document(self) -> dict[str, Any]:
        """The shape that `db.current --json` prints."""
        return {
            "revision": self.revision,
            "head": self.head,
            "pending": [each.id for each in self.pending],
        }

    def as_text(self) -> str:
        lines = [f"at {self.revision or 'no revision'}, head is {self.head or 'none'}"]
        return "\n".join(
            [*lines, *(f"  pending {each}" for each in self.pending)]
            if self.pending
            else [*lines, "  nothing is pending"]
        )


def revision_status(place: MigrationTarget) -> RevisionStatus:
    """Read now. Raises Refused for a database that this checkout does not know, and for several
    heads.
    """
    scripts, at = place.door.scripts, access.current(place.door)
    with access.translate_errors(place.door.target):
        head = scripts.head
    return RevisionStatus(at, head, access.pending(place.door, scripts, at))


@dataclass(frozen=True)
class MigrationPlan:
    """What one call would do: from where to where, its revisions with their SQL, and what is lost
    on the way.
    """

    direction: Direction
    at: str | None
    to: str
    steps: tuple[tuple[Revision, str, str | None], ...]
    losses: tuple[Loss, ...] = ()
    called: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # functions, by revision
    snapshot: str | None = None  # of this RDS instance, before anything is done
    scripts: Any = field(
        default=None, repr=False, compare=False
    )  # as they were when it was planned

    @property
    def loses_rows(self) -> bool:
        return any(loss.matters for loss in self.losses)

    def as_document(self) -> dict[str, Any]:
        """The shape that `--plan --json` prints: `plan` as everywhere, and the SQL."""
        name = self.direction
        done = [
            {"verb": name, "says": f"{name.capitalize()} {each}", "undo": self.undo(each)}
            for each, _, _ in self.steps
        ]
        first = (
            [
                {
                    "verb": "snapshot",
                    "says": f"Take a snapshot of RDS instance {self.snapshot}",
                    "undo": None,
                }
            ]
            if self.snapshot
            else []
        )
        return {
            "plan": [*first, *done],
            "from": self.at,
            "to": None if self.to == BASE else self.to,
            "losses": [loss.as_document() for loss in self.losses],
            "sql": [
                {"revision": each.id, "sql": text, "problem": problem}
                for each, text, problem in self.steps
            ],
        }

    def undo(self, each: Revision) -> str | None:
        return f"inv db.downgrade takes {each.id} back" if self.direction == "upgrade" else None

    def as_sql(self) -> str:
        missing = "\n-- the rest can't be printed without a database: "
        parts = [
            f"-- {self.direction} {each}\n{text.strip()}" + (missing + problem if problem else "")
            for each, text, problem in self.steps
        ]
        return "\n\n".join(parts) or "-- nothing to do"

    def as_text(self) -> str:
        """What would be done, in order."""
        todo = [f"  to do: {self.direction} {each}" for each, _, _ in self.steps]
        return "\n".join(
            [f"  to do: snapshot of RDS instance {self.snapshot}", *todo] if self.snapshot else todo
        )

    def costs(self) -> str:
        """What is lost."""
        return "\n".join(f"  {loss.as_text()}" for loss in self.losses)


def plan(place: MigrationTarget, direction: Direction, to: str | None) -> MigrationPlan:
    """What an upgrade or a downgrade would do now; nothing is changed. Raises ConfigError (unknown
    revision) and Refused.
    """
    door = place.door
    scripts, at = door.scripts, access.current(door)
    with access.translate_errors(door.target):
        scripts.check_database(at)
        goal = scripts.known(to) if to else default_goal(scripts, direction, at)
    steps = access.sql(door, scripts, direction, goal, at)
    by_code, called = losses_by_code(door, steps)
    losses = (*count_lost_rows(door, steps), *by_code)
    planned = MigrationPlan(direction, at, goal, steps, losses, called, scripts=scripts)
    needed = planned.loses_rows and migrations_snapshot.snapshot_before_data_loss(place.settings)
    return (
        replace(planned, snapshot=migrations_snapshot.configured(place.settings))
        if needed
        else planned
    )


def default_goal(scripts: Any, direction: Direction, at: str | None) -> str:
    if direction == "upgrade":
        return scripts.head or BASE
    if at is None:
        raise Refused(
            "db.downgrade",
            "no revision is applied: there is nothing to take back",
            "see: inv db.history",
        )
    return str(scripts.before(at.split(",")[0]))


def count_lost_rows(
    door: DatabaseAccess, steps: tuple[tuple[Revision, str, str | None], ...]
) -> tuple[Loss, ...]:
    """What these revisions drop, with the rows that are there now; what only the plan itself makes
    is left out.
    """
    found: list[Loss] = []
    for each, text, problem in steps:
        unwritten = (problem or "").startswith(
            rules.UNWRITTEN
        )  # it does nothing, and is refused when it runs
        if rules.may_drop(text) or (problem and not unwritten):
            found += rules.losses(each.id, access.statements(text), None if unwritten else problem)
    if not found:
        return ()
    answers = access.count(door, tuple(loss.question for loss in found))
    new_names = rules.renamed(
        statement
        for _, text, _ in steps
        if "RENAME" in text.upper()
        for statement in access.statements(text)
    )
    kept = [
        loss.counted(answer.rows, answer.why)
        for loss, answer in zip(found, answers, strict=True)
        if answer != access.ABSENT or not rules.created_meanwhile(loss, new_names)
    ]
    return with_cascades(door, kept, {each.id: text for each, text, _ in steps})


def losses_by_code(
    door: DatabaseAccess, steps: tuple[tuple[Revision, str, str | None], ...]
) -> tuple[tuple[Loss, ...], dict[str, tuple[str, ...]]]:
    """The losses by functions, triggers and rules that run; and the functions, by revision."""
    scripts = {each.id: readable(text) or () for each, text, _ in steps}
    every = [statement for statements in scripts.values() for statement in statements]
    tables = declared_relations.tables(scripts) | written(tuple(every))
    runs_code = any(
        each.kind == "DoStmt" or any(True for _ in called_code.calls(each)) for each in every
    )
    if not tables and not runs_code:
        return (), {}
    around = access.relations(door, tuple(sorted(tables)))
    by_revision = declared_relations.by_revision(around, scripts)
    built_in, stored = access.functions(door)
    known = called_code.KnownFunctions.of(built_in, (*stored, *called_code.declared(every)))
    found = [
        loss
        for revision, statements in scripts.items()
        for loss in called_code.losses(revision, statements, known, by_revision[revision])
    ]
    called = {
        revision: called_code.code_of(statements, known) for revision, statements in scripts.items()
    }
    return tuple(dict.fromkeys(found)), called


def with_cascades(
    door: DatabaseAccess, losses: list[Loss], sql: Mapping[str, str]
) -> tuple[Loss, ...]:
    """The losses, each followed by those that its foreign keys cause, with triggers considered."""
    tables = tuple(dict.fromkeys(loss.removal.table for loss in losses if loss.removal))
    if not tables:
        return tuple(losses)
    scripts = {revision: readable(text) or () for revision, text in sql.items()}
    around = access.relations(door, (*tables, *sorted(declared_relations.tables(scripts))))
    by_revision = declared_relations.by_revision(around, scripts)
    every: list[Loss] = []
    for loss in losses:
        more = tuple(cascades.losses(loss, by_revision[loss.revision]))
        answers = access.count(door, tuple(each.question for each in more)) if more else ()
        pairs = zip(more, answers, strict=True)
        every += [loss, *(each.counted(answer.rows, answer.why) for each, answer in pairs)]
    return tuple(cascades.lower_bound(loss, by_revision[loss.revision]) for loss in every)


def confirm_plan(place: MigrationTarget, planned: MigrationPlan, *, yes: bool) -> None:
    """Show what is lost; a protected environment's name must be typed, any environment's where rows
    would be lost. Raises Refused.
    """
    name = place.settings.name
    for line in planned.costs().splitlines():
        ui.progress(line)
    what = (
        f"{planned.direction} {place.door.target.where} from {planned.at or BASE} to {planned.to}"
    )
    if place.settings.environment.protected:
        what += why_not_verified(place, planned)
    if planned.loses_rows or place.settings.environment.protected:
        ui.confirm(f"{what}{': rows are lost' if planned.loses_rows else ''}", yes=yes, typed=name)


def why_not_verified(place: MigrationTarget, planned: MigrationPlan) -> str:
    """What there is to say before a protected environment goes to revisions that `db.verify` has
    not passed; empty where it has.
    """
    from ops.migrations import verify_records
    from ops.postgres import dump

    if planned.direction == "downgrade":
        return ""
    server = dump.server_major_version(place.door)
    why = verify_records.not_verified(place.settings, Path(place.door.target.folder), server)
    if why:
        ui.progress(f"  not verified: {why} (inv db.verify)")
    return f", not verified: {why}" if why else ""


@dataclass(frozen=True)
class RunResult:
    """A run's end."""

    outcome: MigrationOutcome
    mode: str

    def as_document(self) -> dict[str, Any]:
        """The shape that `db.upgrade --json` and `db.downgrade --json` print."""
        it = self.outcome
        applied = [each.as_document() for each in it.applied]
        return {
            "from": it.before,
            "to": it.after,
            "applied": applied,
            "mode": self.mode,
            "run": it.run,
        }

    def as_text(self) -> str:
        it = self.outcome
        done = f"{len(it.applied)} done" if it.applied else "nothing to do"
        return f"at {it.after or 'no revision'}: {done}"


def run(
    place: MigrationTarget,
    planned: MigrationPlan,
    asked: RunOptions,
    say: Callable[[str], None] = ui.progress,
) -> RunResult:
    """Do what was planned and agreed to. Raises what the engine means, three lines each."""
    outcome = access.migrate(
        place.door,
        planned.direction,
        planned.to,
        shown=planned.at,
        say=say,
        timeout_s=asked.timeout_s,
        wait_s=asked.wait_s,
        accepted=asked.accept_edit,
        scripts=planned.scripts,
    )
    return RunResult(outcome, "local" if place.door.mode == "local" else "tunnel")


def ping(place: MigrationTarget) -> dict[str, Any]:
    """SELECT 1, and what answered."""
    found = access.ping(place.door)
    return {
        "environment": place.settings.name,
        "reachable": True,
        "database": place.door.target.where,
        **vars(found),
    }


def history(place: MigrationTarget, limit: int) -> list[dict[str, Any]]:
    """The last runs, newest first."""
    return access.history(place.door, limit)


def describe_status(entry: dict[str, Any]) -> str:
    """One run of the history, and its revisions below."""
    to = entry["to"] or (BASE if entry["ended_at"] else "?")  # without an end it is not known
    head = (
        f"{entry['began_at']:%Y-%m-%d %H:%M:%S} {entry['verb']} {entry['result']}: "
        f"{entry['from'] or BASE} → {to}"
    )
    lines = [f"{head}, by {entry['by']}@{entry['host']} (run {entry['run']})"]
    for step in entry["steps"]:
        problem = f": {step['message']}" if step["message"] else ""
        lines.append(
            f"    {step['direction']} {step['revision']} {step['result']} in "
            f"{step['took_s']:.2f} s{problem}"
        )
    return "\n".join(lines)
