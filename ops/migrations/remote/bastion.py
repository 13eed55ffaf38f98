"""The host that migrates: probed, given what it lacks, told to start, watched, told to stop. All
over one SSH door, in JSON lines.

Nothing secret is ever in a command: what is asked goes in by stdin. Each command is a sentence of
its own, so that any of them may be said again after a connection was lost
(`ops.migrator.remote.cli` makes a repeated start harmless)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ops.core.errors import OpsError
from ops.core.redaction.redact import one_line
from ops.core.text import format_size
from ops.migrations.remote import bundle
from ops.migrations.remote.bundle import Bundle, RemotePython
from ops.ssh.connection import RUN_TIMEOUT, CommandResult, ConnectionLost, Host

INSTALL_TIMEOUT = 180.0  # seconds, for 9 MB over a slow line
PROBE = """
import json, os, platform, sys, sysconfig
libc, version = platform.libc_ver()
musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
number = [int(each or 0) for each in (version.split(".") + ["0", "0"])[:2]]
def names(folder):
    found = os.listdir(folder) if os.path.isdir(folder) else []
    names = [each for each in found if each[0] != "."]
    age = lambda each: os.path.getmtime(os.path.join(folder, each))
    return sorted(names, key=age, reverse=True)
there = {kind: names(os.path.join(sys.argv[1], kind)) for kind in ("site", "code")}
libc = "musl" if musl else libc or "other"
print(json.dumps({"version": list(sys.version_info[:2]), "machine": platform.machine(),
    "libc": libc,
                  "libc_version": number, "there": there}))
"""
INSTALL = """
import os, shutil, sys, tarfile, tempfile
root, name = sys.argv[1:]
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
"""


@dataclass(frozen=True)
class BastionPaths:
    """Where things are on the host: its Python, a folder below the home, and the environment's runs
    in it.
    """

    python: str
    cache: str
    environment: str

    @property
    def runs(self) -> str:
        return f"{self.cache}/runs/{self.environment}"


@dataclass(frozen=True)
class BastionEnvironment:
    """A host that has the bundles: both, or without the libraries, which is enough to look after
    runs.
    """

    places: BastionPaths
    code: str
    site: str | None = None

    def command(self, verb: str, *words: str) -> str:
        """`ops.migrator.remote.cli VERB RUNS …` with the bundles' modules."""
        named = [f"code/{self.code}", *([f"site/{self.site}"] if self.site else [])]
        path = ":".join(shlex.quote(f"{self.places.cache}/{each}") for each in named)
        said = shlex.join(
            [
                self.places.python,
                "-s",
                "-u",
                "-m",
                "ops.migrator.remote.cli",
                verb,
                self.places.runs,
                *words,
            ]
        )
        return f"umask 077; PYTHONPATH={path} exec {said}"

    @property
    def folder(self) -> str:
        return f"{self.places.cache}/code/{self.code}/alembic"


def probe(host: Host, places: BastionPaths) -> tuple[RemotePython, dict[str, list[str]]]:
    """The host's Python, and the bundles that it has, newest first. Raises OpsError where there is
    no Python.
    """
    answer = document(
        host, [places.python, "-c", PROBE, places.cache], f"{places.python} on the bastion"
    )
    version, libc = answer["version"], answer["libc_version"]
    return RemotePython(
        (version[0], version[1]), answer["machine"], answer["libc"], (libc[0], libc[1])
    ), answer["there"]


def install(host: Host, places: BastionPaths, kind: str, what: Bundle) -> None:
    """Unpacked aside and renamed: a bundle is whole or not there."""
    root = f"{places.cache}/{kind}"
    done(
        host,
        [places.python, "-c", INSTALL, root, what.name],
        f"install {kind} on the bastion",
        what.archive,
        INSTALL_TIMEOUT,
    )


def prepare(
    host: Host,
    places: BastionPaths,
    there: dict[str, list[str]],
    site: Bundle,
    code: Bundle,
    say: Callable[[str], None],
) -> BastionEnvironment:
    """Bring what the host lacks."""
    for kind, what in (("site", site), ("code", code)):
        if what.name not in there[kind]:
            say(f"  {kind} {what.name}: {format_size(len(what.archive))} to the bastion")
            install(host, places, kind, what)
    return BastionEnvironment(places, code.name, site.name)


def known(
    places: BastionPaths, there: dict[str, list[str]], code: str
) -> BastionEnvironment | None:
    """The host as it is, to look after its runs: by our own engine where that is there, else by the
    newest. None: nothing ever ran.
    """
    found = code if code in there["code"] else next(iter(there["code"]), None)
    return BastionEnvironment(places, found) if found else None


def start(host: Host, far: BastionEnvironment, asked: dict[str, Any]) -> dict[str, Any]:
    """Start the run, or find that it was started. Raises Lost where the connection went: say it
    again.
    """
    told = {**asked, "bundles": {"code": far.code, "site": far.site}}
    return document(
        host,
        far.command("start", far.folder),
        "start the migration on the bastion",
        json.dumps(told).encode() + b"\n",
    )


def attach(
    host: Host,
    far: BastionEnvironment,
    run: str,
    offset: int,
    tell: Callable[[dict[str, Any]], None],
) -> None:
    """Everything that the run says from `offset` on, until its end. Raises Lost."""
    code = host.stream(
        far.command("attach", run, str(offset)), b"", lambda line: tell(json.loads(line))
    )
    if code:
        raise OpsError(
            f"watching run {run} ended with {code}", "the far side's Python failed", "inv db.attach"
        )


def cancel(host: Host, far: BastionEnvironment, run: str) -> dict[str, Any]:
    return document(host, far.command("cancel", run), f"cancel run {run} on the bastion")


def document(host: Host, command: str | list[str], what: str, stdin: bytes = b"") -> dict[str, Any]:
    """A command's last line, as JSON."""
    ran = done(host, command, what, stdin)
    try:
        found = json.loads(ran.out.decode().splitlines()[-1])
    except (ValueError, IndexError):
        raise OpsError(
            what,
            f"it answered {one_line(ran.out.decode(errors='replace'))!r}",
            "set database.run: tunnel",
        ) from None
    return dict(found)


def done(
    host: Host,
    command: str | list[str],
    what: str,
    stdin: bytes = b"",
    timeout_s: float = RUN_TIMEOUT,
) -> CommandResult:
    """Run it. Raises Lost for a lost connection, TimedOut, OpsError for a command that failed, in
    its own words.
    """
    ran = host.run(command, stdin, timeout_s, what)
    if ran.lost:
        raise ConnectionLost(what, "the connection was lost", "run it again, or see: inv db.attach")
    if ran.code:
        said = ran.err.decode(errors="replace").strip().splitlines()
        why = one_line(said[-1]) if said else f"exit code {ran.code}"
        missing = "install Python 3.11 or newer there (bastion.python), or set database.run: tunnel"
        how = missing if ran.code in (126, 127) else "inv db.ping"
        raise OpsError(what, why, how)
    return ran


__all__ = [
    "BastionEnvironment",
    "BastionPaths",
    "attach",
    "bundle",
    "cancel",
    "install",
    "known",
    "prepare",
    "probe",
    "start",
]
