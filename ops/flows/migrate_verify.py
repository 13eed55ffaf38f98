"""`inv db.verify`: every revision up, back and up again on a scratch database, with the schema's dump equal before and after.

The scratch database lies beside the configured one, so that the server's version and roles are the true ones, and only in an environment
that is not protected: a production server is no place for experiments.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops import ui
from ops.adapters import postgres, postgres_dump
from ops.adapters.postgres import Direction, Door, Revision
from ops.errors import OpsError, Refused
from ops.flows.migrate import BASE, Place
from ops.rules.migrations_dump import differences


@dataclass(frozen=True)
class Verified:
    """One revision's way there and back."""

    revision: Revision
    problems: tuple[str, ...]
    took_s: float

    def as_document(self) -> dict[str, Any]:
        return {"revision": self.revision.id, "ok": not self.problems, "problems": list(self.problems), "took_s": round(self.took_s, 3)}

    def as_text(self) -> str:
        return "\n".join([f"  {'FAILED' if self.problems else 'ok    '} {self.revision}", *(f"      {each}" for each in self.problems)])


@dataclass(frozen=True)
class Verdicts:
    """All revisions'."""

    server: int
    revisions: tuple[Verified, ...]

    @property
    def well(self) -> bool:
        return not any(each.problems for each in self.revisions)

    def as_document(self) -> dict[str, Any]:
        """The shape that `db.verify --json` prints."""
        return {"verified": self.well, "server": self.server, "revisions": [each.as_document() for each in self.revisions]}

    def as_text(self) -> str:
        lines = [each.as_text() for each in self.revisions]
        failed = sum(1 for each in self.revisions if each.problems)
        return "\n".join([*lines, f"{failed} of {len(lines)} revisions failed" if failed else f"{len(lines)} revisions go there and back"])


def verify(place: Place, say: Callable[[str], None] = ui.say) -> Verdicts:
    """Every revision on this environment's server. Raises Refused (protected, no pg_dump, no right to make a database)."""
    if place.settings.environment.protected:
        what = f"db.verify makes a scratch database, and {place.settings.name} is protected"
        raise Refused(what, "its server is no place for experiments", "INVOKE_ENV=sandbox inv db.verify")
    return verified(place.door, say)


def verified(door: Door, say: Callable[[str], None]) -> Verdicts:
    """A problem spoils what comes after it, so the revisions after it go on in a new scratch database."""
    major = postgres_dump.server_major(door)
    program = postgres_dump.pg_dump(major)
    with postgres.translated(door.target):
        scripts = door.scripts
        every = scripts.between("upgrade", scripts.head or BASE, None)
    found: list[Verified] = []
    while len(found) < len(every):
        with postgres_dump.scratch(door) as own:
            if found:
                go(own, "upgrade", every[len(found) - 1].id)
            for position in range(len(found), len(every)):
                found.append(there_and_back(own, program, every[position], every[position - 1].id if position else BASE))
                say(found[-1].as_text())
                if found[-1].problems:
                    break
    return Verdicts(major, tuple(found))


def there_and_back(own: Door, program: Path, revision: Revision, before: str) -> Verified:
    """Up, back, up: each step's failure, or each object in which the schema is not what it was, is a problem."""
    began = time.monotonic()
    problems: list[str] = []
    try:
        empty = postgres_dump.schema(own, program)
        go(own, "upgrade", revision.id)
        full = postgres_dump.schema(own, program)
        go(own, "downgrade", before)
        problems += [f"after the downgrade {each}" for each in differences(empty, postgres_dump.schema(own, program))]
        go(own, "upgrade", revision.id)
        problems += [f"after the second upgrade {each}" for each in differences(full, postgres_dump.schema(own, program))]
    except OpsError as error:
        problems.append(f"{error.what}: {error.why}")
    return Verified(revision, tuple(problems), time.monotonic() - began)


def go(own: Door, direction: Direction, to: str) -> None:
    postgres.migrate(own, direction, to, shown=postgres.current(own), say=lambda _line: None)
