"""Taking an archive apart without trusting it: no member lands outside the folder, and all get the same time."""

from __future__ import annotations

import errno
import tarfile
from pathlib import Path, PurePosixPath

from ops.errors import ConfigError, OpsError
from ops.redact import one_line


def extract(file: Path, prefix: str, into: Path, at: int) -> None:
    """The members of tar `file` below `prefix` ("" for all) into `into`, with `at` (epoch seconds) as their time.

    Python's "data" filter (PEP 706) refuses absolute paths, links that lead outside, and devices. Raises ConfigError naming the member.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ConfigError(
            "this Python cannot take an archive apart safely", "it lacks tarfile's data filter (PEP 706)", "use Python 3.11.4 or newer"
        )

    def kept(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo | None:
        inside = below(member.name, prefix)
        if inside is None:
            return None
        renamed = member.replace(name=inside, mtime=at, deep=False)
        if member.islnk():  # a hard link names another member
            renamed = renamed.replace(linkname=below(member.linkname, prefix) or member.linkname, deep=False)
        return tarfile.data_filter(renamed, destination)

    try:
        into.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file) as opened:
            opened.extractall(into, filter=kept)  # noqa: S202  # every member goes through `kept`
    except tarfile.FilterError as error:
        raise ConfigError(
            f"archive of the commit: {error.tarinfo.name}", one_line(error), "remove that file or link from the repository"
        ) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OpsError(
            f"files of the commit into {into}", "the disk is full" if full else one_line(error), "free space (df -h), then run it again"
        ) from None


def below(name: str, prefix: str) -> str | None:
    """`name` relative to `prefix`; None for what is not below it, or is it."""
    path = PurePosixPath(name)
    if not prefix:
        return name
    if path == PurePosixPath(prefix) or not path.is_relative_to(prefix):
        return None
    return path.relative_to(prefix).as_posix()
