"""Results of `db.verify`, stored in the state bucket and here, for upgrades elsewhere.

A result is stored under the revisions' content and PostgreSQL's major version: not under the
commit, since the same revisions on another branch are verified as well, and not under the
environment, since none of an environment's databases is involved. The record names the commit for
people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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

_FOLDER = ".ops/verified"
_MOST_VERSIONS = 10  # major versions of PostgreSQL per content


@dataclass(frozen=True)
class VerifyRecord:
    """The part of a stored result that decides whether revisions count as verified.

    `server`: PostgreSQL's major version; `at`: when, by the verifying machine's clock; `sent`: a
    local record that the bucket has as well; `written`: by S3's clock, empty for a local record.
    """

    server: int
    verified: bool
    at: str = ""
    by: str = ""
    sent: bool = False
    written: str = ""

    @classmethod
    def from_document(cls, document: object, written: str = "") -> VerifyRecord | None:
        """Read a stored document; None for any other, such as that of a torn file."""
        if not isinstance(document, Mapping) or not isinstance(document.get("server"), int):
            return None
        return cls(
            document["server"],
            bool(document.get("verified")),
            str(document.get("at")),
            str(document.get("by")),
            bool(document.get("sent")),
            written,
        )


def _file_name(content: str, server: object) -> str:
    return f"{content}-{server}.json"


def _prefix(settings: Settings) -> str:
    state = settings.environment.state
    return f"{state.prefix if state else 'ops'}/verified/"


def store(settings: Settings, content: str, document: dict[str, Any]) -> None:
    """Write a result to the state bucket, and here for this checkout's other environments.

    Never raises: the result is valid even if it can't be stored.
    """
    about = {
        "content": content,
        "commit": _commit(settings.root),
        "at": datetime.now(UTC),
        "by": host_identity.owner(),
        "host": host_identity.host(),
    }
    record, name = {**about, **document}, _file_name(content, document["server"])
    text = json.dumps(record, default=ui.jsonable)
    path: Path | None = settings.root / _FOLDER / name
    try:
        files.write_atomic(settings.root / _FOLDER / name, text)
    except OSError as error:
        path = None
        ui.progress(f"the verdict could not be stored in {settings.root / _FOLDER}: {error}")
    state = settings.environment.state
    try:
        if state is None:
            raise OpsError("not stored", "the environment has no state bucket")
        cloud = session.connect(settings)
        s3.put(cloud, state.bucket, _prefix(settings) + name, json.loads(text), {})
        if path:
            with suppress(OSError):
                sent = json.dumps({**record, "sent": True}, default=ui.jsonable)
                files.write_atomic(path, sent)
    except OpsError as problem:
        where = f"stored in {path} only" if path else "not stored anywhere"
        ui.progress(f"the verdict is {where}: {problem.why}")


def _commit(root: Path) -> str | None:
    """The commit that is checked out; None without git."""
    try:
        return git.resolved(git.toplevel(root), "HEAD")
    except OpsError:
        return None


def why_not_verified(settings: Settings, folder: Path, server: int) -> str | None:
    """Why the revisions don't count as verified on PostgreSQL `server` (major version), or None."""
    content, problem = fingerprint.of_folder(folder), ""
    records = _read_local(settings, content)
    try:
        records += _read_bucket(settings, content)
    except OpsError as error:
        problem = f"; {format_error(error)}"
    newest = _newest([record for record in records if record.server == server])
    if newest is not None:
        return (
            None
            if newest.verified
            else f"db.verify of these revisions failed on {newest.at} ({newest.by})"
        )
    others = sorted({record.server for record in records if record.verified})
    if others:
        return (
            f"db.verify of these revisions is known on PostgreSQL "
            f"{', '.join(map(str, others))} only, the database is {server}{problem}"
        )
    return f"no db.verify of these revisions is known{problem}"


def _newest(records: list[VerifyRecord]) -> VerifyRecord | None:
    """The record that counts: the bucket's, by S3's clock, before local ones that were sent."""
    if any(record.written for record in records):
        # a local record that was sent is the bucket's, or was overwritten there since
        records = [record for record in records if record.written or not record.sent]
    return max(records, key=lambda record: record.written or record.at, default=None)


def _read_local(settings: Settings, content: str) -> list[VerifyRecord]:
    """This checkout's records of this content; unreadable files are left out."""
    paths = (settings.root / _FOLDER).glob(_file_name(content, "*"))
    found = (VerifyRecord.from_document(files.read_json(path)) for path in paths)
    return [record for record in found if record]


def _read_bucket(settings: Settings, content: str) -> list[VerifyRecord]:
    """The state bucket's records of this content, one per major version.

    They have the time by S3's clock: the clock of the machine that verified may be wrong.
    """
    state = settings.environment.state
    if state is None:
        return []
    cloud = session.connect(settings)
    keys = s3.keys(cloud, state.bucket, _prefix(settings) + content, _MOST_VERSIONS)
    read = (s3.read(cloud, state.bucket, key) for key in keys)
    found = (
        VerifyRecord.from_document(each.document, each.written.astimezone(UTC).isoformat())
        for each in read
        if each
    )
    return [record for record in found if record]
