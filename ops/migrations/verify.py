"""`inv db.verify`: every revision up, back and up again on a scratch database, with the schema's
dump equal before and after.

By default on a scratch PostgreSQL of its own, of the RDS engine's major version where this machine
has it: no server is touched, so a protected environment's revisions are proved too. `--on-server`
takes a scratch database beside the configured one, where the server's own version, extensions and
roles are the true ones: not in a protected environment, whose server is no place for experiments. A
revision that says `keeps_data` must also leave the rows of the tables as they were, once it was
there and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.aws import rds, session
from ops.core import ui
from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.core.text import format_error
from ops.migrations import verify_records
from ops.migrations.plan import BASE, MigrationTarget
from ops.migrations.rules.dump_diff import differences
from ops.migrations.rules.row_diff import lost_rows
from ops.postgres import access, dump, facts, fingerprint
from ops.postgres import rows as postgres_rows
from ops.postgres.access import DatabaseAccess, Direction, Revision
from ops.postgres.server import scratch

if TYPE_CHECKING:
    from ops.core.config.settings import Settings


@dataclass(frozen=True)
class RevisionVerdict:
    """One revision's way there and back."""

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
        return "\n".join(
            [
                f"  {'FAILED' if self.problems else 'ok    '} {self.revision}",
                *(f"      {each}" for each in self.problems),
            ]
        )


@dataclass(frozen=True)
class VerifyReport:
    """All revisions'."""

    server: int
    revisions: tuple[RevisionVerdict, ...]
    content: str = ""
    on: str = ""

    @property
    def well(self) -> bool:
        return not any(each.problems for each in self.revisions)

    def as_document(self) -> dict[str, Any]:
        """The shape that `db.verify --json` prints."""
        each = [found.as_document() for found in self.revisions]
        return {
            "verified": self.well,
            "server": self.server,
            "on": self.on,
            "content": self.content,
            "revisions": each,
        }

    def as_text(self) -> str:
        lines = [each.as_text() for each in self.revisions]
        failed = sum(1 for each in self.revisions if each.problems)
        return "\n".join(
            [
                *lines,
                f"{failed} of {len(lines)} revisions failed"
                if failed
                else f"{len(lines)} revisions go there and back",
            ]
        )


def verify(
    settings: Settings, major: int | None = None, say: Callable[[str], None] = ui.progress
) -> VerifyReport:
    """Every revision on a PostgreSQL of its own; kept for the upgrade. Raises OpsError (there is
    none), ConfigError (no revisions).
    """
    folder = facts.require_scripts(settings.root)
    wanted = major or engine(settings)
    content = fingerprint.of_folder(folder)
    with scratch.cluster(folder, wanted) as own:
        if major and own.major != major:
            raise ConfigError(
                f"--postgres-version {major}",
                f"this machine has none; there is {own}",
                "leave --postgres-version out, or install that PostgreSQL",
            )
        say(
            f"on {own}"
            + (
                f"; the database is PostgreSQL {wanted}, which this machine has not"
                if wanted not in (None, own.major)
                else ""
            )
        )
        scratch.make_roles(own, scratch.revision_sql(own.door))
        found = replace(verify_revision(own.door, say), content=content, on=str(own))
    if fingerprint.of_folder(folder) == content:  # nobody edited them meanwhile
        verify_records.store(settings, content, found.as_document())
    return found


def verify_on_server(
    place: MigrationTarget, say: Callable[[str], None] = ui.progress
) -> VerifyReport:
    """Every revision on this environment's server. Raises Refused (protected, no pg_dump, no right
    to make a database).
    """
    if place.settings.environment.protected:
        name = place.settings.name
        what = f"db.verify --on-server makes a scratch database, and {name} is protected"
        raise Refused(what, "its server is no place for experiments", "inv db.verify")
    return replace(
        verify_revision(place.door, say), on=f"a scratch database beside {place.door.target.where}"
    )


def engine(settings: Settings) -> int | None:
    """The major version that RDS runs; None where it can't be asked."""
    configured = settings.environment.database
    if configured is None or not configured.instance:
        return None
    try:
        return rds.instance(session.connect(settings), configured.instance).major
    except OpsError as problem:
        ui.progress(f"which PostgreSQL the database is can't be asked: {problem.why}")
        return None


def verify_revision(door: DatabaseAccess, say: Callable[[str], None]) -> VerifyReport:
    """A problem spoils what comes after it, so the revisions after it go on in a new scratch
    database.
    """
    major = dump.server_major_version(door)
    program = dump.find_pg_dump(major)
    with access.translate_errors(door.target):
        scripts = door.scripts
        every = scripts.between("upgrade", scripts.head or BASE, None)
    found: list[RevisionVerdict] = []
    while len(found) < len(every):
        with dump.scratch_database(door) as own:
            if found:
                migrate_to(own, "upgrade", every[len(found) - 1].id)
            for position in range(len(found), len(every)):
                found.append(
                    round_trip(
                        own, program, every[position], every[position - 1].id if position else BASE
                    )
                )
                say(found[-1].as_text())
                if found[-1].problems:
                    break
    return VerifyReport(major, tuple(found))


def round_trip(
    own: DatabaseAccess, program: Path, revision: Revision, before: str
) -> RevisionVerdict:
    """Up, back, up: each step's failure, or each object in which the schema is not what it was, is
    a problem.
    """
    began = time.monotonic()
    problems: list[str] = []
    try:
        kept = postgres_rows.keeps_data(own, revision.id)
        if isinstance(kept, str):
            postgres_rows.insert_rows(own, kept)
        rows = postgres_rows.read_rows(own) if kept else {}
        empty = dump.dump_schema(own, program)
        migrate_to(own, "upgrade", revision.id)
        full = dump.dump_schema(own, program)
        migrate_to(own, "downgrade", before)
        problems += [
            f"after the downgrade {each}"
            for each in differences(empty, dump.dump_schema(own, program))
        ]
        problems += (
            [
                f"after the downgrade {each}"
                for each in lost_rows(rows, postgres_rows.read_rows(own))
            ]
            if kept
            else []
        )
        migrate_to(own, "upgrade", revision.id)
        problems += [
            f"after the second upgrade {each}"
            for each in differences(full, dump.dump_schema(own, program))
        ]
    except Unreachable:  # the server, or pg_dump: no revision's fault
        raise
    except OpsError as error:
        problems.append(format_error(error))
    return RevisionVerdict(revision, tuple(problems), time.monotonic() - began)


def migrate_to(own: DatabaseAccess, direction: Direction, to: str) -> None:
    access.migrate(own, direction, to, shown=access.current(own), say=lambda _line: None)
