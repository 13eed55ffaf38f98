"""Evidence of the database: the RDS instance, its events and network, and the server's activity."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ops.aws.cloudwatch import logs
from ops.diagnosis.collectors.registry import Reader, collector
from ops.diagnosis.rules.database.texts import LOG_PATTERN, problem_of
from ops.ecs.rules.log_sources import application_events
from ops.postgres import access, activity, credentials

_EVENTS_MINUTES = 24 * 60  # of RDS: how far back
_MAX_LINES = 20  # of a service's log
_STORAGE_MINUTES = 15


@collector("rds/instance", "rds:DescribeDBInstances")
def instance(reader: Reader) -> Any:
    """The configured instance; None without one."""
    name = _instance(reader)
    if not name:
        return None
    found = reader.client("rds").describe_db_instances(DBInstanceIdentifier=name)
    return found["DBInstances"][0]


@collector("rds/events", "rds:DescribeEvents")
def events(reader: Reader) -> Any:
    """The instance's events of the last day, oldest first."""
    name = _instance(reader)
    if not name:
        return []
    found = reader.pages(
        "rds",
        "describe_events",
        "Events",
        SourceIdentifier=name,
        SourceType="db-instance",
        Duration=_EVENTS_MINUTES,
    )
    return sorted(found, key=lambda each: str(each["Date"]))


@collector("rds/free-storage", "cloudwatch:GetMetricStatistics")
def free_storage(reader: Reader) -> Any:
    """Data points of FreeStorageSpace, in bytes, oldest first."""
    name = _instance(reader)
    if not name:
        return []
    now = datetime.now(UTC)
    found = reader.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/RDS",
        MetricName="FreeStorageSpace",
        Dimensions=[{"Name": "DBInstanceIdentifier", "Value": name}],
        StartTime=now - timedelta(minutes=_STORAGE_MINUTES),
        EndTime=now,
        Period=60,
        Statistics=["Minimum"],
    )
    return sorted(found["Datapoints"], key=lambda each: str(each["Timestamp"]))


@collector("rds/security-groups", "ec2:DescribeSecurityGroups")
def security_groups(reader: Reader) -> Any:
    """Id → the security group, of the instance and of the services' tasks."""
    found = reader.content("rds/instance")
    if not found:
        return {}
    wanted = [each["VpcSecurityGroupId"] for each in found.get("VpcSecurityGroups") or ()]
    for service in reader.content("ecs/services").values():
        wanted += _placement(service).get("securityGroups") or ()
    if not wanted:
        return {}
    groups = reader.client("ec2").describe_security_groups(GroupIds=list(dict.fromkeys(wanted)))
    return {each["GroupId"]: each for each in groups["SecurityGroups"]}


def _placement(service: Any) -> Any:
    return ((service or {}).get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}


@collector("secret", "secretsmanager:DescribeSecret")
def secret(reader: Reader) -> Any:
    """The database's secret: names and dates, never a value. None without one."""
    database = reader.environment.database
    if database is None:
        return None
    managed = credentials.managed_secret(reader.cloud, database)
    name = managed.arn if managed else database.secret
    return reader.client("secretsmanager").describe_secret(SecretId=name) if name else None


@collector("database/activity", "PostgreSQL: pg_stat_activity, pg_locks, pg_prepared_xacts")
def database_activity(reader: Reader) -> Any:
    """Settings, sessions, locks and migrations of the server; None without a database."""
    if reader.environment.database is None:
        return None
    settings = reader.platform.settings
    with (
        access.open_database(settings, lambda: reader.cloud) as door,
        access.read_session(door) as opened,
    ):
        return activity.read(opened)


@collector("logs/database", "logs:FilterLogEvents")
def logs_of_database(reader: Reader) -> Any:
    """Service → the newest lines of its log that report a problem with the database.

    Only lines within `health.recent`: older ones say nothing of now.
    """
    now = time.time()
    groups = {
        name: service.log_group
        for name, service in reader.environment.services.items()
        if service.log_group and reader.environment.database is not None
    }
    return reader.read_each(
        {name: partial(_lines, reader, group, now) for name, group in groups.items()}
    )


def _lines(reader: Reader, group: str, now: float) -> list[dict[str, Any]]:
    since, until = int((now - reader.environment.health.recent) * 1000), int((now + 60) * 1000)
    found, _ = logs.events_between(reader.cloud, group, since, until, LOG_PATTERN)
    return [
        {
            "at": datetime.fromtimestamp(each.at / 1000, UTC).isoformat(timespec="seconds"),
            "task": each.stream.rpartition("/")[2],
            "message": each.message,
        }
        for each in application_events(found)
        if problem_of(each.message)
    ][-_MAX_LINES:]


def _instance(reader: Reader) -> str:
    database = reader.environment.database
    return (database.instance if database else None) or ""
