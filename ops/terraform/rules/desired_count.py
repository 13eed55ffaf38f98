"""Decide from Terraform's files whether an apply sets a service's desired count (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ops.terraform.rules.hcl import Block
from ops.terraform.rules.ignore_changes import ALL, ignored_changes

_SETS = re.compile(r"^\s*desired_count\s*=", re.MULTILINE)


def sets_desired_count(bodies: Iterable[str]) -> bool | None:
    """Whether `aws_ecs_service` resources set `desired_count` without `ignore_changes`.

    `bodies`: the text of each resource. None if there is no resource, or they differ: which of them
    is the service's is not known then.
    """
    answers = {
        bool(_SETS.search(Block("resource", (), body).arguments))
        and {ALL, "desired_count"}.isdisjoint(ignored_changes(body))
        for body in bodies
    }
    return answers.pop() if len(answers) == 1 else None
