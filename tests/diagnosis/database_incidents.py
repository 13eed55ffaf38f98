"""The database's documents of a healthy platform, and the checks of a service that fails."""

from __future__ import annotations

from typing import Any

from tests.diagnosis.incidents import ACCOUNT, AT, task, world

SECRET = "dev-db-credentials"
SECRET_ARN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{SECRET}-AbCdEf"
STARTED = "2026-11-28T01:00:00+00:00"
MESSAGES = {
    "password": 'FATAL:  password authentication failed for user "shop"',
    "no_tls": 'FATAL:  no pg_hba.conf entry for host "10.0.1.2", user "shop", database "shop", '
    "no encryption",
    "no_entry": 'FATAL:  no pg_hba.conf entry for host "10.0.1.2", user "shop", database "x", '
    "SSL encryption",
    "timeout": 'connection to server at "10.0.21.5", port 5432 failed: timeout expired',
    "node_timeout": "Error: connect ETIMEDOUT 10.0.21.5:5432",
    "self_signed": "pg: SELF_SIGNED_CERT_IN_CHAIN: self-signed certificate in certificate chain",
    "no_ssl": "psycopg.OperationalError: server does not support SSL, but SSL was required",
    "exhausted": "FATAL:  sorry, too many clients already",
    "read_only": "ERROR:  cannot execute UPDATE in a read-only transaction",
}


def event(message: str, at: str, *categories: str) -> dict[str, Any]:
    """An event of DescribeEvents."""
    return {"Message": message, "Date": at, "EventCategories": list(categories)}


def session(pid: int, **fields: Any) -> dict[str, Any]:
    """A session of `database/activity`: the backend's, idle."""
    return {
        "pid": pid,
        "database": "shop",
        "user": "shop",
        "application": "backend",
        "address": "10.0.1.2",
        "state": "idle",
        "wait_event_type": "Client",
        "transaction_s": None,
        "state_s": 1.0,
        "blocked_by": None,
        "statement": "SELECT ?",
        **fields,
    }


def healthy() -> dict[str, Any]:
    """A healthy platform with a database."""
    documents = world()
    definition = documents["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    definition["containerDefinitions"][0]["secrets"] = [
        {"name": "DB_PASSWORD", "valueFrom": f"{SECRET_ARN}:password::"}
    ]
    address = {
        "type": "ElasticNetworkInterface",
        "details": [{"name": "privateIPv4Address", "value": "10.0.1.2"}],
    }
    documents["ecs/tasks"]["dev-backend"]["running"] = [
        task("a", startedAt=STARTED, attachments=[address])
    ]
    documents["rds/instance"] = {
        "DBInstanceIdentifier": "dev-db",
        "DBInstanceStatus": "available",
        "AllocatedStorage": 20,
        "Endpoint": {"Address": "dev-db.example", "Port": 5432},
        "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-db", "Status": "active"}],
    }
    documents["rds/events"] = []
    documents["rds/free-storage"] = [{"Timestamp": AT, "Minimum": 15e9}]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    documents["rds/security-groups"] = {
        "sg-db": {"IpPermissions": [ingress(source="sg-tasks")], "IpPermissionsEgress": []},
        "sg-tasks": {"IpPermissions": [], "IpPermissionsEgress": [everything]},
    }
    documents["secret"] = {"Name": SECRET, "LastChangedDate": "2026-11-01T00:00:00+00:00"}
    documents["database/activity"] = {
        "settings": {"max_connections": 53, "reserved_connections": 3, "ssl": "on"},
        "sessions": [session(10), session(11)],
        "locks": [],
        "prepared": [],
        "migration": [],
        "history": [],
    }
    documents["logs/database"] = {"backend": []}
    documents["sweep"]["checks"] = [check("db", "connection", status="ok")]
    documents["terraform/locks"] = {"host": "here", "limit_s": 3600, "locks": [], "processes": []}
    documents["locks"] = []
    documents["aws/identity"] = {"account": ACCOUNT, "arn": "arn", **clocks()}
    return documents


def ingress(port: int = 5432, source: str = "", span: str = "", to: int = 0) -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": to or port,
        "UserIdGroupPairs": [{"GroupId": source}] if source else [],
        "IpRanges": [{"CidrIp": span}] if span else [],
    }


def clocks(machine: str = "2026-11-28T03:00:00+00:00") -> dict[str, str]:
    return {"aws_clock": "Sat, 28 Nov 2026 03:00:00 GMT", "machine_clock": machine}


def check(group: str, kind: str, status: str = "failed", **fields: Any) -> dict[str, Any]:
    return {"group": group, "kind": kind, "name": kind, "status": status, "detail": "", **fields}


def failing(documents: dict[str, Any], *messages: str, connected: bool = True) -> dict[str, Any]:
    """The backend's page fails, and its log has these messages (of MESSAGES, or as they are)."""
    documents["sweep"]["checks"] = [
        check("endpoints", "page", service="backend"),
        check("db", "connection", status="ok" if connected else "failed"),
    ]
    documents["logs/database"]["backend"] = [
        {"at": AT, "message": MESSAGES.get(each, each)} for each in messages
    ]
    return documents
