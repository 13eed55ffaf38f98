"""One sweep of `inv health.*`: checks, each with what was seen, and what changed since another
sweep (design: "What --json prints").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ops.aws.facts import Change
from ops.core.findings import Finding

Status = Literal["ok", "failed", "unknown", "skipped"]
STATUSES = ("ok", "failed", "unknown", "skipped")
EVALUATED = ("ok", "failed", "unknown")  # what was asked for, whatever came of it
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
    """One look and its answer.

    `name` is the same in every run, `value` short and steady (two runs are compared by it),
    `detail` for a person, with expected and actual where it failed. `explained_by`: the check whose
    failure explains this one. `numbers`: measures, compared with a tolerance."""

    group: str
    name: str
    status: Status
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
    def ill(self) -> bool:
        return self.status in ("failed", "unknown")


@dataclass(frozen=True)
class Sweep:
    """All checks of one run. `at`: ISO 8601, UTC. `about`: what it was taken for ("after deploy
    backend abc1234").
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
        """Nothing failed, nothing unknown, and something was looked at."""
        return any(check.status == "ok" for check in self.checks) and not any(
            check.ill for check in self.checks
        )


@dataclass(frozen=True)
class SweepRequest:
    """What was asked of a sweep. `only`: these groups; `skip`: groups or checks; `against`: a file,
    or last-release.

    `from_s`: errors in the logs count from then on (seconds since 1970); `released`: service → a
    release that is not recorded yet."""

    only: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()
    since_s: float | None = None
    against: str | None = None
    save: str | None = None
    from_s: float | None = None
    about: str = ""
    deadline_s: float | None = None
    released: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group for group in GROUPS[1:] if not self.only or group in self.only)
