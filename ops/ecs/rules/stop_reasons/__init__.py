"""Known reasons for a stop: the pattern of each, what it means, and commands to run.

Collected from AWS's developer guide, the ECS agent's source and public incident reports. `classify`
takes the first row whose pattern matches a task's `stoppedReason` or a container's `reason`; a
text that matches nothing is shown verbatim, with what its words suggest (`hints`). Matching ignores
case, and a dot matches a newline; typographic apostrophes are made plain first, since AWS writes
both. Names of findings are a contract: JSON documents carry them.
"""

from __future__ import annotations

import re

from ops.ecs.rules.stop_reasons.capacity import CAPACITY
from ops.ecs.rules.stop_reasons.codes import STOP_CODES
from ops.ecs.rules.stop_reasons.containers import CONTAINERS
from ops.ecs.rules.stop_reasons.model import UNKNOWN, Kind, StopReason
from ops.ecs.rules.stop_reasons.pulls import PULLS
from ops.ecs.rules.stop_reasons.resources import RESOURCES
from ops.ecs.rules.stop_reasons.scheduling import SCHEDULING

__all__ = [
    "REASONS",
    "STOP_CODES",
    "UNKNOWN",
    "UNSPECIFIC",
    "Kind",
    "StopReason",
    "classify",
    "reason_of_stop_code",
]

_PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})
REASONS = (*SCHEDULING, *PULLS, *RESOURCES, *CAPACITY, *CONTAINERS)  # the first match wins

UNSPECIFIC = (
    "ECS-PULL",
    "ECS-LOG",
    "ECS-RUNTIME",
    "ECS-RESINIT",
    "TaskFailedToStart",
)  # what failed, but not why
_COMPILED = tuple(
    (reason, re.compile(reason.pattern, re.IGNORECASE | re.DOTALL)) for reason in REASONS
)
_BY_STOP_CODE = {reason.code: reason for reason in STOP_CODES}


def classify(text: str) -> StopReason | None:
    """The first known reason that matches `text`, or None.

    `text` is a `stoppedReason` or a container's `reason`.
    """
    plain = text.translate(_PLAIN)
    return next((reason for reason, pattern in _COMPILED if pattern.search(plain)), None)


def reason_of_stop_code(stop_code: str) -> StopReason:
    """The reason that a task's `stopCode` alone gives; UNKNOWN if it gives none."""
    return _BY_STOP_CODE.get(stop_code, UNKNOWN)
