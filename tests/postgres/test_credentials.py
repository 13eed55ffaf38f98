"""The database's address comes from RDS where neither secret nor configuration has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ops.aws import session
from ops.aws.rds import ManagedSecret
from ops.core.config.database import Database
from ops.core.errors import ConfigError, Refused
from ops.health.rules import database as rules
from ops.postgres import credentials, facts

OWN = {"username": "app", "password": "not-a-secret"}


@pytest.fixture
def instance(cloud: session.AwsSession) -> str:
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="shop-db",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        DBName="shop",
        Port=5433,
        MasterUsername="app",
        MasterUserPassword="not-a-secret",
        AllocatedStorage=20,
    )
    return "shop-db"


def secret(cloud: session.AwsSession, name: str, values: dict[str, Any]) -> str:
    made = cloud.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(values))
    return str(made["Name"])


def test_a_secret_that_rds_manages_is_completed(cloud: session.AwsSession, instance: str) -> None:
    name = secret(cloud, "rds!db-1", OWN)
    configured = Database(secret=name, instance=instance)
    found = facts.connection_parameters(configured, credentials.read(cloud, configured))
    assert found["dbname"] == "shop" and found["user"] == "app"
    assert str(found["port"]) == "5433" and "shop-db" in found["host"]


def test_secret_and_configuration_win_over_rds(cloud: session.AwsSession, instance: str) -> None:
    name = secret(cloud, "own", {**OWN, "host": "proxy.internal", "port": 6432, "dbname": "other"})
    configured = Database(secret=name, instance=instance, name="mine")
    found = facts.connection_parameters(configured, credentials.read(cloud, configured))
    assert (found["host"], str(found["port"]), found["dbname"]) == (
        "proxy.internal",
        "6432",
        "mine",
    )


def test_without_an_instance_what_is_missing_is_named(cloud: session.AwsSession) -> None:
    name = secret(cloud, "rds!db-2", OWN)
    configured = Database(secret=name)
    with pytest.raises(ConfigError, match="host is not known"):
        facts.connection_parameters(configured, credentials.read(cloud, configured))


def test_without_a_secret_nothing_is_read(cloud: session.AwsSession) -> None:
    assert credentials.read(cloud, Database()) == {}


def managed(cloud: session.AwsSession, name: str, **more: Any) -> str:
    """An instance whose master password RDS manages (moto makes the secret, and a new one after
    it was turned off and on again).
    """
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        DBName="shop",
        Port=5433,
        MasterUsername="admin",
        ManageMasterUserPassword=True,
        AllocatedStorage=20,
        **more,
    )
    return name


def test_the_secret_that_rds_manages_is_found_by_the_instance(cloud: session.AwsSession) -> None:
    """Looked up each time: RDS makes another secret when it is turned off and on again."""
    configured = Database(instance=managed(cloud, "managed-db"))
    before = credentials.managed_secret(cloud, configured)
    found = facts.connection_parameters(configured, credentials.read(cloud, configured))
    assert (found["user"], found["dbname"], str(found["port"])) == ("admin", "shop", "5433")
    for turned in (False, True):
        more = {} if turned else {"MasterUserPassword": "not-a-secret"}
        cloud.client("rds").modify_db_instance(
            DBInstanceIdentifier="managed-db", ManageMasterUserPassword=turned, **more
        )
    after = credentials.managed_secret(cloud, configured)
    assert before and after and before.arn != after.arn
    assert credentials.read(cloud, configured)["username"] == "admin"


def test_a_secret_that_is_being_created_is_named(cloud: session.AwsSession) -> None:
    """It has no password of the database yet."""
    configured = Database(instance="new-db")
    new = ManagedSecret("arn:aws:secretsmanager:us-east-1:1:secret:rds!db-1", "creating")
    with pytest.raises(Refused, match="still creating it for new-db") as error:
        credentials.managed_values(cloud, configured, new)
    assert error.value.code == 3


def test_a_configured_secret_wins(cloud: session.AwsSession) -> None:
    name = secret(cloud, "mine", {**OWN, "host": "h", "dbname": "d"})
    configured = Database(secret=name, instance=managed(cloud, "other-db"))
    assert credentials.managed_secret(cloud, configured) is None
    assert credentials.read(cloud, configured)["username"] == "app"


def test_an_instance_without_one_has_none(cloud: session.AwsSession, instance: str) -> None:
    """Then libpq's own ways apply, as before."""
    assert credentials.read(cloud, Database(instance=instance)) == {}


def test_a_member_of_a_cluster_has_the_cluster_s(cloud: session.AwsSession) -> None:
    """Aurora: the secret, and the address of the writer, which an instance's own may not be."""
    rds = cloud.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier="shop",
        Engine="aurora-postgresql",
        DatabaseName="shop",
        MasterUsername="admin",
        ManageMasterUserPassword=True,
    )
    rds.create_db_instance(
        DBInstanceIdentifier="shop-1",
        DBInstanceClass="db.t4g.medium",
        Engine="aurora-postgresql",
        DBClusterIdentifier="shop",
    )
    writer = rds.describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"][0]
    configured = Database(instance="shop-1")
    found = facts.connection_parameters(configured, credentials.read(cloud, configured))
    assert (found["host"], found["user"], found["dbname"]) == (writer["Endpoint"], "admin", "shop")


def test_an_instance_that_is_not_there_is_named(cloud: session.AwsSession) -> None:
    with pytest.raises(ConfigError, match="RDS instance absent-db"):
        credentials.read(cloud, Database(instance="absent-db"))


def test_the_status_of_a_managed_secret_is_in_its_check() -> None:
    values = {"username": "u", "password": "p"}
    for status, text in (("active", "RDS: active"), ("impaired", "RDS cannot rotate it")):
        found = rules.secret("arn", values, {"h"}, status)
        assert found.status == "ok" and text in found.detail
