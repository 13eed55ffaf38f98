"""Extract a tar archive without trusting it: no member lands outside the folder.

All members get the same time. The rules are those of tarfile's "data" filter (PEP 706), which
Debian 12's Python 3.11.2 does not have yet.
"""

from __future__ import annotations

import errno
import posixpath
import tarfile
from pathlib import Path, PurePosixPath

from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import one_line


def extract(file: Path, prefix: str, into: Path, at: int) -> None:
    """Extract the members of a tar file below `prefix` ("" for all) into the folder `into`.

    `at` (epoch seconds) becomes their time. Raises ConfigError, naming the member, for absolute
    paths, links that lead outside, and devices; OpsError for a full disk.
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file) as opened:
            members = [
                moved
                for member in opened.getmembers()
                if (moved := _relocated(member, prefix, at)) is not None
            ]
            for member in members:
                _refuse_unsafe(member)
            opened.extraction_filter = lambda member, _: (
                member
            )  # checked above; where Python has filters, ours is enough
            opened.extractall(into, members)  # noqa: S202
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OpsError(
            f"files of the commit into {into}",
            "the disk is full" if full else one_line(error),
            "free space (df -h), then run it again",
        ) from None


def _relocated(member: tarfile.TarInfo, prefix: str, at: int) -> tarfile.TarInfo | None:
    """Rename a member relative to `prefix`, without its owner; None if it is not below it."""
    inside = _below(member.name, prefix)
    if inside is None:
        return None
    member.name, member.mtime, member.mode = (
        inside,
        at,
        0o755 if member.mode & 0o100 or member.isdir() else 0o644,
    )
    if member.islnk():  # a hard link names another member
        member.linkname = _below(member.linkname, prefix) or member.linkname
    return member


def _refuse_unsafe(member: tarfile.TarInfo) -> None:
    """Raise ConfigError for a member that is not safe to extract.

    A member is unsafe if it would land or point outside the folder, or is no file, folder or link.
    """
    why = ""
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        why = "it is no file, folder or link"
    elif _escapes(member.name):
        why = "it would land outside the folder"
    elif member.linkname and _escapes(
        member.linkname, posixpath.dirname(member.name) if member.issym() else ""
    ):
        why = f"it is a link that leads outside: {member.linkname}"
    if why:
        raise ConfigError(
            f"archive of the commit: {member.name}",
            one_line(why),
            "remove that file or link from the repository",
        )


def _escapes(path: str, start: str = "") -> bool:
    return (
        path.startswith("/")
        or posixpath.normpath(posixpath.join(start, path)).split("/")[0] == ".."
    )


def _below(name: str, prefix: str) -> str | None:
    """`name` relative to `prefix`; None if it is not below it."""
    path = PurePosixPath(name)
    if not prefix:
        return name
    if path == PurePosixPath(prefix) or not path.is_relative_to(prefix):
        return None
    return path.relative_to(prefix).as_posix()
