"""The hops to the bastion, as unopened connections of Fabric.

`ssh -G` reads ssh_config where there is the program, else paramiko's parser, without Include,
CertificateFile, HostKeyAlias, IdentityAgent and `ProxyJump none`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError
from ops.core.parallel import importing
from ops.ssh import client_config, host_keys, identities
from ops.ssh.client_config import HopConfig

if TYPE_CHECKING:
    from ops.core.config.database import Bastion

_MAX_HOPS = 8  # more are a circle of ProxyJump


def build(root: Path, bastion: Bastion) -> tuple[Any, tuple[Path, ...]]:
    """The connection to the bastion with its gateways, and its known_hosts files.

    Raises ConfigError for an ssh_config that ssh refuses.
    """
    with importing:
        import fabric  # noqa: F401

    logging.getLogger("paramiko").addHandler(
        logging.NullHandler()
    )  # errors are raised, and reported once
    builder = _Builder(root, bastion)
    hop = client_config.read(bastion.host, bastion.user, bastion.port, builder.config_file)
    return builder.from_paramiko() if hop is None else builder.bastion_hop(hop)


@dataclass(frozen=True)
class _Builder:
    root: Path
    bastion: Bastion

    def _file(self, named: str) -> Path:
        return self.root / Path(named).expanduser()

    @property
    def config_file(self) -> Path | None:
        return self._file(self.bastion.ssh_config) if self.bastion.ssh_config else None

    @property
    def known_hosts(self) -> str | None:
        return str(self._file(self.bastion.known_hosts)) if self.bastion.known_hosts else None

    def bastion_hop(self, hop: HopConfig) -> tuple[Any, tuple[Path, ...]]:
        """The bastion: its own settings take precedence over ssh_config."""
        gateway = (self.bastion.gateway or "").strip()
        if " " in gateway:
            hop = replace(hop, proxy_jump="", proxy_command=gateway)
        elif gateway:
            hop = replace(hop, proxy_jump=gateway, proxy_command="")
        return self._connection(hop, self._gateway(hop)), self._known(hop)

    def _own_key(self, hop: HopConfig) -> HopConfig:
        """With bastion.identity_file: no other key, since sshd counts every attempt."""
        if not self.bastion.identity_file:
            return hop
        file = self._file(self.bastion.identity_file)
        if not file.exists():
            raise FileNotFoundError(2, "No such file or directory", str(file))
        return replace(hop, identity_files=(file,), identities_only=True)

    def _known(self, hop: HopConfig) -> tuple[Path, ...]:
        return (Path(self.known_hosts),) if self.known_hosts else hop.known_hosts

    def _gateway(self, hop: HopConfig, depth: int = 0) -> Any:
        """The gateway of a hop: a connection, a command, or None."""
        if not hop.proxy_jump:
            command = client_config.fill_tokens(
                hop.proxy_command, hop.name, hop.hostname, hop.user, hop.port
            )
            return command or None
        found: Any = None
        for host, user, port in client_config.jumps(hop.proxy_jump):
            through = client_config.read(host, user, port, self.config_file)
            assert through is not None  # the bastion itself was read by ssh
            if depth >= _MAX_HOPS:
                raise ConfigError(
                    f"the gateways of {self.bastion.host}",
                    f"ProxyJump leads through {host} again and again",
                    "correct ProxyJump in ssh_config, or set bastion.gateway",
                )
            found = self._connection(through, found or self._gateway(through, depth + 1))
        return found

    def _connection(self, hop: HopConfig, gateway: Any) -> Any:
        import fabric
        from paramiko.config import SSHConfig

        hop = self._own_key(hop)
        timeout_s = self.bastion.connect_timeout
        with host_keys.strict(self._known(hop), hop.host_key_alias, hop.known_hosts_name):
            connection = fabric.Connection(
                hop.hostname,
                user=hop.user,
                port=hop.port,
                gateway=gateway,
                config=fabric.Config(ssh_config=SSHConfig()),
                connect_timeout=int(timeout_s),
                connect_kwargs={
                    "banner_timeout": timeout_s,
                    "auth_timeout": timeout_s,
                    **identities.connect_words(hop),
                },
            )
        if hop.agent:
            connection.client._agent = identities.agent(hop)  # else paramiko would ask its own
        return connection

    def from_paramiko(self) -> tuple[Any, tuple[Path, ...]]:
        """The connection by Fabric's and paramiko's own reading of ssh_config."""
        import fabric

        bastion, file = self.bastion, self.config_file
        config = fabric.Config(runtime_ssh_path=str(file)) if file else fabric.Config()
        found = host_keys.files(
            self.known_hosts, config.base_ssh_config.lookup(bastion.host).get("userknownhostsfile")
        )
        keys: dict[str, Any] = {
            "banner_timeout": bastion.connect_timeout,
            "auth_timeout": bastion.connect_timeout,
        }
        if bastion.identity_file:  # no other key: sshd counts every attempt
            keys |= {
                "key_filename": str(self._file(bastion.identity_file)),
                "look_for_keys": False,
                "allow_agent": False,
            }
        given = {
            "user": bastion.user,
            "port": bastion.port,
            "connect_timeout": int(bastion.connect_timeout),
            "connect_kwargs": keys,
        }
        with host_keys.strict(found):
            gateway: Any = bastion.gateway
            if gateway and " " not in gateway.strip():
                gateway = fabric.Connection(
                    gateway,
                    config=config,
                    connect_timeout=given["connect_timeout"],
                    connect_kwargs=keys,
                )
            words = {key: value for key, value in given.items() if value is not None}
            through = (
                {"gateway": gateway} if gateway else {}
            )  # a gateway of None would override ssh_config
            connection = fabric.Connection(bastion.host, config=config, **words, **through)
        if isinstance(gateway, str):  # Fabric would fill in port 22, whatever the port
            connection.gateway = client_config.fill_tokens(
                gateway, bastion.host, connection.host, connection.user, connection.port
            )
        return connection, found
