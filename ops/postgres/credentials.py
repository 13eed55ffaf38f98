"""The values of the database's secret, completed by what RDS knows.

A secret that RDS manages has a user name and a password only; host, port and database are those of
the instance (`database.instance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ops.aws import rds, secrets

if TYPE_CHECKING:
    from ops.aws.session import AwsSession
    from ops.core.config.database import Database


def read(cloud: AwsSession, configured: Database) -> Mapping[str, str]:
    """The secret's completed values (secretsmanager:GetSecretValue).

    Empty without `database.secret`. Raises as `secrets.value` and `rds.instance`.
    """
    if not configured.secret:
        return {}
    return complete(cloud, configured, secrets.value(cloud, configured.secret))


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
    instance = rds.instance(cloud, configured.instance)
    found = {"host": instance.host, "port": instance.port, "dbname": instance.database}
    missing = {name: value for name, value in found.items() if value and not values.get(name)}
    return secrets.Secret({**dict(values), **missing})
