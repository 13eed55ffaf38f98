"""Messages between the operator's machine and a run on the bastion, and the run's documents.

All are JSON objects. Both ends may be of different versions, so fields are added, never renamed.
Standard library only, because it also serves commands on a host without any other package.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

State = Literal["running", "lost", "succeeded", "failed", "cancelled"]


class StartRequest(TypedDict):
    """The request of `start`, sent by stdin: `parameters` contains the password.

    `authority`: the CA bundle's content; `shown`: the revisions that the plan began at; `accepted`:
    the confirmed edit of applied revisions; `redact`: `module:function`; `limits` and `who`: the
    fields of `Limits` and `RunIdentity`; `bundles`: names of the installed bundles.
    """

    parameters: dict[str, Any]
    authority: str | None
    direction: Literal["upgrade", "downgrade"]
    to: str
    shown: list[str]
    accepted: Any
    redact: str
    limits: dict[str, Any]
    who: dict[str, str]
    bundles: NotRequired[dict[str, str | None]]


class RunError(TypedDict):
    """The error of a failed run; `kind` decides the exit code."""

    kind: str
    what: str
    why: str
    next: str


class AppliedRevision(TypedDict):
    """The fields of `Applied`."""

    revision: str
    took_s: float


class Outcome(TypedDict):
    """The fields of `MigrationOutcome`."""

    before: str | None
    after: str | None
    applied: list[AppliedRevision]
    run: str | None


class RunEnd(TypedDict):
    """The result of a run (status.json), or its state until then.

    `outcome` if it succeeded, `error` if it failed; `forced`: why a cancelled run was ended without
    a rollback of its own.
    """

    state: State
    outcome: NotRequired[Outcome]
    error: NotRequired[RunError]
    forced: NotRequired[str]
    ended_at: NotRequired[str]


class WatchMessage(TypedDict, total=False):
    """A line of `attach`: the run and offset, a log line, the end, or a heartbeat.

    `missing` and `known`: the run does not exist, and these do.
    """

    run: str
    offset: int
    line: str
    about: dict[str, Any]
    end: RunEnd
    missing: str
    known: list[str]


class CancelAnswer(TypedDict, total=False):
    """The answer of `cancel`: whether the run was interrupted, and its state."""

    run: str
    interrupted: bool
    state: State
    missing: str
    known: list[str]
