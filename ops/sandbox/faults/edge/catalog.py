"""The faults between the viewer and the tasks, and of rollouts, as the catalog lists them."""

from __future__ import annotations

from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.edge.balancer import HealthCodes, IdleTimeout, ListenerRule, SlowHealthPath
from ops.sandbox.faults.edge.distribution import (
    CachedApi,
    NoHttpsListener,
    OldOrigin,
    OriginCertificate,
)
from ops.sandbox.faults.edge.rollouts import (
    LOOPBACK,
    SLOW_START,
    EarlyKill,
    RolledBack,
    ScheduledToZero,
    Stuck,
    TerraformRevert,
)
from ops.sandbox.faults.services import CRASH, BadRevision, python_command

_GATEWAY = "Troubleshooting: 502 Bad Gateway Errors"
_STALE = "Troubleshooting: CloudFront Serving Stale Content"
_START = "Troubleshooting: ECS Tasks Failing to Start"
_ROLLBACK = "Rollback Procedures"
_CHANGED = (("environment", [{"name": "NODE_ENV", "value": "staging"}]),)
_TASK_DEFINITION = "the backend's task definition"
_HEALTH_CHECK = "the backend's health check"
_RULES = "the listener's rules"
_DISTRIBUTION = "the distribution"

FAULTS = (
    Fault(
        "listens-on-loopback",
        _GATEWAY,
        "target_port",
        "the backend's new revision listens on 127.0.0.1 only",
        BadRevision("backend", python_command(LOOPBACK), runs=True),
        _TASK_DEFINITION,
        "backend",
        diagnosis="listens_on_loopback",
    ),
    Fault(
        "health-slow",
        _GATEWAY,
        "target_timeout",
        "the backend needs 6 s for its health path, its health check waits 5 s",
        SlowHealthPath("backend", "/api/health", 6.0),
        _HEALTH_CHECK,
        "backend",
        diagnosis="health_timeout_short",
    ),
    Fault(
        "health-codes",
        _GATEWAY,
        "target_unhealthy",
        "the backend's health check accepts 204 only, and gets 200",
        HealthCodes("backend", "204"),
        _HEALTH_CHECK,
        "backend",
        diagnosis="health_codes_wrong",
    ),
    Fault(
        "grace-short",
        _START,
        "target_unhealthy",
        "the backend's new revision needs a minute to start, the service has no grace period",
        EarlyKill("backend", python_command(SLOW_START), runs=True),
        _TASK_DEFINITION,
        "backend",
        diagnosis="grace_period_short",
    ),
    Fault(
        "listener-rule",
        _GATEWAY,
        "wrong_status",
        "a listener rule of higher priority forwards /api/projects to the frontend",
        ListenerRule("/api/projects", "/api/projects", 404, "dev-frontend-tg"),
        _RULES,
        "pages",
        diagnosis="listener_rule_captures",
    ),
    Fault(
        "maintenance-page",
        _GATEWAY,
        "page_failing",
        "a listener rule answers every page with 503 itself",
        ListenerRule("/*", "/about", 503),
        _RULES,
        "pages",
        diagnosis="fixed_response",
    ),
    Fault(
        "idle-timeout",
        _GATEWAY,
        "page_failing",
        "the load balancer waits 1 s for a target, /api/projects takes 2.5 s",
        IdleTimeout("/api/projects", 2.5),
        affects="pages",
        diagnosis="gateway_timeout",
    ),
    Fault(
        "origin-domain",
        _GATEWAY,
        "page_failing",
        "the distribution's origin is a load balancer that was deleted",
        OldOrigin(),
        _DISTRIBUTION,
        "pages",
        diagnosis="origin_unreachable",
    ),
    Fault(
        "origin-https",
        _GATEWAY,
        "page_failing",
        "the distribution asks its origin by HTTPS, which has no such listener",
        NoHttpsListener(),
        _DISTRIBUTION,
        "pages",
        diagnosis="origin_unreachable",
    ),
    Fault(
        "origin-certificate",
        _GATEWAY,
        "page_failing",
        "the origin's certificate is for another host",
        OriginCertificate(),
        _DISTRIBUTION,
        "pages",
        diagnosis="origin_certificate",
    ),
    Fault(
        "api-cached",
        _STALE,
        "cached_uncacheable",
        "the CDN caches /api/* for a minute, even of no-store",
        CachedApi(),
        _DISTRIBUTION,
        "pages",
    ),
    Fault(
        "breaker-rollback",
        _ROLLBACK,
        "rollout_reverted_by_breaker",
        "the circuit breaker rolled back the backend's new revision, which exits at start",
        RolledBack("backend", python_command(CRASH), 1),
        _TASK_DEFINITION,
        "backend",
    ),
    Fault(
        "alarm-rollback",
        _ROLLBACK,
        "rollout_reverted_by_alarm",
        "an alarm rolled back the backend's new revision",
        RolledBack("backend", _CHANGED, by_alarm=True),
        _TASK_DEFINITION,
        "backend",
    ),
    Fault(
        "terraform-revert",
        _ROLLBACK,
        "rollout_reverted_by_terraform",
        "a Terraform apply set the backend back to an older revision",
        TerraformRevert("backend", _CHANGED),
        _TASK_DEFINITION,
        "backend",
        emulated=True,
    ),
    Fault(
        "deployment-stuck",
        _START,
        "service_unsteady",
        "the backend's percentages (100, 100) leave a rollout no room",
        Stuck("backend"),
        _TASK_DEFINITION,
        "backend",
        diagnosis="deployment_stuck",
    ),
    Fault(
        "scaled-to-zero",
        _GATEWAY,
        "scaled_to_zero",
        "a scheduled action of automatic scaling set the backend's capacity to 0",
        ScheduledToZero("backend"),
        "the backend's count",
        "backend",
        diagnosis="scaled_to_zero_by_schedule",
    ),
)
