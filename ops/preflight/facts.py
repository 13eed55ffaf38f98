"""Facts on which preflight, deploy plan and verification decide, each read once.

`Unknown` means that a read failed, `None` that AWS, git or the engine answered that the object does
not exist.
"""

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
from ops.tools.facts import AbsentContent, Checkout, EngineInfo, LocalImage


@dataclass(frozen=True)
class TestRun:
    """The result of the service's `tests:` command and the end of its output."""

    __test__ = False
    command: tuple[str, ...]
    exit_code: int
    tail: str


@dataclass(frozen=True)
class SchemaRevision:
    """The database's revision (None: no migrations yet) and the pending ones, oldest first.

    `way`: what the database was read through, in words.
    """

    revision: str | None
    pending: tuple[str, ...] = ()
    way: str = ""


@dataclass(frozen=True)
class TerraformFacts:
    """The Terraform program and directory of an environment.

    `program`: Terraform or OpenTofu. `constraints`: its `required_version`. `variables`: service →
    image variable. `defaults`: the variables' own values. `untracked`: variable files that git does
    not have.
    """

    program: str
    version: str
    constraints: tuple[str, ...]
    initialised: bool
    variables: Mapping[str, str]
    declared: frozenset[str]
    defaults: Mapping[str, str]
    untracked: tuple[str, ...]


@dataclass(frozen=True)
class ReleaseFacts:
    """The state of the platform before or after a release of `service`.

    `action`: deploy, restart or rollback; the last two have the tag that they release.
    """

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
    absent_content: AbsentContent | Unknown | None = None  # None: nothing is built
    terraform: TerraformFacts | Unknown | None = None  # None: it is ECS that rolls out
    action: str = "deploy"
    newest_tags: tuple[str, ...] = ()  # in ECR, if it lacks the requested tag

    @property
    def tag(self) -> str | None:
        """The image tag of this release: the requested one, else the commit's.

        That is its short id, or another length of it with which ECR has the image already.
        """
        if self.requested_tag:
            return self.requested_tag
        if not isinstance(self.checkout, Checkout):
            return None
        commit = self.checkout.commit
        if isinstance(self.image, Image) and commit.full.startswith(self.image.tag):
            return self.image.tag or commit.short
        return commit.short
