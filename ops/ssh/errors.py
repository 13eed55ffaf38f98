"""Translate SSH errors into `OpsError`s that name the hop that failed.

A failure of a gateway is not reported as a failure of the bastion.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.redaction.redact import one_line
from ops.ssh.host_keys import HostKeyRefused
from ops.ssh.port_forward import NO_CONNECTION, PROHIBITED
from ops.ssh.relay import NoRelay


class ConnectionLost(Unreachable):
    """An established connection was lost."""


class BeyondBastion(Unreachable):
    """The bastion (or the task of a tunnel) is reachable, but a host behind it does not answer."""


def translate_error(
    error: BaseException, hop: str, known_hosts: Sequence[Path], timeout_s: float
) -> OpsError:
    """Translate an error of the connection to `hop` (`user@host:port`)."""
    from paramiko import ssh_exception as ssh

    if isinstance(error, OpsError):
        return error
    what, file = f"ssh {hop}", next(iter(known_hosts), Path("known_hosts"))
    if isinstance(error, HostKeyRefused):
        return _host_key_error(error, what, file)
    if isinstance(error, ssh.PasswordRequiredException):
        return Unreachable(
            what, "the private key is encrypted", "ssh-add it, so that the agent has it"
        )
    if isinstance(error, ssh.AuthenticationException) or "No authentication methods" in str(error):
        how = "set bastion.user and bastion.identity_file, or ssh-add the key"
        return Unreachable(what, f"it does not let us in: {one_line(error)}", how)
    if isinstance(error, ssh.ChannelException):
        return _channel_error(error, what)
    if isinstance(error, NoRelay):
        why = f"forwarding is forbidden there (AllowTcpForwarding), and {error}"
        return Refused(what, why, f"allow it, or {error.instead}")
    if isinstance(error, ssh.ProxyCommandFailure):
        return Unreachable(
            what,
            f"the gateway's command failed: {one_line(error)}",
            "type that command yourself (bastion.gateway)",
        )
    if isinstance(error, socket.gaierror):
        return Unreachable(
            what,
            "the name does not resolve",
            "correct bastion.host in invoke.yaml, or its Host in ssh_config",
        )
    if isinstance(error, TimeoutError):
        return Unreachable(
            what,
            f"no answer within {timeout_s:g} s",
            "check the security group, the VPN and bastion.port",
        )
    if isinstance(error, FileNotFoundError):
        return Unreachable(
            what, one_line(error), "correct bastion.identity_file, or the gateway's command"
        )
    return Unreachable(what, _cause_text(error), "check that sshd runs there, and bastion.port")


def no_session(where: str, waited_s: float) -> Unreachable:
    """sshd refuses another session on an open connection."""
    return Unreachable(
        f"ssh {where}",
        f"sshd allows no more sessions on this connection, after {waited_s:g} s (MaxSessions)",
        "try again; its administrator can raise MaxSessions",
    )


def _cause_text(error: BaseException) -> str:
    """The text of an error; paramiko wraps a refused connection in an error of its own."""
    causes = getattr(error, "errors", None)
    first: Any = next(iter(causes.values())) if isinstance(causes, dict) and causes else error
    return one_line(getattr(first, "strerror", None) or first) or type(error).__name__


def _host_key_error(error: HostKeyRefused, what: str, file: Path) -> Refused:
    file, key = error.file or file, f"its {error.kind} key {error.printed}"
    if error.problem == "revoked":
        return Refused(what, f"{key} is revoked in {file}", "ask the host's administrator")
    if error.problem == "changed":
        return Refused(
            what,
            f"{key} is not the one in {file}: another machine answers, or it was rebuilt",
            f"ask its administrator; then: ssh-keygen -R {shlex.quote(error.name)} -f {file}, and "
            f"add the new key",
        )
    host, _, port = error.address.removeprefix("[").partition("]:")
    scan = f"ssh-keyscan {f'-p {port} ' if port else ''}{host}"
    if error.name != error.address:  # HostKeyAlias
        scan += f" | sed 's/^[^ ]*/{error.name}/'"
    return Refused(
        what,
        f"{key} is not in {file}",
        f"compare it with the host's own, then: {scan} >> {file}",
    )


def _channel_error(error: Any, what: str) -> OpsError:
    code, text = error.args[0], one_line(error.args[-1])
    if code == PROHIBITED:
        return Refused(
            what,
            f"forwarding is forbidden there: {text}",
            "allow it (AllowTcpForwarding); all but db.tunnel do without, by database.run: remote",
        )
    if code == NO_CONNECTION:
        return BeyondBastion(
            what,
            f"it can't be reached from there: {text}",
            "check the security group, name and port",
        )
    return Unreachable(what, text, "sshd allows so many channels (MaxSessions); try again")
