"""Every fault leads to a registered cause, and every rule has a fault or says why not."""

from __future__ import annotations

import re
from pathlib import Path

from ops.diagnosis import collect, diagnose  # noqa: F401 - register collectors and causes
from ops.diagnosis.collectors import registry
from ops.diagnosis.rules.causes import registered, rules
from ops.sandbox.faults.catalog import FAULTS

# Rules without a fault of their own, and what keeps the sandbox from causing it.
WITHOUT_FAULT = {
    "autoscaling_fights_rollout": "Application Auto Scaling only stores its policies here",
    "credentials_invalid": "of the operator's machine, not of the platform",
    "credentials_missing": "of the operator's machine, not of the platform",
    "fails_open": "a consequence of others: tasks-unhealthy leads to it",
    "image_deleted": "image-expired deletes the image; only the lifecycle policy differs",
    "instances_full": "tasks run on Fargate here, not on EC2 instances",
    "keep_alive_short": "the sandbox has no metrics of the load balancer, which the rule needs",
    "secret_deleted": "secret-missing is the same to a task",
    "service_pinned": "needs a real Terraform",
    "sso_session_ended": "of the operator's machine, not of the platform",
}
HAS_PERMISSIONS = ("findings.md", "health.md")
_ACTION = re.compile(r"[a-z0-9-]+:[A-Z][A-Za-z]+")
ONLY_BY_ITS_TASK = {"exec-disabled"}  # SERVICE.exec reports it; nothing is wrong with the service


def test_there_are_at_least_forty_faults() -> None:
    assert len({fault.name for fault in FAULTS}) >= 40


def test_every_fault_has_a_registered_cause() -> None:
    expected = {
        fault.name: fault.diagnosis or fault.cause
        for fault in FAULTS
        if fault.name not in ONLY_BY_ITS_TASK
    }
    assert {name: cause for name, cause in expected.items() if cause not in registered()} == {}


def test_every_rule_has_a_fault_or_a_reason_for_none() -> None:
    caused = {fault.diagnosis or fault.cause for fault in FAULTS}
    assert set(rules()) - caused == set(WITHOUT_FAULT)


def test_every_permission_of_a_collector_is_documented() -> None:
    docs = Path(__file__).parents[2] / "docs"
    pages = "".join((docs / name).read_text(encoding="utf-8") for name in HAS_PERMISSIONS)
    keys = registry.keys()
    used = {each for key in keys for each in _ACTION.findall(registry.source(key))}
    assert len(used) > 30
    assert sorted(each for each in used if f"`{each}`" not in pages) == []


def test_every_document_is_read() -> None:
    """A document that no rule and no other collector reads costs a call for nothing."""
    package = Path(diagnose.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    source = re.sub(r"@collector\(\s*\"[^\"]+\"", "", "".join(texts))
    keys = registry.keys()
    unread = {key for key in keys if f'"{key}"' not in source and not key.startswith("ec2/")}
    assert len(keys) > 30 and unread == set()
