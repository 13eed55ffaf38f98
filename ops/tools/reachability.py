"""Whether an address of the platform can be expected to answer this machine.

An internal load balancer, or one whose security groups admit some networks only, is reached from
those networks. That this machine gets no connection then says nothing about the platform.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from ops.aws import ec2, elb
from ops.aws.facts import Balancer, Ingress
from ops.aws.session import AwsSession
from ops.core.findings import Unknown
from ops.core.parallel import try_call
from ops.http import errors
from ops.http.facts import Answer

_CONNECT_TIMEOUT_S = 3.0
_NOT_CONNECTED = ("name_unresolved", "connection_refused", "page_hangs", "no_answer")
_ANYONE = ("0.0.0.0/0", "::/0")
_PORTS = {"http": 80, "https": 443}
_MOST_RESOLVED = 20  # load balancers whose names are resolved to find that of an address
_MOST_NAMED = 3


@dataclass(frozen=True)
class Destination:
    """An address that gives no connection, as this machine and AWS know it.

    `addresses`: None if the name is not resolved here. `balancer`: the load balancer behind it,
    with the inbound rules of its security groups; `others`: those of the Region.
    """

    host: str
    port: int
    addresses: tuple[str, ...] | None
    balancer: Balancer | None = None
    ingress: tuple[Ingress, ...] = ()
    others: tuple[Balancer, ...] = ()


def unreached(cloud: AwsSession, base: str, answers: Iterable[Answer]) -> Unknown | None:
    """Why the pages at `base` that gave no connection are unknown, and not down.

    None if every page answered, if `base` is connected to from here, or if it is public, as far as
    AWS says.
    """
    silent = [answer for answer in answers if _is_silent(answer)]
    if not silent:
        return None
    parts = urlsplit(base)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)
    if not host or errors.is_loopback(host) or _connects(host, port):
        return None
    found = try_call(lambda: read_destination(cloud, host, port))
    reason = None if isinstance(found, Unknown) else private_reason(found)
    return Unknown(f"not reached from this machine: {reason}") if reason else None


def without_connection(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """The answers that say nothing if their address is not reached from here."""
    return tuple(answer for answer in answers if _is_silent(answer))


def private_reason(found: Destination) -> str | None:
    """Why only some networks reach it; None for an address that anyone reaches."""
    if found.balancer is not None:
        name = found.balancer.name
        if found.balancer.internal:
            return f"load balancer {name} is internal: its VPC and connected networks reach it"
        sources = admitted(found.balancer.groups, found.ingress, found.port)
        if sources is None:
            return None
        return f"the security groups of load balancer {name} admit port {found.port} from {sources}"
    if found.addresses is None:
        if found.others and all(each.internal for each in found.others):
            return (
                f"{found.host} is not resolved here, and every load balancer of the Region is "
                f"internal"
            )
        return None
    if found.addresses and all(ip_address(each).is_private for each in found.addresses):
        return f"{found.host} has private addresses only ({', '.join(found.addresses)})"
    return None


def admitted(groups: Sequence[str], ingress: Iterable[Ingress], port: int) -> str | None:
    """The sources that security groups admit to a port, in words; None if anyone is admitted."""
    if not groups:
        return None
    rules = [
        rule
        for rule in ingress
        if rule.protocol == "-1" or (rule.protocol == "tcp" and rule.first <= port <= rule.last)
    ]
    sources = tuple(dict.fromkeys(source for rule in rules for source in rule.sources))
    if any(source in _ANYONE for source in sources):
        return None
    more = f" and {len(sources) - _MOST_NAMED} more" if len(sources) > _MOST_NAMED else ""
    return f"{', '.join(sources[:_MOST_NAMED])}{more}" if sources else "nobody"


def read_destination(cloud: AwsSession, host: str, port: int) -> Destination:
    """Read the load balancers of the Region, and the security groups of the one behind `host`.

    Calls elasticloadbalancing:DescribeLoadBalancers and ec2:DescribeSecurityGroups.
    """
    addresses = _resolved(host)
    balancers = elb.load_balancers(cloud)
    own = _behind(host, addresses or (), balancers)
    ingress = ec2.ingress(cloud, own.groups) if own and own.groups and not own.internal else ()
    return Destination(host, port, addresses, own, ingress, balancers)


def _behind(host: str, addresses: Sequence[str], balancers: Sequence[Balancer]) -> Balancer | None:
    """The load balancer with this name, else the one that has its addresses (an alias)."""
    name = host.lower().rstrip(".").removeprefix("dualstack.")
    for each in balancers:
        if each.dns_name.lower() == name:
            return each
    wanted = set(addresses)
    for each in balancers[:_MOST_RESOLVED] if wanted else ():
        if wanted & set(_resolved(each.dns_name) or ()):
            return each
    return None


def _resolved(host: str) -> tuple[str, ...] | None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return None
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


def _connects(host: str, port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((host, port), _CONNECT_TIMEOUT_S).close()
        return True
    return False


def _is_silent(answer: Answer) -> bool:
    return not answer.status and answer.cause in _NOT_CONNECTED
