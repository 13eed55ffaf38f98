"""What `db.verify` found is kept with the release records, by the revisions' content, so that an upgrade elsewhere can ask for it.

The content is the key, not the commit: the same revisions on another branch are as proved as before, and an edited one is not. The commit
stands in the record for people.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops import ui
from ops.adapters import aws, bucket, git, machine, postgres_content
from ops.errors import OpsError

if TYPE_CHECKING:
    from ops.settings import Settings

FOLDER = ".ops/verified"


def key(settings: Settings, content: str) -> str:
    state = settings.environment.state
    return f"{state.prefix if state else 'ops'}/verified/{settings.name}/{content}.json"


def keep(settings: Settings, content: str, document: dict[str, Any]) -> None:
    """Write it to the state's bucket, or here where that can't be. Never raises: it must not spoil the verdict."""
    about = {"content": content, "commit": commit(settings.root), "at": datetime.now(UTC), "by": machine.owner(), "host": machine.host()}
    record = {**about, **document}
    state = settings.environment.state
    try:
        if state is None:
            raise OpsError("kept here", "the environment names no state bucket (state.bucket)")
        bucket.put(aws.connect(settings), state.bucket, key(settings, content), record, {})
        here(settings, content).unlink(missing_ok=True)
    except OpsError as problem:
        path = here(settings, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, default=ui.jsonable), encoding="utf-8")
        ui.say(f"the verdict is kept in {path} only: {problem.why}")


def here(settings: Settings, content: str) -> Path:
    return settings.root / FOLDER / f"{settings.name}-{content}.json"


def commit(root: Path) -> str | None:
    """The commit that is checked out; None without git."""
    try:
        return git.resolved(git.toplevel(root), "HEAD")
    except OpsError:
        return None


def unproved(settings: Settings, folder: Path) -> str | None:
    """Why these revisions do not count as verified; None where they do."""
    content, problem = postgres_content.of_folder(folder), ""
    state, record = settings.environment.state, None
    try:
        stored = bucket.read(aws.connect(settings), state.bucket, key(settings, content)) if state else None
        record = stored.document if stored else None
    except OpsError as error:
        problem = f"; {error.what}: {error.why}"
    local = here(settings, content)
    if record is None and local.exists():
        record = json.loads(local.read_text(encoding="utf-8"))
    if record is None:
        return f"no db.verify of these revisions is known{problem}"
    return None if record.get("verified") else f"db.verify of these revisions failed on {record.get('at')} ({record.get('by')})"
