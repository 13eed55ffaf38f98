"""ssh_config as OpenSSH reads it, by `ssh -G`: Include, Match, certificates, agents and aliases.

paramiko's own parser drops Include and criteria of Match that it does not know. It is used only
where there is no `ssh` program.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import ConfigError
from ops.core.redaction.redact import one_line

_TIMEOUT = 15.0  # seconds; `Match exec` runs commands
_NONE = "none"
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True)
class HopConfig:
    """What OpenSSH would use to connect to `name`; an empty text means "not set"."""

    name: str
    hostname: str
    user: str
    port: int
    identity_files: tuple[Path, ...] = ()
    certificate_files: tuple[Path, ...] = ()
    known_hosts: tuple[Path, ...] = ()
    host_key_alias: str = ""
    agent: str = ""  # the path of the agent's socket
    identities_only: bool = False
    proxy_jump: str = ""
    proxy_command: str = ""

    @property
    def known_hosts_name(self) -> str:
        """The host as paramiko writes it in known_hosts."""
        return self.hostname if self.port == 22 else f"[{self.hostname}]:{self.port}"


def read(name: str, user: str | None, port: int | None, file: Path | None) -> HopConfig | None:
    """Read the configuration of a host; None where `ssh` can't be run.

    `user` and `port` take precedence over the file, which is the user's own if None. Raises
    ConfigError for a file that ssh refuses.
    """
    program = shutil.which("ssh")
    home = _account_home()
    if program is None or home is None:  # ssh refuses to run as a user without an account
        return None
    own = _own_file(home) if file is None else str(file)
    words = [program, "-G", "-T"]
    words += ["-F", own] if own else []
    words += ["-l", user] if user else []
    words += ["-p", str(port)] if port else []
    what = f"the ssh_config of {name}"
    try:
        done = subprocess.run(
            [*words, "--", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ConfigError(what, one_line(error), f"try it: ssh -G {name}") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = one_line(lines[0]) if lines else f"ssh -G ended with {done.returncode}"
        raise ConfigError(what, why, f"correct it, then try: ssh -G {name}")
    return parse(name, done.stdout.decode(errors="replace"))


def _account_home() -> Path | None:
    """The home folder of this user's account; None without one, as in some containers."""
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def _own_file(home: Path) -> str:
    """The file for `-F`, if $HOME is not the account's: ssh itself ignores $HOME."""
    if Path.home() == home:
        return ""
    own = Path.home() / ".ssh" / "config"
    return str(own) if own.is_file() else _NONE


def parse(name: str, text: str) -> HopConfig:
    """Parse the output of `ssh -G`."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)

    def one(key: str) -> str:
        value = found.get(key, [""])[0]
        return "" if value == _NONE else value

    hostname, user, port = one("hostname") or name, one("user"), int(one("port") or 22)

    def expand(value: str) -> str:
        filled = fill_tokens(value, name, hostname, user, port)
        return os.path.expandvars(str(Path(filled).expanduser()))

    def files(key: str) -> tuple[Path, ...]:
        paths = [Path(expand(value)) for value in found.get(key, []) if value != _NONE]
        return tuple(path for path in paths if path.is_file() and os.access(path, os.R_OK))

    hosts = [*one("userknownhostsfile").split(), *one("globalknownhostsfile").split()]
    return HopConfig(
        name,
        hostname,
        user,
        port,
        identity_files=files("identityfile"),
        certificate_files=files("certificatefile"),
        known_hosts=tuple(Path(expand(value)) for value in hosts),
        host_key_alias=one("hostkeyalias"),
        agent=_agent(found.get("identityagent", ["SSH_AUTH_SOCK"])[0], expand),
        identities_only=one("identitiesonly") == "yes",
        proxy_jump=one("proxyjump"),
        proxy_command=one("proxycommand"),
    )


def fill_tokens(text: str, name: str, hostname: str, user: str, port: int) -> str:
    """Fill in the tokens of ssh_config, such as `%h`; those that are unknown here stay."""
    tokens: dict[str, Callable[[], str]] = {
        "%%": lambda: "%",
        "%d": lambda: str(Path.home()),
        "%h": lambda: hostname,
        "%i": lambda: str(os.getuid()),
        "%n": lambda: name,
        "%p": lambda: str(port),
        "%r": lambda: user,
        "%u": getpass.getuser,
    }
    return re.sub("%.", lambda found: tokens[found[0]]() if found[0] in tokens else found[0], text)


def _agent(value: str, expand: Callable[[str], str]) -> str:
    if value == _NONE:
        return ""
    if value == "SSH_AUTH_SOCK":
        return os.environ.get(value, "")
    return os.environ.get(value[1:], "") if value.startswith("$") else expand(value)


def jumps(text: str) -> Sequence[tuple[str, str | None, int | None]]:
    """The hops of ProxyJump, first to last: host, user and port. Raises ConfigError."""
    found = []
    for word in text.split(","):
        match = _JUMP.fullmatch(word.strip())
        if match is None:
            raise ConfigError(
                "the gateway of the bastion",
                f"{word.strip()!r} is not [user@]host[:port]",
                "correct bastion.gateway, or ProxyJump in ssh_config",
            )
        port = int(match["port"]) if match["port"] else None
        found.append((match["v6"] or match["host"], match["user"], port))
    return found
