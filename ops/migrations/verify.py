"""`inv db.verify`: run every revision up, down and up again on a scratch database.

Each time, the schema's dump must be the same as before. The default is a scratch PostgreSQL of the
RDS engine's major version, if it is installed here, with the database's name and the settings of
its sessions: that server is only read, so a protected environment's revisions are verified too.
`--on-server` uses a scratch database on the configured server, with its version, extensions and
roles; it is refused for a protected environment. The downgrade of a revision that declares
`keeps_data` must also restore the rows of the tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.aws import rds, session
from ops.core import ui
from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.core.terminal.step import step
from ops.core.text import format_count, format_error
from ops.migrations import verify_records
from ops.migrations.rules.dump_diff import differences
from ops.migrations.rules.row_diff import row_differences
from ops.migrations.target import BASE, MigrationTarget, read_session_settings
from ops.postgres import access, dump, facts, fingerprint
from ops.postgres import rows as postgres_rows
from ops.postgres.access import DatabaseAccess, Direction, Revision
from ops.postgres.server import likeness, scratch

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class RevisionVerdict:
    """The problems of one revision's upgrade and downgrade; none if it is verified."""

    revision: Revision
    problems: tuple[str, ...]
    took_s: float

    def as_document(self) -> dict[str, Any]:
        return {
            "revision": self.revision.id,
            "ok": not self.problems,
            "problems": list(self.problems),
            "took_s": round(self.took_s, 3),
        }

    def as_text(self) -> str:
        first = f"  {'FAILED' if self.problems else 'ok    '} {self.revision}"
        return "\n".join([first, *(f"      {problem}" for problem in self.problems)])


@dataclass(frozen=True)
class VerifyReport:
    """The verdicts of all revisions, on PostgreSQL `server` (major version)."""

    server: int
    revisions: tuple[RevisionVerdict, ...]
    content: str = ""
    on: str = ""

    @property
    def ok(self) -> bool:
        return not any(verdict.problems for verdict in self.revisions)

    @property
    def exit_code(self) -> int:
        return 0 if self.ok else 1

    @property
    def document(self) -> dict[str, Any]:
        """The document that `db.verify --json` prints."""
        return {
            "verified": self.ok,
            "server": self.server,
            "on": self.on,
            "content": self.content,
            "revisions": [verdict.as_document() for verdict in self.revisions],
        }

    @property
    def text(self) -> str:
        """The summary; the verdicts were printed one by one."""
        count, failed = len(self.revisions), sum(1 for each in self.revisions if each.problems)
        revisions = format_count(count, "revision")
        return f"{failed} of {revisions} failed" if failed else f"{revisions} verified"


def verify(
    settings: Settings, major: int | None = None, progress: Callable[[str], None] = ui.progress
) -> VerifyReport:
    """Verify every revision on a scratch PostgreSQL, and store the result for upgrades.

    Raises OpsError (no PostgreSQL here), ConfigError (no revisions, or `major` not installed).
    """
    folder = facts.require_scripts(settings.root, settings.environment.migrations)
    wanted = major or _engine_version(settings)
    content = fingerprint.of_folder(folder)
    live = read_session_settings(settings, progress)
    with ExitStack() as stack:
        with step("starting a scratch PostgreSQL server"):
            own = stack.enter_context(scratch.cluster(folder, wanted))
        if major and own.major != major:
            raise ConfigError(
                f"--postgres-version {major}",
                f"it is not installed here; there is {own}",
                "leave --postgres-version out, or install that PostgreSQL",
            )
        other = wanted not in (None, own.major)
        progress(
            f"on {own}"
            + (f"; the database is PostgreSQL {wanted}, not installed here" if other else "")
        )
        scratch.prepare(own)

        @contextmanager
        def fresh() -> Iterator[DatabaseAccess]:
            if live is None:
                with dump.scratch_database(own.door) as database:
                    yield database
            else:
                yield likeness.new_database(own.door, scratch.revision_names(own.door), live)

        report = replace(_verify_revisions(own.door, fresh, progress), content=content, on=str(own))
    if fingerprint.of_folder(folder) == content:  # no revision was edited meanwhile
        verify_records.store(settings, content, report.document)
    return report


def verify_on_server(
    target: MigrationTarget, progress: Callable[[str], None] = ui.progress
) -> VerifyReport:
    """Verify every revision in a scratch database on the environment's server.

    Raises Refused (protected, no pg_dump, no right to create a database).
    """
    name = target.settings.name
    if target.settings.environment.protected:
        raise Refused(
            f"db.verify --on-server creates a scratch database, and {name} is protected",
            "no experiments on its server",
            "inv db.verify",
        )
    names, live = scratch.revision_names(target.database), likeness.read_settings(target.database)

    @contextmanager
    def fresh() -> Iterator[DatabaseAccess]:
        with dump.scratch_database(target.database) as database:
            likeness.apply_settings(database, names, live)
            yield database

    report = _verify_revisions(target.database, fresh, progress)
    return replace(report, on=f"a scratch database beside {target.where}")


def _engine_version(settings: Settings) -> int | None:
    """The major version that RDS runs; None if it is unknown."""
    configured = settings.environment.database
    if configured is None or not configured.instance:
        return None
    try:
        return rds.instance(session.connect(settings), configured.instance).major
    except OpsError as problem:
        ui.progress(f"the database's PostgreSQL version is unknown: {problem.why}")
        return None


def _verify_revisions(
    database: DatabaseAccess,
    fresh: Callable[[], AbstractContextManager[DatabaseAccess]],
    progress: Callable[[str], None],
) -> VerifyReport:
    """Verify all revisions; after one with problems, go on in a `fresh` scratch database."""
    major = dump.server_major_version(database)
    program = dump.find_pg_dump(major)
    with access.translate_errors(database.target):
        scripts = database.scripts
        revisions = scripts.between("upgrade", scripts.newest or BASE, None)
    verdicts: list[RevisionVerdict] = []
    while len(verdicts) < len(revisions):
        with fresh() as own:
            for head in scripts.heads_among([each.id for each in revisions[: len(verdicts)]]):
                _migrate_to(own, "upgrade", head)
            for revision in revisions[len(verdicts) :]:
                undo = scripts.undo_goal(revision.id)
                with step(f"verifying {revision.id}: up, down, up again"):
                    verdicts.append(_verify_revision(own, program, revision, undo))
                progress(verdicts[-1].as_text())
                if verdicts[-1].problems:
                    break
    return VerifyReport(major, tuple(verdicts))


def _verify_revision(
    own: DatabaseAccess, program: Path, revision: Revision, undo: str
) -> RevisionVerdict:
    """Run one revision up, down and up again; each difference or failure is a problem.

    `undo`: the goal of the downgrade.
    """
    began = time.monotonic()
    problems: list[str] = []
    try:
        for problem in _round_trip(own, program, revision, undo):
            problems.append(problem)  # kept if a later step fails
    except Unreachable:  # the server or pg_dump failed, not the revision
        raise
    except OpsError as error:
        problems.append(format_error(error))
    return RevisionVerdict(revision, tuple(problems), time.monotonic() - began)


def _round_trip(own: DatabaseAccess, program: Path, revision: Revision, undo: str) -> Iterator[str]:
    """The differences of schema and rows after the downgrade and after the second upgrade."""
    keeps_data = postgres_rows.keeps_data(own, revision.id)
    if isinstance(keeps_data, str):
        postgres_rows.insert_rows(own, keeps_data)
    rows = postgres_rows.read_rows(own) if keeps_data else {}
    schema_before = dump.dump_schema(own, program)
    _migrate_to(own, "upgrade", revision.id)
    schema_after = dump.dump_schema(own, program)
    _migrate_to(own, "downgrade", undo)
    for difference in differences(schema_before, dump.dump_schema(own, program)):
        yield f"after the downgrade {difference}"
    if keeps_data:
        for difference in row_differences(rows, postgres_rows.read_rows(own)):
            yield f"after the downgrade {difference}"
    _migrate_to(own, "upgrade", revision.id)
    for difference in differences(schema_after, dump.dump_schema(own, program)):
        yield f"after the second upgrade {difference}"


def _migrate_to(own: DatabaseAccess, direction: Direction, to: str) -> None:
    access.migrate(own, direction, to, shown=access.current(own), say=lambda _line: None)
