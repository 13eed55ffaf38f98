"""The kernel's part of the ground: three network namespaces, the links between them, and programs
started inside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

NAME = "db.internal.example"
PASSWORD = "never-to-be-seen-7f1c9"
OPERATOR, BASTION, DATABASE = (
    f"ops-{who}-{os.getpid()}" for who in ("operator", "bastion", "database")
)
AWS_PORT, SSH_PORT, PG_PORT = 5555, 2222, 5432
BASTION_ADDRESS, DATABASE_ADDRESS = "10.77.1.2", "10.77.2.2"
OWN = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
LINKS = (
    ("ops-a", OPERATOR, "10.77.1.1/24", "ops-b", BASTION, f"{BASTION_ADDRESS}/24"),
    ("ops-c", BASTION, "10.77.2.1/24", "ops-d", DATABASE, f"{DATABASE_ADDRESS}/24"),
)


def run(*words: str | Path, **more: Any) -> str:
    return subprocess.run(
        [str(word) for word in words],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    ).stdout


def inside(namespace: str, *words: str | Path) -> list[str]:
    return ["ip", "netns", "exec", namespace, *(str(word) for word in words)]


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def networks(ends: ExitStack) -> None:
    for namespace in (OPERATOR, BASTION, DATABASE):
        run("ip", "netns", "add", namespace)
        ends.callback(
            subprocess.run, ["ip", "netns", "del", namespace], check=False, capture_output=True
        )
        run(*inside(namespace, "ip", "link", "set", "lo", "up"))
    for near, one, here, far, other, there in LINKS:
        run(
            "ip",
            "link",
            "add",
            near,
            "netns",
            one,
            "type",
            "veth",
            "peer",
            "name",
            far,
            "netns",
            other,
        )
        for name, namespace, address in ((near, one, here), (far, other, there)):
            run(*inside(namespace, "ip", "address", "add", address, "dev", name))
            run(*inside(namespace, "ip", "link", "set", name, "up"))
    hosts = (
        Path("/etc/netns") / BASTION / "hosts"
    )  # `ip netns exec` puts it in the place of /etc/hosts
    hosts.parent.mkdir(parents=True)
    ends.callback(shutil.rmtree, hosts.parent)
    hosts.write_text(f"127.0.0.1 localhost\n{DATABASE_ADDRESS} {NAME}\n")
