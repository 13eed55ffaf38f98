"""The model of a sweep: checks, their results, and changes since another sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ops.aws.facts import Change
from ops.core.findings import Finding

_Status = Literal["ok", "failed", "unknown", "skipped"]
STATUSES = ("ok", "failed", "unknown", "skipped")
EVALUATED = ("ok", "failed", "unknown")  # not skipped
GROUPS = (
    "account",
    "db",
    "ecs",
    "targets",
    "endpoints",
    "cdn",
    "certificates",
    "logs",
    "terraform",
)  # "account" comes with any other


@dataclass(frozen=True)
class Check:
    """The result of one check.

    `name` is stable between runs. `value` is short and stable; runs are compared by it. `detail` is
    for a person and names expected and actual values of a failure. `explained_by`: the failed check
    that causes this failure. `numbers`: measurements, compared with a tolerance.
    """

    group: str
    name: str
    status: _Status
    detail: str
    value: str = ""
    took_s: float = 0.0
    service: str = ""
    finding: Finding | None = None
    explained_by: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    patterns: tuple[str, ...] = ()  # of a log, so that the next run knows which are new

    @property
    def label(self) -> str:
        return f"{self.group} · {self.name}"

    @property
    def unhealthy(self) -> bool:
        """Whether the check failed or its result is unknown."""
        return self.status in ("failed", "unknown")


@dataclass(frozen=True)
class Sweep:
    """All checks of one run.

    `at`: ISO 8601, UTC. `about`: the reason for the run ("after deploy backend abc1234").
    """

    environment: str
    at: str
    took_s: float
    checks: tuple[Check, ...]
    changes: tuple[Change, ...] = ()
    against: str = ""
    about: str = ""

    @property
    def healthy(self) -> bool:
        """Whether at least one check is ok and none is failed or unknown."""
        return any(check.status == "ok" for check in self.checks) and not any(
            check.unhealthy for check in self.checks
        )


@dataclass(frozen=True)
class SweepRequest:
    """The options of a sweep.

    `only`: group names; `skip`: groups or checks; `baseline`: a file or `last-release`. `from_s`:
    log errors count from then on (seconds since 1970). `released`: service → a release that is not
    recorded yet.
    """

    only: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()
    since_s: float | None = None
    baseline: str | None = None
    save: str | None = None
    from_s: float | None = None
    about: str = ""
    deadline_s: float | None = None
    released: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group for group in GROUPS[1:] if not self.only or group in self.only)
