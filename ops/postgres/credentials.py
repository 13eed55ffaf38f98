"""The values of the database's secret, completed by what RDS knows.

The secret is the configured one, else the one that RDS manages for the instance
(MasterUserSecret), which is looked up each time: RDS makes another one when it is turned off and on
again. Such a secret has a user name and a password only; host, port and database are those of the
instance (`database.instance`), or of the Aurora cluster that it is a member of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ops.aws import rds, secrets
from ops.aws.rds import ManagedSecret
from ops.core.errors import Refused

if TYPE_CHECKING:
    from ops.aws.session import AwsSession
    from ops.core.config.database import Database

_CREATING = "creating"


def managed_secret(cloud: AwsSession, configured: Database) -> ManagedSecret | None:
    """The secret that RDS manages (rds:DescribeDBInstances, rds:DescribeDBClusters).

    None if `database.secret` is configured, without `database.instance`, and for an instance
    without such a secret. Raises as `rds.instance`.
    """
    if configured.secret or not configured.instance:
        return None
    instance = rds.instance(cloud, configured.instance)
    if instance.secret is None and instance.cluster:
        return rds.cluster(cloud, instance.cluster).secret
    return instance.secret


def stored(cloud: AwsSession, configured: Database) -> Mapping[str, str]:
    """The secret's own values (secretsmanager:GetSecretValue); empty without a secret.

    Raises Refused while RDS is creating the secret, and as `secrets.value` and `rds.instance`.
    """
    if configured.secret:
        return secrets.value(cloud, configured.secret)
    managed = managed_secret(cloud, configured)
    return managed_values(cloud, configured, managed) if managed else {}


def managed_values(
    cloud: AwsSession, configured: Database, managed: ManagedSecret
) -> Mapping[str, str]:
    """The values of a secret that RDS manages. Raises Refused while RDS is creating it."""
    if managed.status == _CREATING:
        raise Refused(
            f"secret {managed.arn}",
            f"RDS is still creating it for {configured.instance}",
            "wait a minute, then run it again",
        )
    return secrets.value(cloud, managed.arn)


def read(cloud: AwsSession, configured: Database) -> Mapping[str, str]:
    """The secret's completed values; empty without a secret. Raises as `stored`."""
    values = stored(cloud, configured)
    return complete(cloud, configured, values) if values or configured.secret else {}


def complete(
    cloud: AwsSession, configured: Database, values: Mapping[str, str]
) -> Mapping[str, str]:
    """The secret's values, with what is missing from the instance (rds:DescribeDBInstances).

    RDS is asked only if neither the secret nor the configuration has the host or the database's
    name. Raises as `rds.instance`.
    """
    known = (configured.host or values.get("host")) and (configured.name or values.get("dbname"))
    if known or not configured.instance:
        return values
    found = address(cloud, configured.instance)
    missing = {name: value for name, value in found.items() if value and not values.get(name)}
    return secrets.Secret({**dict(values), **missing})


def address(cloud: AwsSession, instance_id: str) -> dict[str, str]:
    """Host, port and database of an instance; of its cluster's writer if it is a member of one."""
    instance = rds.instance(cloud, instance_id)
    if not instance.cluster:
        return {"host": instance.host, "port": instance.port, "dbname": instance.database}
    cluster = rds.cluster(cloud, instance.cluster)
    return {
        "host": cluster.host or instance.host,
        "port": cluster.port or instance.port,
        "dbname": cluster.database or instance.database,
    }
