"""Files and folders that only the sandbox's own user may access.

The engine's socket is in `.sandbox/run`. If that path is too long for a socket or is not safe in a
URL, the socket is in a folder below XDG_RUNTIME_DIR or the system's temporary folder, which is
deleted with the sandbox.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from ops.sandbox.contracts import Paths

_SOCKET = "engine.sock"
_LONGEST = 103  # bytes of a socket's path (macOS; Linux: 107)
_PREFIX = "ops-engine-"  # how folders for a socket outside of `.sandbox` begin
# as root, PostgreSQL's own account passes through it; its files are private one by one
_SHARED = "postgres"

_PLAIN = re.compile(r"[\w /.,:+@=~-]+\Z", re.ASCII)


def seal(paths: Paths) -> None:
    """Remove other users' permissions on `.sandbox` and its direct entries.

    Idempotent.

    As root, `.sandbox` stays searchable (0711) for the account that PostgreSQL runs under.
    """
    paths.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
    for entry in paths.root.iterdir():
        with contextlib.suppress(FileNotFoundError):
            mode = entry.lstat().st_mode
            if entry.name != _SHARED and not stat.S_ISLNK(mode) and mode & 0o077:
                entry.chmod(stat.S_IMODE(mode) & 0o700)


def socket_path(paths: Paths) -> Path:
    """Return the path of the engine's socket, creating its folder. Raises OSError."""
    folder = paths.root / "run"
    if _fits(folder / _SOCKET):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _check_private(folder)
        return folder / _SOCKET
    return _short_folder(paths.root) / _SOCKET


def forget_socket(path: Path) -> None:
    """Remove an unused socket, and its folder if that is outside `.sandbox`. Never raises."""
    with contextlib.suppress(OSError):
        _check_private(path.parent)
        path.unlink(missing_ok=True)
        if path.parent.name.startswith(_PREFIX):
            shutil.rmtree(path.parent, ignore_errors=True)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST and _PLAIN.match(str(path)) is not None


def _short_folder(root: Path) -> Path:
    """Return a folder with a short path, in XDG_RUNTIME_DIR if possible, else a new one."""
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    folder = runtime / f"{_PREFIX}{digest}"
    if runtime.is_absolute() and _fits(folder / _SOCKET):
        with contextlib.suppress(OSError):
            _check_private(runtime)
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_private(folder)
            return folder
    made = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if _fits(made / _SOCKET):
        return made
    made.rmdir()  # TMPDIR is a long path itself
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))


def _check_private(folder: Path) -> None:
    """Raise PermissionError unless the folder is accessible to this user only."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone (mode 0700)")
