"""Commands on the bastion: probe it, install bundles, start, watch and cancel a run.

Requests and answers are JSON lines over SSH. Requests go to stdin, so that no secret is in a
command. Each command is complete in itself and may be repeated after a lost connection
(`ops.migrator.remote.cli` ignores a repeated start).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ops.core.errors import OpsError
from ops.core.redaction.redact import one_line
from ops.core.text import format_size
from ops.migrations.remote.bundle import Bundle, RemotePython
from ops.migrator.remote.messages import CancelAnswer, StartRequest, WatchMessage
from ops.ssh.connection import RUN_TIMEOUT, CommandResult, ConnectionLost, Host

_INSTALL_TIMEOUT = 180.0  # seconds, for 9 MB over a slow line
_PROBE = """
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
_INSTALL = """
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
    """The host's Python, the cache folder below the home, and the environment whose runs it has."""

    python: str
    cache: str
    environment: str

    @property
    def runs(self) -> str:
        return f"{self.cache}/runs/{self.environment}"


@dataclass(frozen=True)
class BastionEnvironment:
    """The bundles on a host, by name; without `site`, runs can be watched but not started."""

    paths: BastionPaths
    code: str
    site: str | None = None

    def command(self, verb: str, *words: str) -> str:
        """`ops.migrator.remote.cli VERB RUNS …` with the bundles' modules."""
        bundles = [f"code/{self.code}", *([f"site/{self.site}"] if self.site else [])]
        path = ":".join(shlex.quote(f"{self.paths.cache}/{each}") for each in bundles)
        command = shlex.join(
            [
                self.paths.python,
                "-s",
                "-u",
                "-m",
                "ops.migrator.remote.cli",
                verb,
                self.paths.runs,
                *words,
            ]
        )
        return f"umask 077; PYTHONPATH={path} exec {command}"

    @property
    def folder(self) -> str:
        return f"{self.paths.cache}/code/{self.code}/alembic"


def probe(host: Host, paths: BastionPaths) -> tuple[RemotePython, dict[str, list[str]]]:
    """The host's Python, and its bundles by kind, newest first. Raises OpsError without Python."""
    answer = _run_json(
        host, [paths.python, "-c", _PROBE, paths.cache], f"{paths.python} on the bastion"
    )
    version, libc = answer["version"], answer["libc_version"]
    return RemotePython(
        (version[0], version[1]), answer["machine"], answer["libc"], (libc[0], libc[1])
    ), answer["there"]


def _install(host: Host, paths: BastionPaths, kind: str, bundle: Bundle) -> None:
    """Install a bundle atomically: it is unpacked in another folder, and renamed."""
    root = f"{paths.cache}/{kind}"
    _run(
        host,
        [paths.python, "-c", _INSTALL, root, bundle.name],
        f"install {kind} on the bastion",
        bundle.archive,
        _INSTALL_TIMEOUT,
    )


def install_missing(
    host: Host,
    paths: BastionPaths,
    installed: dict[str, list[str]],
    site: Bundle,
    code: Bundle,
    progress: Callable[[str], None],
) -> BastionEnvironment:
    """Install the bundles that the host lacks."""
    for kind, bundle in (("site", site), ("code", code)):
        if bundle.name not in installed[kind]:
            size = format_size(len(bundle.archive))
            progress(f"  {kind} {bundle.name}: {size} to the bastion")
            _install(host, paths, kind, bundle)
    return BastionEnvironment(paths, code.name, site.name)


def installed_environment(
    paths: BastionPaths, installed: dict[str, list[str]], code: str
) -> BastionEnvironment | None:
    """The host's engine to watch runs with: our own, else the newest; None if nothing ever ran."""
    found = code if code in installed["code"] else next(iter(installed["code"]), None)
    return BastionEnvironment(paths, found) if found else None


def start(host: Host, environment: BastionEnvironment, request: StartRequest) -> dict[str, Any]:
    """Start the run, unless it was started already.

    Raises ConnectionLost if the connection was lost: repeat it.
    """
    request = {**request, "bundles": {"code": environment.code, "site": environment.site}}
    return _run_json(
        host,
        environment.command("start", environment.folder),
        "start the migration on the bastion",
        json.dumps(request).encode() + b"\n",
    )


def attach(
    host: Host,
    environment: BastionEnvironment,
    run: str,
    offset: int,
    on_message: Callable[[WatchMessage], None],
) -> None:
    """Pass on all messages of the run from `offset` on, until its end. Raises ConnectionLost."""

    def take(line: bytes) -> None:
        message = _document(line)
        if message is not None:  # else a background process of the login shell printed it
            on_message(cast("WatchMessage", message))

    code = host.stream(environment.command("attach", run, str(offset)), b"", take)
    if code:
        raise OpsError(
            f"watching run {run} ended with {code}", "Python on the bastion failed", "inv db.attach"
        )


def cancel(host: Host, environment: BastionEnvironment, run: str) -> CancelAnswer:
    answer = _run_json(host, environment.command("cancel", run), f"cancel run {run} on the bastion")
    return cast("CancelAnswer", answer)


def _run_json(
    host: Host, command: str | list[str], what: str, stdin: bytes = b""
) -> dict[str, Any]:
    """Run a command, and return the last JSON object of its output."""
    ran = _run(host, command, what, stdin)
    found = next(filter(None, map(_document, reversed(ran.out.splitlines()))), None)
    if found is None:
        raise OpsError(
            what,
            f"it answered {one_line(ran.out.decode(errors='replace'))!r}",
            "set database.run: tunnel",
        )
    return found


def _document(line: bytes) -> dict[str, Any] | None:
    """A line that is a JSON object; None for any other."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _run(
    host: Host,
    command: str | list[str],
    what: str,
    stdin: bytes = b"",
    timeout_s: float = RUN_TIMEOUT,
) -> CommandResult:
    """Run a command.

    Raises ConnectionLost, TimedOut, or OpsError with the last line that a failed command printed.
    """
    ran = host.run(command, stdin, timeout_s, what)
    if ran.lost:
        raise ConnectionLost(what, "the connection was lost", "run it again, or see: inv db.attach")
    if ran.code:
        lines = ran.err.decode(errors="replace").strip().splitlines()
        why = one_line(lines[-1]) if lines else f"exit code {ran.code}"
        missing = "install Python 3.11 or newer there (bastion.python), or set database.run: tunnel"
        how = missing if ran.code in (126, 127) else "inv db.ping"
        raise OpsError(what, why, how)
    return ran
