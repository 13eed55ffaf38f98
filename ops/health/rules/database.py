"""Checks of the database: instance, secret, connection, schema (runbook 5 and 7, "RDS")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from ops.core.findings import Evidence, Finding, Unknown
from ops.health.model import Check, CheckKey, Kind
from ops.postgres.facts import ConnectionProblem

_MAX_CONNECTION_SHARE = 0.9  # share of the connections that may be taken
_REQUIRED_KEYS = ("username", "password")
_WORKING = (
    "available",
    "backing-up",
    "storage-optimization",
    "configuring-associated-roles",
    "configuring-enhanced-monitoring",
    "configuring-iam-database-auth",
    "configuring-log-exports",
    "converting-to-vpc",
    "maintenance",
    "modifying",
    "storage-config-upgrade",
)
_CONNECTION_SUMMARIES: Mapping[ConnectionProblem, str] = {
    "database_unreachable": "the database does not answer",
    "database_password_rejected": "the database does not take the secret's password",
    "database_tls": "TLS with the database fails",
    "connections_exhausted": "the database takes no more connections",
}
_STATUSES = {"impaired": "impaired (it works, but RDS cannot rotate it)"}  # SecretStatus
_STOPPED = ("stopped", "stopping")
# what RDS documents; an instance in a status that is not known here may serve connections
_NOT_WORKING = (
    *_STOPPED,
    "creating",
    "delete-precheck",
    "deleting",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "insufficient-capacity",
    "moving-to-vpc",
    "rebooting",
    "renaming",
    "resetting-master-credentials",
    "restore-error",
    "starting",
    "storage-full",
    "storage-initialization",
    "upgrading",
)


@dataclass(frozen=True)
class Connected:
    """What one connection returned.

    `server`: PostgreSQL's version; `revision`: alembic_version, or None; `limit`: max_connections;
    `read_only`: why nothing can be written, empty if it can.
    """

    server: str
    revision: str | None
    connections: int
    limit: int
    took_s: float
    read_only: str = ""


def is_down(status: str) -> bool:
    """Whether RDS documents that an instance in this status serves no connections."""
    return status in _NOT_WORKING or status.startswith("incompatible-")


def instance(id: str, status: str) -> Check:
    if status in _WORKING:
        return Check(
            CheckKey("db", "instance"),
            "ok",
            f"{id} is {status}",
            "available" if status == "available" else status,
        )
    if not is_down(status):
        why = f"{id} is {status}, a status that is not known here"
        return Check(CheckKey("db", "instance"), "unknown", why, status)
    stopped = status in _STOPPED
    cause, fix = (
        ("database_stopped", ("inv db.start",))
        if stopped
        else ("database_storage_full", ("inv troubleshoot.database",))
        if status == "storage-full"
        else ("database_unavailable", ("inv db.start", "inv db.ping"))
    )
    shown = Evidence("DescribeDBInstances DBInstanceStatus", status)
    found = Finding(cause, f"RDS instance {id} is {status}", "certain", (shown,), fix)
    return Check(
        CheckKey("db", "instance"),
        "failed",
        f"{id} is {status}, expected available",
        status,
        finding=found,
    )


def secret(name: str, values: Mapping[str, str], hosts: Set[str], status: str = "") -> Check:
    """Check that the secret has the required keys and names an address of the instance.

    `hosts`: RDS's addresses, empty ones if unknown. `status`: that of a secret that RDS manages.
    No other value is shown.
    """
    missing = [key for key in _REQUIRED_KEYS if not values.get(key)]
    if missing:
        what = f"secret {name} has no {' and no '.join(missing)}"
        found = Finding(
            "secret_incomplete", what, "certain", fix=("aws secretsmanager describe-secret",)
        )
        return Check(
            CheckKey("db", "secret"),
            "failed",
            f"{what}, expected {', '.join(_REQUIRED_KEYS)}",
            "incomplete",
            finding=found,
        )
    named, known = values.get("host", ""), sorted(filter(None, hosts))
    if named and known and named not in known:
        what = f"secret {name} names {named}, RDS says {' or '.join(known)}"
        found = Finding(
            "secret_other_host",
            what,
            "certain",
            fix=("write the instance's address into the secret",),
        )
        return Check(CheckKey("db", "secret"), "failed", what, "another host", finding=found)
    detail = f"{name} has {', '.join(sorted(values))}"
    if status:
        detail += f"; managed by RDS: {_STATUSES.get(status, status)}"
    return Check(CheckKey("db", "secret"), "ok", detail, "complete")


def private_reason(
    status: str, public: bool | None, addresses: Set[str], host: str, sources: str | None
) -> str | None:
    """Why `host`, an address of a running instance, may not be reached by a machine elsewhere.

    `sources`: who may connect, as the security groups say; None: anyone, or unknown. No answer to
    this machine then says nothing about the database. None for a public or stopped one.
    """
    if status not in _WORKING or not host or host not in addresses:
        return None
    if public is False:
        return "its instance is private (PubliclyAccessible false), so only its VPC reaches it"
    return f"its security groups admit its port from {sources}" if sources else None


def unreachable(
    where: str, why: str, advice: str, cause: ConnectionProblem = "database_unreachable"
) -> Check:
    """Return a failed check: the application cannot connect either."""
    found = Finding(
        cause,
        f"{_CONNECTION_SUMMARIES[cause]}: {why}",
        "certain",
        (Evidence(where, why),),
        (advice, "inv db.ping"),
    )
    return Check(
        CheckKey("db", "connection"),
        "failed",
        f"{why}, expected an answer to SELECT 1",
        cause,
        finding=found,
    )


def connected(connection: Connected) -> Check:
    """An ok check. A read-only database is named: whether the application writes is not known."""
    read_only = f"; it is read-only: {connection.read_only}" if connection.read_only else ""
    return Check(
        CheckKey("db", "connection"),
        "ok",
        f"SELECT 1 answered by PostgreSQL {connection.server}{read_only}",
        "read-only" if read_only else "answers",
        connection.took_s,
    )


def connections(connection: Connected) -> Check:
    shown = f"{connection.connections} of {connection.limit} connections"
    if connection.connections < _MAX_CONNECTION_SHARE * connection.limit:
        return Check(
            CheckKey("db", "connections"),
            "ok",
            shown,
            "enough",
            numbers={"connections": float(connection.connections)},
        )
    found = Finding(
        "connections_exhausted",
        f"{shown} are taken",
        "certain",
        (),
        ("check the pool sizes of the services",),
    )
    return Check(
        CheckKey("db", "connections"),
        "failed",
        f"{shown}, expected less than {_MAX_CONNECTION_SHARE:.0%}",
        "exhausted",
        finding=found,
    )


def schema(
    at: str | None, order: Sequence[str], pending: Sequence[str], released: Mapping[str, str]
) -> Check:
    """Check that the schema is not behind the revision of a running release.

    `order`: the project's revisions, oldest first; `released`: service → revision at its release.
    Pending revisions are named, but are not a failure.
    """
    left = f"; pending: {', '.join(pending)}" if pending else ""
    shown, value = f"at {at or 'no revision'}{left}", f"{at or 'no revision'}"
    behind = {
        service: revision
        for service, revision in released.items()
        if _position(revision, order) > _position(at, order)
    }
    strange = [
        revision
        for revision in (at, *released.values())
        if revision and _position(revision, order) == len(order)
    ]
    if strange:
        why = f"this checkout does not know revision {strange[0]}"
        return Check(CheckKey("db", "schema"), "unknown", f"{shown}; {why}: git pull")
    if not behind:
        return Check(CheckKey("db", "schema"), "ok", shown, value)
    released_at = ", ".join(
        f"{service} was released at {revision}" for service, revision in sorted(behind.items())
    )
    summary = f"the schema is at {at or 'no revision'}, and {released_at}"
    found = Finding(
        "schema_behind_release",
        summary,
        "certain",
        (Evidence("alembic_version", value),),
        ("inv db.upgrade",),
    )
    return Check(
        CheckKey("db", "schema"),
        "failed",
        f"{shown}; {released_at}",
        f"{value} behind",
        finding=found,
    )


def _position(revision: str | None, order: Sequence[str]) -> int:
    """Return the revision's index in the history.

    -1 for None, the length of the history for an unknown one, the newest index of several heads.
    """
    if not revision:
        return -1
    places = [order.index(each) if each in order else len(order) for each in revision.split(",")]
    return max(places)


def unknown_check(kind: Kind, what: Unknown) -> Check:
    return Check.unread(CheckKey("db", kind), what)
