"""The host that migrates: probed, given what it lacks, told to start, watched, told to stop. All over one SSH door, in JSON lines.

Nothing secret is ever in a command: what is asked goes in by stdin. Each command is a sentence of its own, so that any of them may be said
again after a connection was lost (`ops.migrate.far` makes a repeated start harmless).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.adapters import bundle
from ops.adapters.bundle import Bundle, FarPython
from ops.adapters.ssh import Host, Lost, Ran
from ops.errors import OpsError
from ops.redact import one_line

KEPT = {"site": 2, "code": 5}     # bundles of each kind that stay on the host
INSTALL_TIMEOUT = 180.0           # seconds, for 9 MB over a slow line
PROBE = """
import json, os, platform, sys, sysconfig
libc, version = platform.libc_ver()
musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
number = [int(each or 0) for each in (version.split(".") + ["0", "0"])[:2]]
def names(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []
there = {kind: names(os.path.join(sys.argv[1], kind)) for kind in ("site", "code")}
print(json.dumps({"version": list(sys.version_info[:2]), "machine": platform.machine(), "libc": "musl" if musl else libc or "other",
                  "libc_version": number, "there": there}))
"""
INSTALL = """
import os, shutil, sys, tarfile, tempfile
root, name, keep = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.umask(0o077)
os.makedirs(root, exist_ok=True)
making = tempfile.mkdtemp(prefix=".making-", dir=root)
try:
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(making)
    os.rename(making, os.path.join(root, name))
except OSError:
    if not os.path.isdir(os.path.join(root, name)):
        raise
finally:
    shutil.rmtree(making, ignore_errors=True)
known = sorted((each for each in os.listdir(root) if not each.startswith(".")), key=lambda each: os.path.getmtime(os.path.join(root, each)))
for old in known[:-keep]:
    shutil.rmtree(os.path.join(root, old), ignore_errors=True)
"""


@dataclass(frozen=True)
class Places:
    """Where things are on the host: its Python, a folder below the home, and the environment's runs in it."""

    python: str
    cache: str
    environment: str

    @property
    def runs(self) -> str:
        return f"{self.cache}/runs/{self.environment}"


@dataclass(frozen=True)
class Prepared:
    """A host that has both bundles."""

    places: Places
    site: str
    code: str

    def command(self, verb: str, *words: str) -> str:
        """`ops.migrate.far VERB RUNS …` with the bundles' modules."""
        cache, code = self.places.cache, f"{self.places.cache}/code/{self.code}"
        path = f"{shlex.quote(code)}:{shlex.quote(f'{cache}/site/{self.site}')}"
        said = shlex.join([self.places.python, "-s", "-u", "-m", "ops.migrate.far", verb, self.places.runs, *words])
        return f"umask 077; PYTHONPATH={path} exec {said}"

    @property
    def folder(self) -> str:
        return f"{self.places.cache}/code/{self.code}/alembic"


def probe(host: Host, places: Places) -> tuple[FarPython, dict[str, list[str]]]:
    """The host's Python, and the bundles that it has. Raises OpsError where there is no Python."""
    answer = document(host.run([places.python, "-c", PROBE, places.cache]), f"{places.python} on the bastion")
    version, libc = answer["version"], answer["libc_version"]
    return FarPython((version[0], version[1]), answer["machine"], answer["libc"], (libc[0], libc[1])), answer["there"]


def install(host: Host, places: Places, kind: str, what: Bundle) -> None:
    """Unpacked aside and renamed: a bundle is whole or not there."""
    root = f"{places.cache}/{kind}"
    command = [places.python, "-c", INSTALL, root, what.name, str(KEPT[kind])]
    done(host.run(command, stdin=what.archive, timeout_s=INSTALL_TIMEOUT), f"install {kind} on the bastion")


def prepare(host: Host, places: Places, there: dict[str, list[str]], site: Bundle, code: Bundle, say: Callable[[str], None]) -> Prepared:
    """Bring what the host lacks."""
    for kind, what in (("site", site), ("code", code)):
        if what.name not in there[kind]:
            say(f"  {kind} {what.name}: {len(what.archive) / 1e6:.1f} MB to the bastion")
            install(host, places, kind, what)
    return Prepared(places, site.name, code.name)


def start(host: Host, far: Prepared, asked: dict[str, Any]) -> dict[str, Any]:
    """Start the run, or find that it was started. Raises Lost where the connection went: say it again."""
    said = host.run(far.command("start", far.folder), stdin=json.dumps(asked).encode() + b"\n")
    return document(said, "start the migration on the bastion")


def attach(host: Host, far: Prepared, run: str, offset: int, tell: Callable[[dict[str, Any]], None]) -> None:
    """Everything that the run says from `offset` on, until its end. Raises Lost."""
    code = host.stream(far.command("attach", run, str(offset)), b"", lambda line: tell(json.loads(line)))
    if code:
        raise OpsError(f"watching run {run} ended with {code}", "the far side's Python failed", "inv db.attach")


def cancel(host: Host, far: Prepared, run: str) -> dict[str, Any]:
    return document(host.run(far.command("cancel", run)), f"cancel run {run} on the bastion")


def document(ran: Ran, what: str) -> dict[str, Any]:
    """The last line as JSON."""
    done(ran, what)
    try:
        found = json.loads(ran.out.decode().splitlines()[-1])
    except (ValueError, IndexError):
        raise OpsError(what, f"it answered {one_line(ran.out.decode(errors='replace'))!r}", "set database.run: tunnel") from None
    return dict(found)


def done(ran: Ran, what: str) -> None:
    """Raises Lost for a lost connection, OpsError for a command that failed, in its own words."""
    if ran.lost:
        raise Lost(what, "the connection was lost", "run it again, or see: inv db.attach")
    if ran.code:
        said = ran.err.decode(errors="replace").strip().splitlines()
        why = one_line(said[-1]) if said else f"exit code {ran.code}"
        missing = "install Python 3.11 or newer there (bastion.python), or set database.run: tunnel"
        how = missing if ran.code in (126, 127) else "inv db.ping"
        raise OpsError(what, why, how)


__all__ = ["Places", "Prepared", "attach", "bundle", "cancel", "install", "prepare", "probe", "start"]
