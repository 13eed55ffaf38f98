"""What a host needs to run migrations, as two archives named by their content: the libraries
(`site`), and engine and revisions (`code`).

The libraries are those of `requirements.lock`, for the host's own Python. Where this machine has
the same Python, system and C library, the installed files are taken as they are (they were
installed by hash); otherwise pip fetches the host's wheels, by the same hashes."""

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

LIBRARIES = (
    "alembic",
    "mako",
    "markupsafe",
    "psycopg",
    "psycopg-binary",
    "sqlalchemy",
    "typing-extensions",
)
# of `ops`: the redaction that the engine uses; it imports nothing else of ours
REDACTION = (
    "core/__init__.py",
    "core/redaction/__init__.py",
    "core/redaction/redact.py",
    "core/redaction/shapes.py",
    "core/redaction/values.py",
)
OLDEST = (3, 11)  # of the pinned SQLAlchemy
OLDEST_GLIBC, NEWEST_MUSL = 17, 2
FETCH_TIMEOUT = 180.0  # seconds
CACHE = Path(".ops") / "bundles"


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
        return self.version < OLDEST

    @property
    def platforms(self) -> list[str]:
        """The wheel tags that it takes (PEP 600, PEP 656), newest first."""
        if self.libc == "musl":
            return [f"musllinux_1_{minor}_{self.machine}" for minor in range(NEWEST_MUSL, 0, -1)]
        newest = [
            f"manylinux_2_{minor}_{self.machine}"
            for minor in range(self.libc_version[1], OLDEST_GLIBC - 1, -1)
        ]
        return [*newest, f"manylinux2014_{self.machine}"]


@dataclass(frozen=True)
class Bundle:
    """A gzipped tar, and the name that its content gives it."""

    name: str
    archive: bytes


def here() -> RemotePython:
    """This machine, in the same words."""
    libc, version = platform.libc_ver()
    major, minor = [*version.split("."), "0", "0"][:2]
    return RemotePython(
        sys.version_info[:2],
        platform.machine(),
        libc or "other",
        (int(major or 0), int(minor or 0)),
    )


def site(root: Path, host: RemotePython) -> Bundle:
    """The libraries for `host`, made once and kept below `root`. Raises ConfigError (no lock),
    OpsError (they can't be had).
    """
    pins = pinned(root / "requirements.lock")
    key = hashlib.sha256(f"{host}\n{pins}".encode()).hexdigest()[:24]
    kept = root / CACHE / f"site-{key}.tar.gz"
    if not kept.exists():
        archive = (
            packed(library_files()) if host == here() and installed(pins) else fetched(host, pins)
        )
        kept.parent.mkdir(parents=True, exist_ok=True)
        making = kept.with_suffix(".making")
        making.write_bytes(archive)
        making.replace(kept)
    return Bundle(key, kept.read_bytes())


def code(folder: Path) -> Bundle:
    """The engine with our redaction, and the revisions of `folder` as `alembic/`."""
    ops = Path(__file__).parents[2]
    ours = ((f"ops/{name}", ops / name) for name in ("__init__.py", *REDACTION))
    engine = [
        *ours,
        *((f"ops/migrator/{name}", path) for name, path in files_below(ops / "migrator")),
    ]
    archive = packed([*engine, *((f"alembic/{name}", path) for name, path in files_below(folder))])
    return Bundle(hashlib.sha256(archive).hexdigest()[:24], archive)


def pinned(lock: Path) -> str:
    """The lines of the lock that pin LIBRARIES, with their hashes."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        why = one_line(error)
        raise ConfigError(
            f"{lock} can't be read", why, "check the project out whole, or set database.run: tunnel"
        ) from None
    kept, taking = [], False
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            taking = line.split("==")[0] in LIBRARIES
        if taking and not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept) + "\n"


def installed(pins: str) -> bool:
    """Whether the libraries that this Python runs with are those of the lock."""
    try:
        return all(f"{name}=={importlib.metadata.version(name)} " in pins for name in LIBRARIES)
    except importlib.metadata.PackageNotFoundError:
        return False


def library_files() -> Iterator[tuple[str, Path]]:
    for name in LIBRARIES:
        for file in importlib.metadata.files(name) or ():
            path = Path(str(file.locate()))
            if ".." not in file.parts and "__pycache__" not in file.parts and path.is_file():
                yield file.as_posix(), path


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix(), path


def fetched(host: RemotePython, pins: str) -> bytes:
    """The host's wheels, by pip, by hash. Raises OpsError in pip's words."""
    with tempfile.TemporaryDirectory() as folder:
        lock, into = Path(folder) / "pins", Path(folder) / "site"
        lock.write_text(pins, encoding="utf-8")
        fetch(host, lock, into)
        return packed(files_below(into))


def fetch(host: RemotePython, lock: Path, into: Path) -> None:
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
    done = shell.run(command, timeout=FETCH_TIMEOUT)
    if done.exit_code:
        said = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()[-1:]
        why = one_line(" ".join(said[-1:])) or "pip failed"
        raise OpsError(
            f"the libraries for {host}", why, "set database.run: tunnel, or mend pip's access"
        )


def packed(files: Iterable[tuple[str, Path]]) -> bytes:
    """The same files make the same archive: sorted, without times and owners."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, path in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(member, file)
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0)
