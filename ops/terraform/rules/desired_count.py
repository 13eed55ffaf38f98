"""Decide from Terraform's files whether an apply sets a service's desired count (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SETS = re.compile(r"^\s*desired_count\s*=", re.MULTILINE)
_IGNORES = re.compile(r"\bignore_changes\s*=\s*(?:all\b|\[[^\]]*\bdesired_count\b[^\]]*\])")


def sets_desired_count(bodies: Iterable[str]) -> bool | None:
    """Whether `aws_ecs_service` resources set `desired_count` without `ignore_changes`.

    `bodies`: the text of each resource. None if there is no resource, or they differ: which of them
    is the service's is not known then.
    """
    answers = {bool(_SETS.search(body)) and not _IGNORES.search(body) for body in bodies}
    return answers.pop() if len(answers) == 1 else None
