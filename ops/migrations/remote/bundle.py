"""Archives that a host needs to run migrations, named by their content.

`site` has the libraries, `code` the engine and the revisions. The libraries are those of
`requirements.lock`, for the host's Python. If this machine has the same Python, system and C
library, its installed files are packed, which were installed by hash; otherwise pip fetches the
host's wheels, by the same hashes.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import platform
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import one_line
from ops.tools import shell

_LIBRARIES = (
    "alembic",
    "mako",
    "markupsafe",
    "psycopg",
    "psycopg-binary",
    "sqlalchemy",
    "typing-extensions",
)
# the redaction of `ops` that the engine uses; it imports no other module of ours
_REDACTION = (
    "core/__init__.py",
    "core/redaction/__init__.py",
    "core/redaction/redact.py",
    "core/redaction/shapes.py",
    "core/redaction/values.py",
)
_OLDEST_PYTHON = (3, 11)  # of the pinned SQLAlchemy
OLDEST_GLIBC, NEWEST_MUSL = 17, 2
_FETCH_TIMEOUT = 180.0  # seconds
_CACHE = Path(".ops") / "bundles"


@dataclass(frozen=True)
class RemotePython:
    """A host's Python: (3, 11), `x86_64`, `glibc` or `musl` with its version."""

    version: tuple[int, int]
    machine: str
    libc: str
    libc_version: tuple[int, int]

    def __str__(self) -> str:
        return (
            f"Python {self.version[0]}.{self.version[1]} on {self.machine} ({self.libc} "
            f"{'.'.join(map(str, self.libc_version))})"
        )

    @property
    def old(self) -> bool:
        return self.version < _OLDEST_PYTHON

    @property
    def platforms(self) -> list[str]:
        """The platform tags of its wheels (PEP 600, PEP 656), newest first."""
        if self.libc == "musl":
            return [f"musllinux_1_{minor}_{self.machine}" for minor in range(NEWEST_MUSL, 0, -1)]
        newest = [
            f"manylinux_2_{minor}_{self.machine}"
            for minor in range(self.libc_version[1], OLDEST_GLIBC - 1, -1)
        ]
        return [*newest, f"manylinux2014_{self.machine}"]


@dataclass(frozen=True)
class Bundle:
    """A gzipped tar archive, and its name, which is a hash of its content."""

    name: str
    archive: bytes


def this_python() -> RemotePython:
    """The Python of this machine."""
    libc, version = platform.libc_ver()
    major, minor = [*version.split("."), "0", "0"][:2]
    return RemotePython(
        sys.version_info[:2],
        platform.machine(),
        libc or "other",
        (int(major or 0), int(minor or 0)),
    )


def site_bundle(root: Path, host: RemotePython) -> Bundle:
    """The libraries for `host`, built once and cached below `root`.

    Raises ConfigError (no lock file), OpsError (they can't be fetched).
    """
    pins = _pins(root / "requirements.lock")
    key = hashlib.sha256(f"{host}\n{pins}".encode()).hexdigest()[:24]
    cached = root / _CACHE / f"site-{key}.tar.gz"
    if not cached.exists():
        archive = (
            _pack(_library_files())
            if host == this_python() and _are_installed(pins)
            else _fetch_archive(host, pins)
        )
        cached.parent.mkdir(parents=True, exist_ok=True)
        making = cached.with_suffix(".making")
        making.write_bytes(archive)
        making.replace(cached)
    return Bundle(key, cached.read_bytes())


def code_bundle(folder: Path | None) -> Bundle:
    """The engine with our redaction, and the revisions of `folder` (if any) as `alembic/`."""
    ops = Path(__file__).parents[2]
    ours = ((f"ops/{name}", ops / name) for name in ("__init__.py", *_REDACTION))
    engine = [
        *ours,
        *((f"ops/migrator/{name}", path) for name, path in _files_below(ops / "migrator")),
    ]
    revisions = _files_below(folder) if folder else ()
    archive = _pack([*engine, *((f"alembic/{name}", path) for name, path in revisions)])
    return Bundle(hashlib.sha256(archive).hexdigest()[:24], archive)


def _pins(lock: Path) -> str:
    """The lines of the lock that pin LIBRARIES, with their hashes."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        why = one_line(error)
        raise ConfigError(
            f"{lock} can't be read", why, "restore the file, or set database.run: tunnel"
        ) from None
    lines, taking = [], False
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            taking = line.split("==")[0] in _LIBRARIES
        if taking and not line.lstrip().startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _are_installed(pins: str) -> bool:
    """Whether this Python's libraries are those of the lock file."""
    try:
        return all(f"{name}=={importlib.metadata.version(name)} " in pins for name in _LIBRARIES)
    except importlib.metadata.PackageNotFoundError:
        return False


def _library_files() -> Iterator[tuple[str, Path]]:
    for name in _LIBRARIES:
        for file in importlib.metadata.files(name) or ():
            path = Path(str(file.locate()))
            if ".." not in file.parts and "__pycache__" not in file.parts and path.is_file():
                yield file.as_posix(), path


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), path


def _fetch_archive(host: RemotePython, pins: str) -> bytes:
    """The host's wheels, fetched by pip by hash. Raises OpsError with pip's last error."""
    with tempfile.TemporaryDirectory() as folder:
        lock, into = Path(folder) / "pins", Path(folder) / "site"
        lock.write_text(pins, encoding="utf-8")
        _fetch_wheels(host, lock, into)
        return _pack(_files_below(into))


def _fetch_wheels(host: RemotePython, lock: Path, into: Path) -> None:
    wanted = [word for tag in host.platforms for word in ("--platform", tag)]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "-r",
        str(lock),
        "--target",
        str(into),
        "--implementation",
        "cp",
        "--python-version",
        f"{host.version[0]}.{host.version[1]}",
        *wanted,
    ]
    done = shell.run(command, timeout=_FETCH_TIMEOUT)
    if done.exit_code:
        errors = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()[-1:]
        why = one_line(" ".join(errors[-1:])) or "pip failed"
        raise OpsError(
            f"the libraries for {host}", why, "set database.run: tunnel, or fix pip's access"
        )


def _pack(files: Iterable[tuple[str, Path]]) -> bytes:
    """Pack files reproducibly: sorted, without times and owners."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, path in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(member, file)
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0)
