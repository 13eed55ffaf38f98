"""The catalog of faults: runbook section, expected finding and injector of each.

`facts` in a runbook reference marks incidents of live platforms of this kind that the runbook does
not cover.
"""

from __future__ import annotations

from ops.core.errors import ConfigError
from ops.sandbox.faults.account import DeniedAction, LogErrors, OtherAccount, StateLock
from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.database import LeakedConnections, PasswordChanged, StoppedDatabase
from ops.sandbox.faults.edge import catalog as edge
from ops.sandbox.faults.operator import catalog as operator
from ops.sandbox.faults.pages import FailingPage, HangingPage, SlowPage, StalePage, WrongContentType
from ops.sandbox.faults.postgres import catalog as postgres
from ops.sandbox.faults.schema import SchemaBehind
from ops.sandbox.faults.services import (
    CRASH,
    OTHER_CPU,
    BadRevision,
    ClosedSecurityGroup,
    ExecDisabled,
    HealthPath,
    NoImage,
    NoSecret,
    python_command,
)
from ops.sandbox.faults.tasks import catalog as tasks
from ops.sandbox.faults.tls_and_redirects import BadCertificate, RedirectLoop

_DATABASE = "Troubleshooting: Database Connection Errors"
_ENDPOINTS = "Health Check Verification: All Production Endpoints"
_CERTIFICATE = "Health Check Verification: All Production Endpoints (https)"
_START = "Troubleshooting: ECS Tasks Failing to Start"
_GATEWAY = "Troubleshooting: 502 Bad Gateway Errors"
_STALE = "Troubleshooting: CloudFront Serving Stale Content"
_SLOW = 2.5  # seconds
_OTHER_PORT = 3999
_OTHER_ACCOUNT = "210987654321"
_DENIED = "elasticloadbalancing:DescribeTargetHealth"
_OTHER_PORT_ENVIRONMENT = (
    (
        "environment",
        [{"name": "NODE_ENV", "value": "production"}, {"name": "PORT", "value": str(_OTHER_PORT)}],
    ),
)
_CONNECTION_SHARE = 0.9  # share of the connections
_MEMORY_LIMIT = 8  # MiB: any Python needs more
_SMALL_MEMORY = (("memory", _MEMORY_LIMIT),)
_HANG_SECONDS = 60.0  # seconds: the load balancer's idle time-out

FAULTS = (
    Fault(
        "database-stopped",
        _DATABASE,
        "database_stopped",
        "the RDS instance is stopped",
        StoppedDatabase(),
        "the database",
        "backend",
    ),
    Fault(
        "database-password",
        _DATABASE,
        "database_password_rejected",
        "the role's password was changed, the secret was not",
        PasswordChanged(),
        "the database",
        "backend",
        survives_restart=True,
    ),
    Fault(
        "database-connections",
        _DATABASE,
        "connections_exhausted",
        "nearly all connections are in use and never released",
        LeakedConnections(_CONNECTION_SHARE),
        "the database",
        "backend",
    ),
    Fault(
        "schema-behind",
        "Database Migrations (facts: 7)",
        "schema_behind_release",
        "the database's schema is older than the backend's release",
        SchemaBehind(),
        "the database",
        "schema",
        survives_restart=True,
    ),
    Fault(
        "tasks-crash",
        _START,
        "container_exited",
        "the backend's new revision exits with 1 at start",
        BadRevision("backend", python_command(CRASH), 1),
        "the backend's task definition",
        "backend",
        diagnosis="environment_missing",
    ),
    Fault(
        "image-missing",
        _START,
        "image_missing",
        "the backend's new revision names an image that was never pushed",
        NoImage("backend"),
        "the backend's task definition",
        "backend",
    ),
    Fault(
        "secret-missing",
        _START,
        "secret_missing",
        "the backend's new revision names a secret that does not exist",
        NoSecret("backend"),
        "the backend's task definition",
        "backend",
    ),
    Fault(
        "tasks-unhealthy",
        _GATEWAY,
        "target_unhealthy",
        "the backend's target group checks a path that does not exist",
        HealthPath("backend", "/healthz"),
        "the backend's health check",
        "backend",
        diagnosis="health_path_wrong",
    ),
    Fault(
        "target-port",
        _GATEWAY,
        "target_port",
        f"the backend's new revision listens on {_OTHER_PORT}, not on the registered port",
        BadRevision("backend", _OTHER_PORT_ENVIRONMENT, runs=True),
        "the backend's task definition",
        "backend",
    ),
    Fault(
        "security-group",
        _GATEWAY,
        "security_group_closed",
        "the backend's security group allows no ingress",
        ClosedSecurityGroup("backend"),
        "the backend's security group",
        "backend",
    ),
    Fault(
        "out-of-memory",
        _START,
        "out_of_memory",
        f"the backend's new revision has a memory limit of {_MEMORY_LIMIT} MiB",
        BadRevision("backend", _SMALL_MEMORY, 137),
        "the backend's task definition",
        "backend",
        emulated=True,
    ),
    Fault(
        "wrong-architecture",
        f"{_START} (facts: 13)",
        "image_platform",
        "the frontend's new revision is built for another CPU",
        BadRevision("frontend", python_command(OTHER_CPU), 255),
        "the frontend's task definition",
        "frontend",
        emulated=True,
    ),
    Fault(
        "exec-disabled",
        "ECS Exec (not in the runbook)",
        "exec_not_enabled",
        "the backend's service has no enableExecuteCommand, nor have its tasks",
        ExecDisabled("backend"),
        "the backend's ECS Exec",
        "backend",
    ),
    Fault(
        "page-500",
        _ENDPOINTS,
        "page_failing",
        "GET /about answers 500",
        FailingPage("/about"),
        affects="pages",
    ),
    Fault(
        "page-slow",
        _ENDPOINTS,
        "page_slow",
        f"GET /projects takes {_SLOW:g} s",
        SlowPage("/projects", _SLOW),
        affects="pages",
    ),
    Fault(
        "page-hangs",
        _ENDPOINTS,
        "page_hangs",
        "GET /contact is never answered",
        HangingPage("/contact", _HANG_SECONDS),
        affects="pages",
    ),
    Fault(
        "redirect-loop",
        f"{_ENDPOINTS} (facts: 1)",
        "redirect_loop",
        "the load balancer redirects every page to itself",
        RedirectLoop(),
        affects="pages",
        diagnosis="origin_protocol_loop",
    ),
    Fault(
        "json-as-html",
        f"{_ENDPOINTS} (facts: 2)",
        "wrong_content_type",
        "the CDN serves the JSON of /api/projects as text/html",
        WrongContentType("/api/projects", "text/html; charset=utf-8"),
        affects="pages",
    ),
    Fault(
        "stale-cdn",
        _STALE,
        "stale_cache",
        "the CDN's cache has / of an earlier version",
        StalePage("/"),
        affects="pages",
        diagnosis="release_not_invalidated",
    ),
    Fault(
        "certificate-expired",
        _CERTIFICATE,
        "certificate_expired",
        "the certificate expired yesterday",
        BadCertificate("expired", 10),
        "certificate",
    ),
    Fault(
        "certificate-early",
        _CERTIFICATE,
        "certificate_not_yet_valid",
        "the certificate is valid only from tomorrow",
        BadCertificate("early", 9),
        "certificate",
    ),
    Fault(
        "certificate-other-host",
        _CERTIFICATE,
        "certificate_wrong_host",
        "the certificate is for another host",
        BadCertificate("other-host", 62),
        "certificate",
    ),
    Fault(
        "certificate-self-signed",
        _CERTIFICATE,
        "certificate_untrusted",
        "the certificate is self-signed",
        BadCertificate("self-signed", 18),
        "certificate",
    ),
    Fault(
        "state-lock",
        "Troubleshooting: Terraform State Lock",
        "state_locked",
        "a dead Terraform process holds the state lock",
        StateLock(),
        "the state lock",
        diagnosis="state_lock_stale",
    ),
    Fault(
        "log-errors",
        "Health Check Verification: CloudWatch Logs",
        "log_errors",
        "the backend keeps logging one kind of error",
        LogErrors(),
    ),
    Fault(
        "wrong-account",
        "Pre-Deployment Checklist: Required Access",
        "wrong_account",
        f"the operator's key belongs to account {_OTHER_ACCOUNT}",
        OtherAccount(_OTHER_ACCOUNT),
        "the operator's key",
    ),
    Fault(
        "permission-denied",
        "Pre-Deployment Checklist: Required Access (facts: 6)",
        "denied",
        f"the operator's key may not {_DENIED.partition(':')[2]}",
        DeniedAction(_DENIED),
        "the operator's key",
    ),
    *tasks.FAULTS,
    *edge.FAULTS,
    *postgres.FAULTS,
    *operator.FAULTS,
)


def find(name: str) -> Fault:
    """Return the fault of that name.

    Raises ConfigError with the closest match and the list of names.
    """
    known = {fault.name: fault for fault in FAULTS}
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else "inv sandbox.faults"
        raise ConfigError(f"fault {name!r}", f"unknown; known: {', '.join(known)}", advice)
    return known[name]
