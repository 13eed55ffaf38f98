"""What the faults' tests ask of a sandbox: the faults that stand, a page as a viewer gets it, the
targets, the certificate.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg

from ops.sandbox import faults, lifecycle
from ops.sandbox.contracts import Paths, Timing
from ops.sandbox.database import Server
from ops.sandbox.status import read
from tests import factories
from tests.sandbox.lifecycle_support import operator as clients
from tests.waiting import until

QUICK = Timing(
    tick=0.1,
    provision=0.1,
    pull=0.1,
    health_interval=0.3,
    deregistration_delay=0.3,
    steady=0.3,
    invalidation=1.0,
    database=0.8,
)


@contextlib.contextmanager
def broken(root: Path, *names: str) -> Iterator[None]:
    """These faults, broken one after the other and mended in the same order; each says so and is
    listed meanwhile.
    """
    try:
        for name in names:
            [done] = faults.send_request(root, "break", name)
            assert (
                done["changed"] and done["active"] and done["says"].startswith(f"broken: {name}: ")
            ), done
        assert active(root) == set(names)
        yield
    except BaseException:
        faults.send_request(root, "mend-all")  # the next test's sandbox is the same
        raise
    for name in names:
        [done] = faults.send_request(root, "mend", name)
        assert (
            done["changed"] and not done["active"] and done["says"].startswith(f"mended: {name}")
        ), done
    assert active(root) == set()


def active(root: Path) -> set[str]:
    return {row["name"] for row in faults.faults(root) if row["active"]}


class Page:
    """One GET through the CDN (`site`) or at the load balancer (`alb`), redirects not followed."""

    def __init__(self, root: Path, path: str, where: str = "site", timeout: float = 10) -> None:
        began = time.monotonic()
        address = str(lifecycle.status(root).endpoints()[where]).removeprefix("http://")
        connection = HTTPConnection(address, timeout=timeout)
        connection.request("GET", path, headers={"Host": f"{address}"})
        answer = connection.getresponse()
        self.status, self.body, self.header = (
            answer.status,
            answer.read().decode(),
            answer.getheader,
        )
        self.took = time.monotonic() - began
        connection.close()


def states(root: Path, group: str) -> list[tuple[str, str | None]]:
    """(State, Reason) of each target of a group (DescribeTargetHealth)."""
    elb = clients(root).elb
    arn = elb.describe_target_groups(Names=[group])["TargetGroups"][0]["TargetGroupArn"]
    found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return [(each["TargetHealth"]["State"], each["TargetHealth"].get("Reason")) for each in found]


def until_ill(root: Path, group: str, reason: str) -> None:
    """Until a target of the group is unhealthy for this reason, or the test fails: ECS replaces it,
    and the next begins as initial.
    """
    until(lambda: ("unhealthy", reason) in states(root, group))


def certificate_problem(root: Path) -> str:
    """OpenSSL's word on the certificate for the site's name; empty: it is well."""
    context = ssl.create_default_context(cafile=str(Paths(root).authority))
    record = read(Paths(root))
    assert record is not None and record.ports is not None
    try:
        with socket.create_connection(("127.0.0.1", record.ports.site_tls), 5) as plainly:
            context.wrap_socket(plainly, server_hostname="davidshaevel.com").close()
        return ""
    except ssl.SSLCertVerificationError as refused:
        return refused.verify_message


def connect(root: Path) -> psycopg.Connection[Any]:
    """As the application, with what the secret holds."""
    record = read(Paths(root))
    assert record is not None and record.ports is not None
    login = Server(Paths(root), record.ports.database).login
    return factories.connect(login, connect_timeout=5)
