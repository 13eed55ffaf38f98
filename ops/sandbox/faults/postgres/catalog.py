"""The faults of RDS and PostgreSQL, as the catalog lists them."""

from __future__ import annotations

from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.postgres.instance import ClosedDatabaseGroup, InstanceCondition
from ops.sandbox.faults.postgres.locks import OpenTransaction, PreparedTransaction
from ops.sandbox.faults.postgres.logins import RequiredTls, RotatedPassword
from ops.sandbox.faults.services import BadRevision

_DATABASE = "Troubleshooting: Database Connection Errors"
_MIGRATIONS = "Database Migrations"
_SERVER, _ROWS = "the database", "the table projects"
_REQUIRE_TLS = (
    (
        "environment",
        [{"name": "NODE_ENV", "value": "production"}, {"name": "PGSSLMODE", "value": "require"}],
    ),
)

FAULTS = (
    Fault(
        "database-storage-full",
        _DATABASE,
        "database_storage_full",
        "the RDS instance has no storage left",
        InstanceCondition(
            "storage-full",
            (
                (
                    "The free storage capacity for DB instance is low at 1% of the provisioned "
                    "storage",
                    "low storage",
                ),
                ("Allocated storage for the DB instance has been exhausted", "low storage"),
            ),
        ),
        _SERVER,
        "backend",
    ),
    Fault(
        "database-failover",
        _DATABASE,
        "database_unavailable",
        "the RDS instance fails over, and does not serve meanwhile",
        InstanceCondition(
            "rebooting",
            (
                ("Multi-AZ instance failover started.", "failover"),
                ("DB instance shutdown", "availability"),
            ),
            (
                ("DB instance restarted", "availability"),
                ("Multi-AZ instance failover completed.", "failover"),
            ),
        ),
        _SERVER,
        "backend",
        diagnosis="database_failing_over",
    ),
    Fault(
        "database-maintenance",
        _DATABASE,
        "database_unreachable",
        "RDS patches the instance in its maintenance window",
        InstanceCondition(
            "maintenance",
            (("Applying off-line patches to DB instance", "maintenance"),),
            (("Finished applying off-line patches to DB instance", "maintenance"),),
        ),
        _SERVER,
        "backend",
        diagnosis="database_unavailable",
    ),
    Fault(
        "database-security-group",
        _DATABASE,
        "target_unhealthy",
        "the database's security group no longer allows the backend's tasks",
        ClosedDatabaseGroup("backend"),
        _SERVER,
        "backend",
        diagnosis="database_security_group_closed",
    ),
    Fault(
        "database-password-rotated",
        _DATABASE,
        "page_failing",
        "the secret's password was rotated while tasks run that know the old one",
        RotatedPassword("backend"),
        _SERVER,
        "backend",
        survives_restart=True,
        diagnosis="database_password_rotated",
    ),
    Fault(
        "database-tls-required",
        _DATABASE,
        "database_tls",
        "PostgreSQL accepts connections with TLS only (rds.force_ssl)",
        RequiredTls(),
        _SERVER,
        "backend",
        survives_restart=True,
    ),
    Fault(
        "database-tls-refused",
        _DATABASE,
        "target_unhealthy",
        "the backend's new revision requires TLS, which PostgreSQL does not offer",
        BadRevision("backend", _REQUIRE_TLS, runs=True),
        "the backend's task definition",
        "backend",
        diagnosis="database_tls",
    ),
    Fault(
        "database-transaction",
        _DATABASE,
        "page_hangs",
        "a session has locked a table and is idle in its transaction",
        OpenTransaction("psql"),
        _ROWS,
        "projects",
        diagnosis="transaction_blocks",
    ),
    Fault(
        "migration-abandoned",
        _MIGRATIONS,
        "page_hangs",
        "a migration's runner was lost, and its session keeps its locks",
        OpenTransaction("db.upgrade 5a1d", migration=True),
        _ROWS,
        "projects",
        diagnosis="migration_blocks",
    ),
    Fault(
        "database-prepared",
        _DATABASE,
        "page_hangs",
        "a prepared transaction was never committed and keeps its locks",
        PreparedTransaction(),
        _ROWS,
        "projects",
        survives_restart=True,
        diagnosis="prepared_transaction_blocks",
    ),
)
