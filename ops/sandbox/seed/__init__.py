"""The platform after `sandbox.up`: infrastructure, version 1, and two healthy services.

It is created by API calls through boto3 and the docker client, as an operator would do it;
Terraform owns none of it.
"""

from __future__ import annotations

from ops.sandbox.seed.account import make_account, make_prerequisites, make_repositories
from ops.sandbox.seed.clients import Clients
from ops.sandbox.seed.images import build_and_push, registry_token
from ops.sandbox.seed.names import CLUSTER, SERVICES, ServiceSpec
from ops.sandbox.seed.network import Network, make_network
from ops.sandbox.seed.services import await_steady, create, register

__all__ = [
    "CLUSTER",
    "SERVICES",
    "Clients",
    "Network",
    "ServiceSpec",
    "await_steady",
    "build_and_push",
    "create",
    "make_account",
    "make_network",
    "make_prerequisites",
    "make_repositories",
    "register",
    "registry_token",
]
