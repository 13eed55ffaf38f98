"""Which revisions a database lacks, in Alembic's order, cached by their files' content.

Loading Alembic takes most of the time of a schema check, and the same files give the same order.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ops.core import files
from ops.core.errors import ConfigError, Unreachable
from ops.core.redaction.redact import one_line
from ops.migrator.model import split_heads
from ops.postgres import fingerprint
from ops.postgres.facts import scripts_folder

# a file for each content of the folder: where a database stands → what it lacks
CACHE = ".ops/revisions"


def heads_after(
    revision: str | None, directory: Path, configured: str | None = None
) -> tuple[str, ...]:
    """The revisions that a database at `revision` lacks, oldest first: "0002 add tags".

    `revision` None: none applied. `directory` is the project's, `configured` its
    database.migrations; without a folder of revisions nothing is pending. Neither env.py nor a
    migration runs. Raises Unreachable if the project does not know `revision`, ConfigError if its
    scripts cannot be read.
    """
    folder = scripts_folder(directory, configured)
    if folder is None:
        return ()
    file = directory / CACHE / f"{fingerprint.of_folder(folder)}.json"
    known = _read_cache(file)
    key = revision or ""
    if key not in known:
        known[key] = list(_pending_revisions(revision, folder))
        with suppress(OSError):  # without it the next check takes longer
            files.write_json(file, known)
    return tuple(known[key])


def _read_cache(file: Path) -> dict[str, list[str]]:
    found = files.read_json(file)
    try:
        return {str(key): [str(each) for each in value] for key, value in found.items()}
    except (AttributeError, TypeError):
        return {}


def _pending_revisions(revision: str | None, folder: Path) -> tuple[str, ...]:
    """Ask Alembic for the pending revisions."""
    from alembic.script import ScriptDirectory
    from alembic.script.revision import RevisionError
    from alembic.util import CommandError

    from ops.migrator.revisions.user_code import contained, describe, location

    try:
        with contained():
            script = ScriptDirectory(str(folder))
            walked = script.iterate_revisions("heads", split_heads(revision) or "base")
            pending = [f"{item.revision} {_first_line(item.doc)}".strip() for item in walked]
    except (CommandError, RevisionError) as error:
        raise Unreachable(
            f"pending migrations after {revision}",
            one_line(error),
            "check out the commit that has this revision, or see: alembic history",
        ) from None
    except Exception as error:  # a revision file is Python, and may fail in any way
        raise ConfigError(
            f"revisions in {folder}",
            one_line(describe(error) + location(error, folder)),
            "correct the file that it names",
        ) from None
    return tuple(reversed(pending))


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().splitlines()[0] if (doc or "").strip() else ""
