"""The overlay: the sandbox's configuration for every later `inv` (`environment.yaml`).

See design.md "Configuration".
"""

from __future__ import annotations

from typing import Any

import yaml

from ops.core.config.schema import OVERLAY_FILE, modeline
from ops.sandbox.bastion.keys import Keys
from ops.sandbox.contracts import OPERATOR, Paths, Ports
from ops.sandbox.database.cluster import write_private
from ops.sandbox.keys import Key

_HEADER = (
    "# Written by `inv sandbox.up` and removed by `inv sandbox.down`. The keys are those of "
    "the sandbox's own AWS, of this start.\n"
)


def write_overlay(paths: Paths, ports: Ports, key: Key, engine: str, more: dict[str, Any]) -> None:
    """Write the overlay, readable by its owner only.

    `engine` is the engine's address, `more` further settings.
    """
    keys = Keys(paths.bastion)
    values = {
        "aws": {
            "endpoint": f"http://127.0.0.1:{ports.aws}",
            "access_key": key.access_key,
            "secret_key": key.secret_key,
        },
        "engine": engine,
        "site": f"http://127.0.0.1:{ports.site}",
        "site_tls": f"https://127.0.0.1:{ports.site_tls}",
        "site_ca": str(paths.authority.resolve()),
        "alb": f"http://127.0.0.1:{ports.alb}",
        "source": str(paths.platform.resolve()),
        "bastion": {
            "host": "127.0.0.1",
            "port": ports.bastion,
            "user": OPERATOR,
            "identity_file": str(keys.identity.resolve()),
            "known_hosts": str(keys.known_hosts.resolve()),
            "ssh_config": str(keys.ssh_config.resolve()),
        },
        **more,
    }
    header = modeline(str(OVERLAY_FILE)) + _HEADER
    write_private(paths.overlay, header + yaml.safe_dump(values, sort_keys=False))
