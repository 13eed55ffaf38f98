"""Every fault leads to a registered cause, and every rule has a fault or says why not."""

from __future__ import annotations

from ops.diagnosis import diagnose  # noqa: F401 - registers the causes
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
