"""Collect the evidence of an incident: all collectors at once, read-only, under one deadline."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from ops.core.findings import Unknown
from ops.core.parallel import Call, run_calls
from ops.diagnosis.collectors import (  # modules register their collectors when imported
    access,  # noqa: F401
    changes,  # noqa: F401
    database,  # noqa: F401
    ecs,  # noqa: F401
    edge,  # noqa: F401
    elb,  # noqa: F401
    health,  # noqa: F401
    images,  # noqa: F401
    locks,  # noqa: F401
    permissions,  # noqa: F401
    registry,
    rollouts,  # noqa: F401
    vpc,  # noqa: F401
)
from ops.diagnosis.model import Document, EvidenceSnapshot
from ops.diagnosis.subject import subject

if TYPE_CHECKING:
    from ops.platform import Platform

_GRACE_S = 2.0  # beyond the sweep's own deadline


def collect(platform: Platform) -> EvidenceSnapshot:
    """Read every document. What has not answered by the deadline is unknown."""
    began, at = time.monotonic(), registry.now()
    reader = registry.Reader(platform)
    deadline_s = platform.settings.environment.health.deadline + _GRACE_S
    keys = registry.keys()
    calls = [Call(partial(reader.document, key), f"collect {key}") for key in keys]
    results = run_calls(calls, len(calls), deadline_s)
    documents = {
        key: _document(key, result, deadline_s) for key, result in zip(keys, results, strict=True)
    }
    return EvidenceSnapshot(
        platform.settings.name,
        at,
        time.monotonic() - began,
        subject(platform.settings),
        documents,
        platform.cloud.program,
    )


def _document(key: str, result: Document | Unknown | None, deadline_s: float) -> Document:
    if isinstance(result, Document):
        return result
    why = result.why if result else f"no answer within {deadline_s:g} s"
    return Document(key, registry.source(key), registry.now(), unknown=why)
