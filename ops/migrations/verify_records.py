"""What `db.verify` found is kept with the release records and here, so that an upgrade elsewhere
can ask for it.

The key is the revisions' content and the PostgreSQL's major version: neither the commit (the same
revisions on another branch are as proved as before, and an edited one is not) nor the environment,
since it was none of an environment's that they were proved on. The commit stands in the record for
people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.aws import s3, session
from ops.core import files, host_identity, ui
from ops.core.errors import OpsError
from ops.core.text import format_error
from ops.postgres import fingerprint
from ops.tools import git

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

FOLDER = ".ops/verified"
MAJORS = 10  # of PostgreSQL that anybody verifies on


def name(content: str, server: object) -> str:
    return f"{content}-{server}.json"


def prefix(settings: Settings) -> str:
    state = settings.environment.state
    return f"{state.prefix if state else 'ops'}/verified/"


def store(settings: Settings, content: str, document: dict[str, Any]) -> None:
    """Write it to the state's bucket, and here for this checkout's other environments. Never
    raises: it must not spoil the verdict.
    """
    about = {
        "content": content,
        "commit": commit(settings.root),
        "at": datetime.now(UTC),
        "by": host_identity.owner(),
        "host": host_identity.host(),
    }
    record, called = {**about, **document}, name(content, document["server"])
    text = json.dumps(record, default=ui.jsonable)
    path: Path | None = settings.root / FOLDER / called
    try:
        files.write_atomic(settings.root / FOLDER / called, text)
    except OSError as error:
        path = None
        ui.progress(f"the verdict could not be stored in {settings.root / FOLDER}: {error}")
    state = settings.environment.state
    try:
        if state is None:
            raise OpsError("not stored", "the environment names no state bucket (state.bucket)")
        cloud = session.connect(settings)
        s3.put(cloud, state.bucket, prefix(settings) + called, json.loads(text), {})
        if path:
            with suppress(OSError):
                sent = json.dumps({**record, "sent": True}, default=ui.jsonable)
                files.write_atomic(path, sent)
    except OpsError as problem:
        where = f"stored in {path} only" if path else "not stored anywhere"
        ui.progress(f"the verdict is {where}: {problem.why}")


def commit(root: Path) -> str | None:
    """The commit that is checked out; None without git."""
    try:
        return git.resolved(git.toplevel(root), "HEAD")
    except OpsError:
        return None


def not_verified(settings: Settings, folder: Path, server: int) -> str | None:
    """Why these revisions do not count as verified on PostgreSQL `server` (its major version); None
    where they do.
    """
    content, problem = fingerprint.of_folder(folder), ""
    records: list[Mapping[str, Any]] = [
        record
        for path in (settings.root / FOLDER).glob(name(content, "*"))
        if _is_verdict(record := files.read_json(path))
    ]
    try:
        records += stored(settings, content)
    except OpsError as error:
        problem = f"; {format_error(error)}"
    mine = [record for record in records if record.get("server") == server]
    if any("written" in record for record in mine):
        # one that was sent from here is the bucket's, or was overwritten there since
        mine = [record for record in mine if not record.get("sent") or "written" in record]
    if mine:
        newest = max(mine, key=lambda record: str(record.get("written") or record.get("at")))
        return (
            None
            if newest.get("verified")
            else f"db.verify of these revisions failed on {newest.get('at')} ({newest.get('by')})"
        )
    others = sorted({int(record["server"]) for record in records if record.get("verified")})
    if others:
        return (
            f"db.verify of these revisions is known on PostgreSQL "
            f"{', '.join(map(str, others))} only, the database is {server}{problem}"
        )
    return f"no db.verify of these revisions is known{problem}"


def _is_verdict(record: object) -> bool:
    """Whether a file's content is a record of `db.verify`; that of a torn file is not."""
    return isinstance(record, dict) and isinstance(record.get("server"), int)


def stored(settings: Settings, content: str) -> list[Mapping[str, Any]]:
    """The state bucket's verdicts of this content, one a major version. `written`: when, by S3's
    clock: that of the machine that verified may be wrong.
    """
    state = settings.environment.state
    if state is None:
        return []
    cloud = session.connect(settings)
    keys = s3.keys(cloud, state.bucket, prefix(settings) + content, MAJORS)
    read = (s3.read(cloud, state.bucket, key) for key in keys)
    return [
        {**found.document, "written": found.written.astimezone(UTC).isoformat()}
        for found in read
        if found and _is_verdict(found.document)
    ]
