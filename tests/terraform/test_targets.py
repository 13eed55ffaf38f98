"""Addresses given by `--target`, and states without resources."""

from __future__ import annotations

from typing import Any

import pytest

from ops.terraform.plan import DriftReport
from ops.terraform.rules.plan_json import PlanDocument
from ops.terraform.rules.plan_review import unmatched_targets
from tests.terraform.terraform_plans import plan, resource

CONFIGURATION = {
    "root_module": {
        "resources": [{"address": "aws_sqs_queue.main"}, {"address": "data.aws_region.here"}],
        "module_calls": {"net": {"module": {"resources": [{"address": "aws_lb.main"}]}}},
    }
}
STATE = {
    "values": {
        "root_module": {
            "resources": [{"address": "aws_sqs_queue.gone"}],
            "child_modules": [
                {
                    "child_modules": [
                        {"resources": [{"address": 'module.net["a.b"].module.x.aws_lb.main[0]'}]}
                    ]
                }
            ],
        }
    }
}


@pytest.mark.parametrize(
    ("target", "matches"),
    [
        ("aws_sqs_queue.main", True),
        ("data.aws_region.here", True),
        ("module.net", True),
        ("module.net.aws_lb.main", True),
        ("aws_sqs_queue.gone", True),
        ('module.net["a.b"]', True),
        ('module.net["a.b"].module.x.aws_lb.main', True),
        ('module.net["new"].aws_lb.main', True),
        ("aws_sqs_queue.mian", False),
        ("aws_sqs_queue.mai", False),
        ('aws_sqs_queue.main["typo"]', False),
        ("module.nte", False),
        ("module.net.aws_lb.other", False),
        ('module.net["a"]', False),
        ("module.other.module.x", False),
    ],
)
def test_a_target_that_matches_nothing_is_found(target: str, matches: bool) -> None:
    """By the configuration, the state or the planned changes; a key has to exist."""
    change = resource('module.net["new"].aws_lb.main', ["create"], None, {"name": "x"})
    document = {**plan(change), "configuration": CONFIGURATION, "prior_state": STATE}
    found = unmatched_targets(PlanDocument.from_document(document), [target])
    assert found == (() if matches else (target,))


@pytest.mark.parametrize("state", [None, "x", {"values": []}, {"values": {"root_module": [1]}}])
def test_a_state_of_another_shape_has_no_addresses(state: Any) -> None:
    document = {**plan(), "prior_state": state}
    assert PlanDocument.from_document(document).prior_addresses == frozenset()
    assert unmatched_targets(PlanDocument.from_document(document), ["aws_lb.main"]) == ()


def test_an_empty_state_is_not_reported_as_no_drift() -> None:
    """A wrong workspace has nothing that could have drifted."""
    report = DriftReport("dev", (), is_state_empty=True)
    assert "the state has no resources" in report.text and report.document["state_empty"] is True
    assert DriftReport("dev", ()).text == "no drift"
