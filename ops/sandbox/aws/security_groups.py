"""The check of security groups: from the load balancer to a task, from a task to the database.

Emulates the ingress of the task's groups, by source group, address range, protocol and port.
Differs from EC2: egress rules, network ACLs and prefix lists are ignored, and a task without
groups, or a load balancer without any, is let through.
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network
from typing import Any

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.rds.models import rds_backends

from ops.sandbox.aws.ecs.store import EcsStore
from ops.sandbox.contracts import ACCOUNT, REGION

_PRIVATE = IPv4Network("10.0.0.0/16")  # the VPC: where the load balancer's own addresses lie


def database_reachable(store: EcsStore, address: str, port: int) -> bool:
    """Whether the task at `address` reaches an RDS instance on `port`."""
    place = _placement(store, address)
    instances = list(rds_backends[ACCOUNT][REGION].databases.values())
    names = {str(name) for each in instances for name in each.vpc_security_group_ids or ()}
    groups = [group for group in map(_group, names) if group is not None]
    sources = {str(each) for each in place.get("securityGroups") or ()}
    return (
        not groups
        or not sources
        or any(_lets(rule, port, sources) for group in groups for rule in list(group.ingress_rules))
    )


def reachable(store: EcsStore, address: str, port: int) -> bool:
    """Whether the load balancer reaches the task at `address` on `port`."""
    place = _placement(store, address)
    groups = [
        group for group in map(_group, place.get("securityGroups") or ()) if group is not None
    ]
    sources = _balancer_groups()
    return (
        not groups
        or not sources
        or any(_lets(rule, port, sources) for group in groups for rule in list(group.ingress_rules))
    )


def _placement(store: EcsStore, address: str) -> dict[str, Any]:
    """Return the awsvpcConfiguration of the task at this address; empty if none runs there."""
    with store.lock:
        task = next(
            (
                each
                for each in store.tasks.values()
                if each.address == address and each.stopped_at is None
            ),
            None,
        )
        if task is None:
            return {}
        return task.network_configuration.get("awsvpcConfiguration") or {}


def _group(identifier: str) -> Any:
    return ec2_backends[ACCOUNT][REGION].get_security_group_from_id(identifier)


def _balancer_groups() -> set[str]:
    found = list(elbv2_backends[ACCOUNT][REGION].load_balancers.values())
    return {str(group) for balancer in found for group in balancer.security_groups or ()}


def _lets(rule: Any, port: int, sources: set[str]) -> bool:
    everything = str(rule.ip_protocol) == "-1"
    if not everything and str(rule.ip_protocol) != "tcp":
        return False
    if not everything and not int(rule.from_port or 0) <= port <= int(rule.to_port or 65_535):
        return False
    granted = rule.source_group
    if granted and granted.get("GroupId") in sources:
        return True
    span = (rule.ip_range or {}).get("CidrIp")
    network = ip_network(span, strict=False) if span else None
    return isinstance(network, IPv4Network) and _PRIVATE.subnet_of(network)
