"""The database's address comes from RDS where neither secret nor configuration has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ops.aws import session
from ops.core.config.database import Database
from ops.core.errors import ConfigError
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
