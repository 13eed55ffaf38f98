"""The model of a sweep: checks, their results, and changes since another sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ops.core.findings import Denial, Finding, Unknown
from ops.state.model import ReleaseRecord

Status = Literal["ok", "failed", "unknown", "skipped"]
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


Kind = Literal[
    "account",
    "instance",
    "secret",
    "connection",
    "connections",
    "schema",
    "cluster",
    "tasks",
    "deployment",
    "image",
    "revision",
    "target group",
    "targets",
    "page",
    "time",
    "distribution",
    "invalidations",
    "cached page",
    "handshake",
    "certificate",
    "authority",
    "log",
    "state lock",
    "group",
]
_NAMES: Mapping[str, str] = {  # "{subject} {kind}" for the others
    "target group": "{subject} {part}",
    "page": "GET {subject} via {layer}",
    "cached page": "cache {subject}",
    "authority": "{subject} authority {part}",
    "group": "{group}",
}


_METHODS = ("HEAD ", "OPTIONS ")  # begin the label of an endpoint that is not requested by GET


@dataclass(frozen=True)
class CheckKey:
    """The identity of a check, for rules and comparisons.

    `kind`: what is checked. `subject`: of which service, path or host. `layer`: "cdn" or "alb", of
    a page or a certificate. `part`: one of several in a subject. Kind "group" stands for a whole
    group that was not checked.
    """

    group: str
    kind: Kind
    subject: str = ""
    layer: str = ""
    part: str = ""

    @property
    def name(self) -> str:
        """The name for people, documents and `--skip`; a stored run is found by it."""
        template = _NAMES.get(self.kind, "{subject} {kind}")
        if self.kind == "page" and self.subject.startswith(_METHODS):
            template = "{subject} via {layer}"
        return template.format(**vars(self)).strip()

    @property
    def label(self) -> str:
        return f"{self.group} · {self.name}"

    @property
    def identity(self) -> tuple[str, str]:
        """Group and name, by which documents identify a check."""
        return self.group, self.name


@dataclass(frozen=True)
class Change:
    """What changed since another sweep. `key`: the check, unless only the earlier sweep has it."""

    name: str
    before: str | None
    after: str | None
    key: CheckKey | None = None

    def as_document(self) -> dict[str, Any]:
        return {"name": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True)
class Check:
    """The result of one check.

    `value` is short and stable; runs are compared by it. `detail` is
    for a person and names expected and actual values of a failure. `explained_by`: the failed check
    that causes this failure. `numbers`: measurements, compared with a tolerance.
    """

    key: CheckKey
    status: Status
    detail: str
    value: str = ""
    took_s: float = 0.0
    service: str = ""
    finding: Finding | None = None
    explained_by: CheckKey | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    patterns: tuple[str, ...] = ()  # of a log, so that the next run knows which are new
    denied: Denial | None = None  # the missing permission, where the result is therefore unknown
    login: str = ""  # likewise what to do about credentials that AWS does not accept

    @classmethod
    def unread(cls, key: CheckKey, fact: Unknown, *, service: str = "") -> Check:
        """Return the check with its result unknown because this fact is."""
        return cls(key, "unknown", fact.why, service=service, denied=fact.denied, login=fact.login)

    @property
    def group(self) -> str:
        return self.key.group

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def label(self) -> str:
        return self.key.label

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
    released: Mapping[str, ReleaseRecord] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group for group in GROUPS[1:] if not self.only or group in self.only)
