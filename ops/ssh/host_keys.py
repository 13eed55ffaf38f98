"""Host keys: on every hop, only a key listed in known_hosts is accepted.

Fabric accepts any key: it sets AutoAddPolicy and never reads known_hosts. So while Fabric builds
its connections (also those of gateways from ssh_config), it gets a client that reads the files and
refuses unknown keys. Differences from OpenSSH: `@cert-authority` lines and host name patterns are
ignored (paramiko supports neither), which can only refuse more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

_DEFAULT_FILES = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)
_building = threading.Lock()
KeyProblem = Literal["unknown", "changed", "revoked"]


class HostKeyRefused(Exception):
    """An unknown, changed or revoked host key.

    `name` is the host as written in known_hosts, `address` without HostKeyAlias; `kind` is the type
    of the key, `printed` its fingerprint, and `file` has another key of the host (`changed`).
    """

    def __init__(
        self, name: str, address: str, key: Any, problem: KeyProblem, file: Path | None = None
    ) -> None:
        self.name, self.address, self.problem, self.file = name, address, problem, file
        self.kind, self.printed = key.get_name(), key.fingerprint
        super().__init__(f"{self.kind} key {self.printed} of {name} is {problem}")


def files(named: str | None, configured: str | None) -> tuple[Path, ...]:
    """The known_hosts files to read.

    The configured file, else ssh_config's UserKnownHostsFile, else OpenSSH's defaults.
    """
    words: Sequence[str] = (
        [named] if named else configured.split() if configured else _DEFAULT_FILES
    )
    return tuple(Path(word).expanduser() for word in words)


def load(paths: Sequence[Path]) -> tuple[Any, set[bytes]]:
    """Load the keys of all files without revoked ones, and the revoked keys.

    Lines that can't be parsed are ignored.
    """
    from paramiko.hostkeys import HostKeyEntry, HostKeys

    entries, revoked = [], set()
    for path in paths:
        for line in (
            path.read_text(encoding="utf-8", errors="replace").splitlines()
            if path.is_file()
            else ()
        ):
            marker, _, rest = (
                line.strip().partition(" ") if line.startswith("@") else ("", "", line)
            )
            try:
                entry = HostKeyEntry.from_line(rest.strip())
            except Exception:  # noqa: S112 - not our line; a host that needs it is refused as unknown
                continue
            if entry is None or entry.key is None:
                continue
            if marker == "@revoked":
                revoked.add(entry.key.asbytes())
            elif not marker:
                entries.append(entry)
    keys = HostKeys()
    for entry in entries:
        for name in entry.hostnames if entry.key.asbytes() not in revoked else ():
            keys.add(name, entry.key.get_name(), entry.key)
    return keys, revoked


def _client_class(paths: Sequence[Path], alias: str, name: str) -> type:
    """A paramiko client class that accepts only the keys in these files, whatever its policy.

    With an `alias` (HostKeyAlias) these are the keys of that name, instead of the host's `name`.
    """
    from paramiko.client import MissingHostKeyPolicy, SSHClient
    from paramiko.ssh_exception import BadHostKeyException

    known, revoked = load(paths)
    names = {name: dict(known.lookup(alias) or {})} if alias else known

    class Refuse(MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            problem: KeyProblem = "revoked" if key.asbytes() in revoked else "unknown"
            raise HostKeyRefused(alias or hostname, hostname, key, problem)

    class StrictClient(SSHClient):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            for host in names:
                for kind, key in names[host].items():
                    self.get_host_keys().add(host, kind, key)

        def connect(self, hostname: str, port: int = 22, **words: Any) -> None:
            try:
                super().connect(hostname, port, **words)
            except BadHostKeyException as error:
                address = hostname if port == 22 else f"[{hostname}]:{port}"
                listed = alias or address
                file = next((each for each in paths if load([each])[0].lookup(listed)), None)
                raise HostKeyRefused(listed, address, error.key, "changed", file) from None

        def set_missing_host_key_policy(self, policy: Any) -> None:
            super().set_missing_host_key_policy(Refuse)

    return StrictClient


@contextmanager
def strict(paths: Sequence[Path], alias: str = "", name: str = "") -> Iterator[None]:
    """Check host keys on every connection that Fabric builds inside this context.

    `alias` replaces the host's own `name` in known_hosts (HostKeyAlias).
    """
    import fabric.connection

    with _building:
        before = fabric.connection.SSHClient
        fabric.connection.SSHClient = _client_class(paths, alias, name)
        try:
            yield
        finally:
            fabric.connection.SSHClient = before
