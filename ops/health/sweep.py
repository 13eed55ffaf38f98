"""`inv health.*`: run all checks, explain failures, compare with an earlier run (runbook 5).

All probes run concurrently under one deadline. Each run is stored on this machine for the next
comparison.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError
from ops.core.findings import Unknown
from ops.core.parallel import try_call, with_timeout
from ops.health import (  # probe modules register their groups when imported
    history,
    probe_cdn,  # noqa: F401
    probe_certificates,  # noqa: F401
    probe_database,  # noqa: F401
    probe_ecs,
    probe_endpoints,  # noqa: F401
    probe_logs,  # noqa: F401
    probe_terraform,  # noqa: F401
)
from ops.health.inputs import SweepContext, SweepInputs
from ops.health.model import GROUPS, Check, CheckKey, Sweep, SweepRequest
from ops.health.probe_runner import HealthGroup, Probe, health_groups, run_all
from ops.health.rules import diff
from ops.health.rules.root_cause import AWS_GROUPS, ExplainContext, add_denied_finding, explain
from ops.health.rules.services import STOPPED
from ops.health.rules.stored_sweep import StoredSweep
from ops.http.assertions import check_expressions
from ops.platform import Platform

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

_STOPPED_GROUPS = (
    "db",
    "endpoints",
    "cdn",
)  # not checked in an environment that is meant to be down
_GRACE_S = 0.5  # after the deadline, for values that should be known by then


def check_request(request: SweepRequest, settings: Settings) -> None:
    """Check a request before the sweep.

    Raises ConfigError for an unknown group, an invalid expectation, or an unwritable --save path.
    """
    for name in request.only:
        if name not in health_groups():
            raise ConfigError(
                f"--only {name}",
                f"allowed: {', '.join(health_groups())}",
                "inv health.all --only endpoints",
            )
    if request.save:
        history.check_writable(request.save)
    for _, endpoint in settings.environment.pages():
        check_expressions(endpoint)


def configured(platform: Platform) -> list[str]:
    """Return the groups for which this environment has probes."""
    inputs = SweepInputs(SweepContext(platform))
    return [
        name
        for name, group in health_groups().items()
        if next(group.probes(inputs), None) is not None
    ]


def sweep(platform: Platform, request: SweepRequest, before: StoredSweep | None) -> Sweep:
    """Run the checks and compare with `before`.

    Raises ConfigError for an unknown group or check, or an invalid expectation.
    """
    check_request(request, platform.settings)
    deadline_s = request.deadline_s or platform.settings.environment.health.deadline
    context = SweepContext(
        platform,
        request.since_s,
        request.from_s,
        _known_patterns(before),
        request.released,
        deadline_s,
    )
    inputs, began, at = SweepInputs(context), time.monotonic(), datetime.now(UTC)
    groups = [group for group in request.groups if group not in request.skip]
    checks = list(run_all(list(_probes(inputs, groups)), deadline_s))
    checks += [
        Check(CheckKey(group, "group"), "skipped", "--skip")
        for group in request.groups
        if group in request.skip
    ]
    explained = explain(
        map(add_denied_finding, _apply_skips(checks, request)),
        _explain_context(inputs, checks, began + deadline_s),
    )
    found = Sweep(
        platform.settings.name,
        at.isoformat(timespec="milliseconds"),
        time.monotonic() - began,
        explained,
        about=request.about,
    )
    if before is None:
        return found
    changes = diff.changes(before, found, platform.settings.environment.health.slower)
    return replace(found, changes=changes, against=before.at)


def _explain_context(
    inputs: SweepInputs, checks: Sequence[Check], ends_at: float
) -> ExplainContext:
    """Read what the root-cause rules need, if any check is unhealthy.

    `ends_at`: the end of the deadline (monotonic clock).
    """
    if not any(check.unhealthy for check in checks):
        return ExplainContext()
    clients = try_call(
        lambda: with_timeout(
            inputs.database_clients,
            max(_GRACE_S, ends_at - time.monotonic()),
            "who uses the database",
        )
    )
    return ExplainContext() if isinstance(clients, Unknown) else ExplainContext(clients)


def _probes(inputs: SweepInputs, groups: Sequence[str]) -> Iterator[Probe]:
    """Yield the probes of the groups, the account's first if AWS is used.

    A group without probes yields one whose result is unknown, or skipped if the configuration says
    that there is no such thing (`database: none`).
    """
    if any(group in AWS_GROUPS for group in groups):
        yield Probe((probe_ecs.ACCOUNT,), lambda: probe_ecs.account(inputs))
    for group in groups:
        registered = health_groups()[group]
        if group in _STOPPED_GROUPS and inputs.environment.expect == "stopped":
            yield _skipped_group(group, STOPPED)
            continue
        own = list(registered.probes(inputs))
        yield from own or [_without_probes(inputs, registered)]


def _skipped_group(name: str, why: str) -> Probe:
    key = CheckKey(name, "group")
    return Probe((key,), lambda: [Check(key, "skipped", why)])


def _without_probes(inputs: SweepInputs, group: HealthGroup) -> Probe:
    """The result of a group that has nothing to check in this environment."""
    key, absent = CheckKey(group.name, "group"), inputs.environment.absent
    if none := next((each for each in group.needs if each in absent), None):
        return _skipped_group(group.name, f"{none}: none, by configuration")
    why = group.when_empty.format(name=inputs.platform.settings.name)
    how = f"configure it in invoke.yaml ({group.needs[0]}: none if there is none), or "
    advice = f"{why}: {how if group.needs else 'configure it in invoke.yaml, or '}"
    return Probe((key,), lambda: [Check(key, "unknown", f"{advice}--skip {group.name}")])


def _apply_skips(checks: Sequence[Check], request: SweepRequest) -> tuple[Check, ...]:
    """Mark the checks named by `--skip` as skipped, with their results in the detail.

    Raises ConfigError for an unknown name.
    """
    names = {name for name in request.skip if name not in GROUPS}
    known = {check.name for check in checks}
    for name in sorted(names - known):
        raise _unknown_check(name, known)
    return tuple(
        replace(check, status="skipped", detail=f"--skip: {check.detail}")
        if check.name in names
        else check
        for check in checks
    )


def _unknown_check(name: str, known: Collection[str]) -> ConfigError:
    """The error for a `--skip` that names neither a group nor a check."""
    groups = list(health_groups())
    why = f"allowed: a group ({', '.join(groups)}), or the name of one check"
    near = get_close_matches(name, [*groups, *known], n=1)
    how = f"did you mean --skip {shlex.quote(near[0])}?" if near else "inv health.all --verbose"
    return ConfigError(f"--skip {shlex.quote(name)}", why, how)


def _known_patterns(before: StoredSweep | None) -> dict[tuple[str, str], frozenset[str]]:
    checks = before.checks if before else ()
    return {each.identity: frozenset(each.patterns) for each in checks}


def as_document(found: Sweep) -> dict[str, Any]:
    """Return the JSON document of `health.*`."""
    return diff.as_document(found)


def run_sweep(platform: Platform, request: SweepRequest) -> Sweep:
    """Run a sweep, compare it with the baseline, and store it."""
    check_request(request, platform.settings)
    found = sweep(platform, request, history.baseline(platform, request))
    history.append(platform.settings, found)
    return found
