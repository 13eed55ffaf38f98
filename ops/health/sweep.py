"""`inv health.*`: one sweep of every configured look, what it means, and what changed since another
one (runbook 5).

All probes run at once under one deadline. A run is kept on this machine; the next one says what
changed since."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError
from ops.core.findings import Unknown
from ops.core.parallel import try_call, with_timeout
from ops.health import history, probe_database, probe_ecs, probe_edge
from ops.health.inputs import SweepContext, SweepInputs
from ops.health.model import GROUPS, Check, Sweep, SweepRequest
from ops.health.probe_runner import Probe, run_all
from ops.health.rules import diff
from ops.health.rules.root_cause import AWS_GROUPS, ExplainContext, denied, explained
from ops.http.assertions import check_expressions
from ops.platform import Platform

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

GRACE_S = (
    0.5  # after the deadline for what should be known by then, and may hang as everything else did
)
PROBES: Mapping[str, Callable[[SweepInputs], Iterator[Probe]]] = {
    "db": probe_database.probes,
    "ecs": probe_ecs.ecs_probes,
    "targets": probe_ecs.target_probes,
    "endpoints": probe_edge.endpoint_probes,
    "cdn": probe_edge.cdn_probes,
    "certificates": probe_edge.certificate_probes,
    "logs": probe_edge.log_probes,
    "terraform": probe_edge.terraform_probes,
}
# what an environment without anything to look at in a group lacks
NOTHING = {
    "db": "environment {name} has no database",
    "endpoints": "no endpoints, or no site and no alb, are configured",
    "cdn": "neither cdn: nor a service with invalidate: is configured",
    "certificates": "neither site nor site_tls is an https address",
    "terraform": "environment {name} has no terraform",
}


def check_request(request: SweepRequest, settings: Settings) -> None:
    """Raises ConfigError for a group that there is not, an expectation that is none, a place where
    nothing can be saved.
    """
    for name in request.only:
        if name not in PROBES:
            raise ConfigError(
                f"--only {name}", f"allowed: {', '.join(PROBES)}", "inv health.all --only endpoints"
            )
    if request.save:
        history.check_writable(request.save)
    for _, endpoint in settings.environment.pages():
        check_expressions(endpoint)


def configured(platform: Platform) -> list[str]:
    """The groups in which this environment has something to look at."""
    looks = SweepInputs(SweepContext(platform))
    return [
        group
        for group in GROUPS
        if group in PROBES and next(PROBES[group](looks), None) is not None
    ]


def sweep(platform: Platform, request: SweepRequest, before: Mapping[str, Any] | None) -> Sweep:
    """Look now, and compare with `before`. Raises ConfigError (a group or check that there is not,
    an expectation that is none).
    """
    check_request(request, platform.settings)
    deadline_s = request.deadline_s or platform.settings.environment.health.deadline
    asked = SweepContext(
        platform,
        request.since_s,
        request.from_s,
        known_patterns(before),
        request.released,
        deadline_s,
    )
    looks, began, at = SweepInputs(asked), time.monotonic(), datetime.now(UTC)
    groups = [group for group in request.groups if group not in request.skip]
    checks = list(run_all(list(probes(looks, groups)), deadline_s))
    checks += [
        Check(group, group, "skipped", "--skip")
        for group in request.groups
        if group in request.skip
    ]
    told = explained(
        map(denied, skipped(checks, request)), ground(looks, checks, began + deadline_s)
    )
    found = Sweep(
        platform.settings.name,
        at.isoformat(timespec="milliseconds"),
        time.monotonic() - began,
        told,
        about=request.about,
    )
    if before is None:
        return found
    changes = diff.changes(before, found, platform.settings.environment.health.slower)
    return replace(found, changes=changes, against=str(before.get("at", "")))


def ground(looks: SweepInputs, checks: Sequence[Check], ends: float) -> ExplainContext:
    """What the explanations need, where there is anything to explain; within what is left of the
    deadline (`ends`, monotonic).
    """
    if not any(check.ill for check in checks):
        return ExplainContext()
    users = try_call(
        lambda: with_timeout(
            looks.users, max(GRACE_S, ends - time.monotonic()), "who uses the database"
        )
    )
    return ExplainContext() if isinstance(users, Unknown) else ExplainContext(users)


def probes(looks: SweepInputs, groups: Sequence[str]) -> Iterator[Probe]:
    """Those of the groups; whose account it is first, wherever AWS is asked. A group without any is
    one that is unknown.
    """
    if any(group in AWS_GROUPS for group in groups):
        yield Probe("account", "account", lambda: probe_ecs.account(looks))
    for group in groups:
        own = list(PROBES[group](looks))
        why = NOTHING.get(group, "there is nothing to look at").format(
            name=looks.platform.settings.name
        )
        advice = f"{why}: configure it in invoke.yaml, or --skip {group}"
        yield from own or [
            Probe(
                group,
                group,
                lambda group=group, advice=advice: [Check(group, group, "unknown", advice)],  # type: ignore[misc]
            )
        ]


def skipped(checks: Sequence[Check], request: SweepRequest) -> tuple[Check, ...]:
    """A check that is skipped by its name keeps what was seen, and counts no more. Raises
    ConfigError for a name that fits nothing.
    """
    names = {name for name in request.skip if name not in GROUPS}
    known = {check.name for check in checks}
    for name in names - known:
        some = ", ".join([*PROBES, *sorted(known)])
        raise ConfigError(f"--skip {name}", f"allowed: {some}", "inv health.all --skip logs")
    return tuple(
        replace(check, status="skipped", detail=f"--skip: {check.detail}")
        if check.name in names
        else check
        for check in checks
    )


def known_patterns(before: Mapping[str, Any] | None) -> dict[str, frozenset[str]]:
    checks = before["checks"] if before else ()
    return {
        f"{each['group']} · {each['name']}": frozenset(each.get("patterns") or ())
        for each in checks
    }


def as_document(found: Sweep) -> dict[str, Any]:
    """The shape of `health.* --json`."""
    return diff.as_document(found)


def run_sweep(platform: Platform, request: SweepRequest) -> Sweep:
    """One run, kept."""
    check_request(request, platform.settings)
    found = sweep(platform, request, history.baseline(platform, request))
    history.append(platform.settings, found)
    return found
