"""The faults: each as a line that says where the runbook knows it, which finding it must lead to,
and what does it.

`facts` in a line's runbook: the incidents that live platforms of this kind had and the runbook does
not know."""

from __future__ import annotations

from ops.core.errors import ConfigError
from ops.sandbox.faults.account import Denied, LogErrors, OtherAccount, StateLock
from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.database import Leaked, PasswordChanged, Stopped
from ops.sandbox.faults.pages import Failing, Hanging, Mistyped, Slow, Stale
from ops.sandbox.faults.schema import Behind
from ops.sandbox.faults.services import (
    CRASH,
    OTHER_CPU,
    Closed,
    HealthPath,
    NoImage,
    NoSecret,
    Rolled,
    crashing,
)
from ops.sandbox.faults.tls_and_redirects import RedirectLoop, Shown

DATABASE = "Troubleshooting: Database Connection Errors"
ENDPOINTS = "Health Check Verification: All Production Endpoints"
CERTIFICATE = "Health Check Verification: All Production Endpoints (https)"
START = "Troubleshooting: ECS Tasks Failing to Start"
GATEWAY = "Troubleshooting: 502 Bad Gateway Errors"
STALE = "Troubleshooting: CloudFront Serving Stale Content"
SLOW = 2.5  # seconds
OTHER_PORT = 3999
OTHER_ACCOUNT = "210987654321"
DENIED = "elasticloadbalancing:DescribeTargetHealth"
ELSEWHERE = (
    (
        "environment",
        [{"name": "NODE_ENV", "value": "production"}, {"name": "PORT", "value": str(OTHER_PORT)}],
    ),
)
TAKEN = 0.9  # share of the connections
LITTLE = 8  # MiB: any Python needs more
MEMORY = (("memory", LITTLE),)
HANGS = 60.0  # seconds: the load balancer's idle time-out

FAULTS = (
    Fault(
        "database-stopped",
        DATABASE,
        "database_stopped",
        "the RDS instance is stopped",
        Stopped(),
        "the database",
        "backend",
    ),
    Fault(
        "database-password",
        DATABASE,
        "database_password_rejected",
        "the role's password is changed, the secret is not",
        PasswordChanged(),
        "the database",
        "backend",
        lasts=True,
    ),
    Fault(
        "database-connections",
        DATABASE,
        "connections_exhausted",
        "nearly all connections are taken, and not released",
        Leaked(TAKEN),
        "the database",
        "backend",
    ),
    Fault(
        "schema-behind",
        "Database Migrations (facts: 7)",
        "schema_behind_release",
        "the database is behind the backend's release",
        Behind(),
        "the database",
        "schema",
        lasts=True,
    ),
    Fault(
        "tasks-crash",
        START,
        "container_exited",
        "the backend's new revision exits with 1 at start",
        Rolled("backend", crashing(CRASH), 1),
        "the backend's task definition",
        "backend",
    ),
    Fault(
        "image-missing",
        START,
        "image_missing",
        "the backend's new revision names an image that nobody pushed",
        NoImage("backend"),
        "the backend's task definition",
        "backend",
    ),
    Fault(
        "secret-missing",
        START,
        "secret_missing",
        "the backend's new revision names a secret that is not there",
        NoSecret("backend"),
        "the backend's task definition",
        "backend",
    ),
    Fault(
        "tasks-unhealthy",
        GATEWAY,
        "target_unhealthy",
        "the backend's target group asks for a path that is not there",
        HealthPath("backend", "/healthz"),
        "the backend's health check",
        "backend",
    ),
    Fault(
        "target-port",
        GATEWAY,
        "target_port",
        f"the backend's new revision listens on {OTHER_PORT}, not where it is registered",
        Rolled("backend", ELSEWHERE, runs=True),
        "the backend's task definition",
        "backend",
    ),
    Fault(
        "security-group",
        GATEWAY,
        "security_group_closed",
        "the backend's security group lets nobody in",
        Closed("backend"),
        "the backend's security group",
        "backend",
    ),
    Fault(
        "out-of-memory",
        START,
        "out_of_memory",
        f"the backend's new revision may use {LITTLE} MiB",
        Rolled("backend", MEMORY, 137),
        "the backend's task definition",
        "backend",
        emulated=True,
    ),
    Fault(
        "wrong-architecture",
        f"{START} (facts: 13)",
        "image_platform",
        "the frontend's new revision is of another CPU",
        Rolled("frontend", crashing(OTHER_CPU), 255),
        "the frontend's task definition",
        "frontend",
        emulated=True,
    ),
    Fault(
        "page-500",
        ENDPOINTS,
        "page_failing",
        "GET /about answers 500",
        Failing("/about"),
        spoils="pages",
    ),
    Fault(
        "page-slow",
        ENDPOINTS,
        "page_slow",
        f"GET /projects takes {SLOW:g} s",
        Slow("/projects", SLOW),
        spoils="pages",
    ),
    Fault(
        "page-hangs",
        ENDPOINTS,
        "page_hangs",
        "GET /contact is not answered",
        Hanging("/contact", HANGS),
        spoils="pages",
    ),
    Fault(
        "redirect-loop",
        f"{ENDPOINTS} (facts: 1)",
        "redirect_loop",
        "the load balancer redirects every page to itself",
        RedirectLoop(),
        spoils="pages",
    ),
    Fault(
        "json-as-html",
        f"{ENDPOINTS} (facts: 2)",
        "wrong_content_type",
        "the CDN calls the JSON of /api/projects text/html",
        Mistyped("/api/projects", "text/html; charset=utf-8"),
        spoils="pages",
    ),
    Fault(
        "stale-cdn",
        STALE,
        "stale_cache",
        "the CDN keeps / of an earlier version",
        Stale("/"),
        spoils="pages",
    ),
    Fault(
        "certificate-expired",
        CERTIFICATE,
        "certificate_expired",
        "the certificate ended yesterday",
        Shown("expired", 10),
        "certificate",
    ),
    Fault(
        "certificate-early",
        CERTIFICATE,
        "certificate_not_yet_valid",
        "the certificate begins tomorrow",
        Shown("early", 9),
        "certificate",
    ),
    Fault(
        "certificate-other-host",
        CERTIFICATE,
        "certificate_wrong_host",
        "the certificate is another host's",
        Shown("other-host", 62),
        "certificate",
    ),
    Fault(
        "certificate-self-signed",
        CERTIFICATE,
        "certificate_untrusted",
        "the certificate is signed by itself",
        Shown("self-signed", 18),
        "certificate",
    ),
    Fault(
        "state-lock",
        "Troubleshooting: Terraform State Lock",
        "state_locked",
        "a Terraform that is gone holds the state's lock",
        StateLock(),
    ),
    Fault(
        "log-errors",
        "Health Check Verification: CloudWatch Logs",
        "log_errors",
        "the backend logs errors of one kind, and goes on",
        LogErrors(),
    ),
    Fault(
        "wrong-account",
        "Pre-Deployment Checklist: Required Access",
        "wrong_account",
        f"the operator's key is of account {OTHER_ACCOUNT}",
        OtherAccount(OTHER_ACCOUNT),
        "the operator's key",
    ),
    Fault(
        "permission-denied",
        "Pre-Deployment Checklist: Required Access (facts: 6)",
        "denied",
        f"the operator's key may not {DENIED.partition(':')[2]}",
        Denied(DENIED),
        "the operator's key",
    ),
)


def find(name: str) -> Fault:
    """The fault of that name. Raises ConfigError with the nearest one, and the list."""
    known = {fault.name: fault for fault in FAULTS}
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else "inv sandbox.faults"
        raise ConfigError(
            f"fault {name!r}", f"there is none of that name; known: {', '.join(known)}", advice
        )
    return known[name]
