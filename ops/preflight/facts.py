"""Everything a release is decided from, read once: preflight, plan and proof are pure functions of
it.

`Unknown` stands where a look failed, `None` where AWS, git or the engine answered that there is no
such thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.aws.facts import (
    Identity,
    Image,
    Repository,
    ServiceState,
    Target,
    TargetGroup,
    TaskDefinition,
    TaskState,
)
from ops.cdn.facts import Distribution
from ops.core.findings import Unknown
from ops.http.facts import Answer
from ops.terraform.facts import StateLock
from ops.tools.facts import Checkout, EngineInfo, LocalImage


@dataclass(frozen=True)
class TestRun:
    """The service's `tests:` command: its exit code and the end of what it printed."""

    __test__ = False
    command: tuple[str, ...]
    exit_code: int
    tail: str


@dataclass(frozen=True)
class SchemaRevision:
    """The revision that the database is at (None: none yet), and those of this checkout that it has
    not seen, oldest first.
    """

    revision: str | None
    pending: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReleaseFacts:
    """The world before (or after) a release of `service`."""

    service: str
    environment: str
    requested_tag: str | None
    checkout: Checkout | Unknown | None
    identity: Identity | Unknown
    tools: Mapping[str, str | Unknown]
    tests: TestRun | Unknown | None
    engine: EngineInfo | Unknown | None
    local_image: LocalImage | Unknown | None
    repository: Repository | Unknown | None
    image: Image | Unknown | None
    state: ServiceState | Unknown | None
    revision: TaskDefinition | Unknown | None
    running: tuple[TaskState, ...] | Unknown
    target_groups: tuple[TargetGroup, ...] | Unknown
    targets: tuple[Target, ...] | Unknown
    secrets: Mapping[str, frozenset[str] | Unknown | None]
    log_groups: Mapping[str, bool | Unknown]
    schema: SchemaRevision | Unknown | None  # None: the environment has no database
    answers: tuple[Answer, ...] | Unknown
    distribution: Distribution | Unknown | None = (
        None  # None: nothing of the service is cached, or --skip cdn
    )
    state_locks: tuple[StateLock, ...] | Unknown | None = (
        None  # on Terraform's state; None: it is ECS that rolls out
    )

    @property
    def tag(self) -> str | None:
        """The image tag that this release is about: the one asked for, else the commit's short
        id.
        """
        if self.requested_tag:
            return self.requested_tag
        return (
            self.checkout.commit.short
            if self.checkout and not isinstance(self.checkout, Unknown)
            else None
        )
