"""Commands on the bastion: probe it, install bundles, start, watch and cancel a run.

Requests and answers are JSON lines over SSH. Requests go to stdin, so that no secret is in a
command. Each command is complete in itself and may be repeated after a lost connection
(`ops.migrator.remote.cli` ignores a repeated start).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ops.core.errors import OpsError
from ops.core.redaction.redact import one_line
from ops.core.text import format_size
from ops.migrations.remote import cache_folders, host_scripts
from ops.migrations.remote.bundle import Bundle, RemotePython
from ops.migrations.remote.cache_folders import CacheFolder
from ops.migrator.remote.messages import CancelAnswer, StartRequest, WatchMessage
from ops.ssh.connection import RUN_TIMEOUT, CommandResult, ConnectionLost, Host

_INSTALL_TIMEOUT = 180.0  # seconds, for 9 MB over a slow line


class WatcherKilled(OpsError):
    """A signal ended the process that watches a run; the run is another process."""


@dataclass(frozen=True)
class BastionPaths:
    """The host's Python, the cache folder, and the environment whose runs it has."""

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


def probe(
    host: Host, python: str, cache: str, environment: str
) -> tuple[RemotePython, list[CacheFolder]]:
    """The host's Python, and the folders that may hold bundles; the configured one is the first.

    Raises OpsError without Python.
    """
    answer = _run_json(
        host,
        [python, "-c", host_scripts.PROBE, environment, *cache_folders.candidates(cache)],
        f"{python} on the bastion",
    )
    version, libc = answer["version"], answer["libc_version"]
    found = RemotePython(
        (version[0], version[1]), answer["machine"], answer["libc"], (libc[0], libc[1])
    )
    return found, [CacheFolder.from_document(each) for each in answer["folders"]]


def _install(host: Host, paths: BastionPaths, kind: str, bundle: Bundle) -> str:
    """Install a bundle atomically, and return why the folder can't take it, if so.

    It is unpacked in another folder, and renamed.
    """
    what = f"install {kind} on the bastion"
    words = [paths.python, "-c", host_scripts.INSTALL, paths.cache, kind, bundle.name]
    ran = _run(host, words, what, bundle.archive, _INSTALL_TIMEOUT, (0, host_scripts.CANNOT_WRITE))
    return _last_line(ran.err) if ran.code else ""


def install_missing(
    host: Host,
    python: str,
    environment: str,
    folders: Sequence[CacheFolder],
    site: Bundle,
    code: Bundle,
    progress: Callable[[str], None],
) -> BastionEnvironment:
    """Install the bundles that the host lacks, in the first folder that can hold them.

    Raises Refused if no folder can.
    """
    problems: dict[str, str] = {}
    for folder in folders:
        paths = BastionPaths(python, folder.path, environment)
        problem = folder.problem_for(site.name)
        for kind, bundle in (("site", site), ("code", code)):
            if not problem and bundle.name not in folder.there[kind]:
                size = format_size(len(bundle.archive))
                progress(f"  {kind} {bundle.name}: {size} to the bastion")
                problem = _install(host, paths, kind, bundle)
        if not problem:
            return BastionEnvironment(paths, code.name, site.name)
        problems[folder.path] = problem
        progress(f"  {folder.path} on the bastion can't be used: {problem}")
    raise cache_folders.none_usable(host.where, problems)


def installed_environment(
    python: str, environment: str, folders: Sequence[CacheFolder], code: str
) -> BastionEnvironment | None:
    """The host's engine to watch runs with: our own, else the newest; None if nothing ever ran."""
    folder = cache_folders.latest(folders)
    if folder is None:
        return None
    found = code if code in folder.there["code"] else folder.there["code"][0]
    return BastionEnvironment(BastionPaths(python, folder.path, environment), found)


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
    """Pass on all messages of the run from `offset` on, until its end.

    Raises ConnectionLost, and WatcherKilled.
    """

    def take(line: bytes) -> None:
        message = _document(line)
        if message is not None:  # else a background process of the login shell printed it
            on_message(cast("WatchMessage", message))

    code = host.stream(environment.command("attach", run, str(offset)), b"", take)
    if code:
        killed = code < 0 or code > 128  # by a signal; more than 128 where a shell reports it
        how = "was killed" if killed else f"ended with exit code {code}"
        raise (WatcherKilled if killed else OpsError)(
            f"run {run} can't be watched",
            f"its watcher on the bastion {how}; the run is another process, and may continue",
            "inv db.attach" if run == "latest" else f"inv db.attach --run {run}",
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
    expected: Sequence[int] = (0,),
) -> CommandResult:
    """Run a command.

    Raises ConnectionLost, TimedOut, or OpsError with the last line that a failed command printed.
    """
    ran = host.run(command, stdin, timeout_s, what)
    if ran.lost:
        raise ConnectionLost(what, "the connection was lost", "run it again, or see: inv db.attach")
    if ran.code not in expected:
        why = _last_line(ran.err) or f"exit code {ran.code}"
        missing = "install Python 3.11 or newer there (bastion.python), or set database.run: tunnel"
        how = missing if ran.code in (126, 127) else "inv db.ping"
        raise OpsError(what, why, how)
    return ran


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return one_line(lines[-1]) if lines else ""
