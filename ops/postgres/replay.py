"""A database's schema, and the schema that its revisions create on a scratch PostgreSQL.

Replays are cached by the content of the revisions.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ops.core import files, host_identity
from ops.core.text import format_count
from ops.migrator import catalog
from ops.migrator.model import RunIdentity
from ops.postgres import access, fingerprint
from ops.postgres.access import DatabaseAccess, MigrationOutcome, Revision
from ops.postgres.dump import session
from ops.postgres.model import DatabaseSchema, SchemaObject
from ops.postgres.server import likeness, scratch
from ops.postgres.server.likeness import SessionSettings

_CACHE = ".ops/replays"
_FORMAT = 1  # raise it where `catalog` reads otherwise


@dataclass(frozen=True)
class LiveSchema:
    """A database's schema, its digest, the server's major version, and a session's settings."""

    schema: DatabaseSchema
    digest: str
    major: int
    settings: SessionSettings


@dataclass(frozen=True)
class Replay:
    """The schema that revisions create on a server of version `major`."""

    schema: DatabaseSchema
    major: int


def read_live(door: DatabaseAccess) -> LiveSchema:
    """Read the schema now; read-only. Raises Unreachable."""
    with access.read_session(door) as opened:
        rows = catalog.read(opened)
        major = int(opened.info.server_version) // 10000
    return LiveSchema(_to_schema(rows), catalog.digest(rows), major, likeness.read_settings(door))


def _to_schema(rows: Sequence[Sequence[Any]]) -> DatabaseSchema:
    found = (SchemaObject(str(row[0]), str(row[1]), str(row[2]), tuple(row[3])) for row in rows)
    return {piece.key: piece for piece in found}


def replay(
    folder: Path,
    root: Path,
    every: Sequence[Revision],
    wanted: int,
    say: Callable[[str], None],
    live: SessionSettings | None = None,
) -> tuple[Replay, ...]:
    """The schema after each of these revisions, which begin with the first one. Raises OpsError.

    `live`: the settings of the environment's sessions, such as search_path. The schemas come from
    the cache if it has all of them.
    """
    digests = (
        fingerprint.of_files(folder, [each.file for each in every[: n + 1]])
        for n in range(len(every))
    )
    settings = hashlib.sha256(repr(live).encode()).hexdigest()[:8]
    kept = [root / _CACHE / f"{digest}-{settings}-{wanted}-{_FORMAT}.json" for digest in digests]
    known = [_read_cache(path) for path in kept]
    found = [each for each in known if each]
    if len(found) == len(every):
        return tuple(found)
    made = tuple(_run_revisions(folder, every, wanted, say, live))
    for path, (major, rows) in zip(kept, made, strict=True):
        with suppress(OSError):
            files.write_json(path, {"major": major, "rows": rows})
    return tuple(Replay(_to_schema(rows), major) for major, rows in made)


def adopt(
    door: DatabaseAccess,
    revision: str,
    digest: str,
    *,
    say: Callable[[str], None],
    wait_s: float | None = None,
) -> MigrationOutcome:
    """Record `revision` if the schema still has this digest.

    Raises Refused (already recorded, changed since, another run is active).
    """
    from ops.migrator.adopt import adopt as run

    who = RunIdentity(host_identity.owner(), host_identity.host(), "db.adopt", secrets.token_hex(4))
    limits = door.limits if wait_s is None else replace(door.limits, wait_s=wait_s)
    with access.translate_errors(door.target):
        return run(door.target, revision, digest, who, limits, say=say)


def _read_cache(path: Path) -> Replay | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Replay(_to_schema(document["rows"]), document["major"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _run_revisions(
    folder: Path,
    every: Sequence[Revision],
    wanted: int,
    say: Callable[[str], None],
    live: SessionSettings | None,
) -> Iterator[tuple[int, list[catalog.Row]]]:
    with scratch.cluster(folder, wanted) as own:
        say(f"  replaying {format_count(len(every), 'revision')} on {own}")
        door, at = scratch.prepare(own, live), None
        for each in every:
            at = access.migrate(door, "upgrade", each.id, shown=at, say=lambda _line: None).after
            with session(door) as opened:
                yield own.major, catalog.read(opened)
