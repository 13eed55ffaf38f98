"""The RDS instance of the database: its state, snapshots, and start.

See the runbook, "RDS Connectivity".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.aws.session import AwsSession
from ops.core.errors import ConfigError, OpsError, Refused


@dataclass(frozen=True)
class ManagedSecret:
    """The secret in which RDS keeps the password of the master user (MasterUserSecret).

    `status` is creating, active, rotating or impaired (it can be used, but RDS cannot rotate it).
    """

    arn: str
    status: str


@dataclass(frozen=True)
class Cluster:
    """An Aurora cluster (DescribeDBClusters); `host` is the endpoint of its writer."""

    id: str
    host: str = ""
    port: str = ""
    database: str = ""
    secret: ManagedSecret | None = None


@dataclass(frozen=True)
class Instance:
    """An instance (DescribeDBInstances).

    `status` is DBInstanceStatus: available, stopped, starting, backing-up …
    `public` is PubliclyAccessible: if false, its address is reached from its VPC only; None if RDS
    does not say. `database` is DBName, the database that RDS created; "" if it created none.
    `cluster` is the Aurora cluster that it is a member of, whose secret is the cluster's.
    """

    id: str
    status: str
    engine: str
    version: str
    host: str = ""
    public: bool | None = None
    port: str = ""
    database: str = ""
    secret: ManagedSecret | None = None
    cluster: str = ""
    groups: tuple[str, ...] = ()  # its VPC security groups

    @property
    def major(self) -> int | None:
        """PostgreSQL's major version; None for another engine."""
        number = self.version.split(".")[0]
        return (
            int(number)
            if self.engine in ("postgres", "aurora-postgresql") and number.isdigit()
            else None
        )


@dataclass(frozen=True)
class Snapshot:
    """A snapshot (DescribeDBSnapshots).

    `status` is creating, available or failed; `percent` is PercentProgress.
    """

    id: str
    instance: str
    status: str
    percent: int


def instance(cloud: AwsSession, id: str) -> Instance:
    """Describe an instance (rds:DescribeDBInstances). Raises ConfigError if it does not exist."""
    with cloud.translated(f"RDS instance {id} (rds:DescribeDBInstances)", _not_found(id)):
        found = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=id)["DBInstances"][0]
        endpoint = found.get("Endpoint") or {}  # absent while it is being created
        return Instance(
            found["DBInstanceIdentifier"],
            found["DBInstanceStatus"],
            found["Engine"],
            found["EngineVersion"],
            endpoint.get("Address", ""),
            found.get("PubliclyAccessible"),
            str(endpoint.get("Port") or ""),
            found.get("DBName") or "",
            _to_secret(found),
            found.get("DBClusterIdentifier") or "",
            tuple(each["VpcSecurityGroupId"] for each in found.get("VpcSecurityGroups") or ()),
        )


def cluster(cloud: AwsSession, id: str) -> Cluster:
    """Describe an Aurora cluster (rds:DescribeDBClusters). Raises ConfigError if it is gone."""
    gone = ConfigError(
        f"RDS cluster {id}",
        "there is no such cluster in this account and region",
        "correct database.instance in invoke.yaml",
    )
    answers = {"DBClusterNotFoundFault": gone, "DBClusterNotFound": gone}
    with cloud.translated(f"RDS cluster {id} (rds:DescribeDBClusters)", answers):
        found = cloud.client("rds").describe_db_clusters(DBClusterIdentifier=id)["DBClusters"][0]
        return Cluster(
            found["DBClusterIdentifier"],
            found.get("Endpoint") or "",
            str(found.get("Port") or ""),
            found.get("DatabaseName") or "",
            _to_secret(found),
        )


def _to_secret(found: Mapping[str, Any]) -> ManagedSecret | None:
    secret = found.get("MasterUserSecret") or {}
    if not secret.get("SecretArn"):
        return None
    return ManagedSecret(secret["SecretArn"], secret.get("SecretStatus") or "")


def start(cloud: AwsSession, id: str) -> None:
    """Start a stopped instance (rds:StartDBInstance); this takes minutes.

    Raises Refused if the instance is not stopped.
    """
    answers: Mapping[str, OpsError] = {
        **_not_found(id),
        "InvalidDBInstanceState": Refused(
            f"RDS instance {id} can't be started", "it is not stopped", "run it again: it waits"
        ),
        "InvalidDBInstanceStateFault": Refused(
            f"RDS instance {id} can't be started", "it is not stopped", "run it again: it waits"
        ),
        "DBClusterNotFoundFault": Refused(
            f"RDS instance {id} can't be started",
            "it belongs to a cluster",
            "aws rds start-db-cluster",
        ),
    }
    with cloud.changing(f"RDS instance {id} (rds:StartDBInstance)", answers):
        cloud.client("rds").start_db_instance(DBInstanceIdentifier=id)


def create_snapshot(cloud: AwsSession, id: str, name: str, tags: Mapping[str, str]) -> Snapshot:
    """Start to create a snapshot (rds:CreateDBSnapshot); RDS continues on its own.

    Raises Refused if the instance is not available, the quota is reached, or the snapshot exists.
    """
    what = f"snapshot {name} of RDS instance {id}"
    answers: Mapping[str, OpsError] = {
        **_not_found(id),
        "InvalidDBInstanceState": Refused(
            what, "the instance is not available", "inv db.start, then run it again"
        ),
        "InvalidDBInstanceStateFault": Refused(
            what, "the instance is not available", "inv db.start, then run it again"
        ),
        "SnapshotQuotaExceeded": Refused(
            what, "the quota of manual snapshots is reached", "delete old ones, or raise it"
        ),
        "DBSnapshotAlreadyExists": Refused(
            what, "there is a snapshot of that name", "name another one: --name"
        ),
        "InvalidParameterValue": ConfigError(
            what,
            "RDS does not take this name",
            "letters, digits and single hyphens, a letter first",
        ),
    }
    labels = [{"Key": key, "Value": value[:256]} for key, value in tags.items()]
    with cloud.changing(f"{what} (rds:CreateDBSnapshot)", answers):
        made = cloud.client("rds").create_db_snapshot(
            DBInstanceIdentifier=id, DBSnapshotIdentifier=name, Tags=labels
        )
        return _to_snapshot(made["DBSnapshot"])


def snapshot(cloud: AwsSession, name: str) -> Snapshot:
    """The current state of a snapshot (rds:DescribeDBSnapshots)."""
    gone = OpsError(
        f"snapshot {name}", "RDS does not know it any more", "see: aws rds describe-db-snapshots"
    )
    with cloud.translated(
        f"snapshot {name} (rds:DescribeDBSnapshots)",
        {"DBSnapshotNotFound": gone, "DBSnapshotNotFoundFault": gone},
    ):
        return _to_snapshot(
            cloud.client("rds").describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][0]
        )


def _to_snapshot(found: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        found["DBSnapshotIdentifier"],
        found["DBInstanceIdentifier"],
        found["Status"],
        int(found.get("PercentProgress") or 0),
    )


def _not_found(id: str) -> dict[str, OpsError]:
    why = "there is no such instance in this account and region"
    problem = ConfigError(f"RDS instance {id}", why, "correct database.instance in invoke.yaml")
    return {"DBInstanceNotFound": problem, "DBInstanceNotFoundFault": problem}
