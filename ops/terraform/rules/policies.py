"""Decisions: whether to apply a saved plan, remove a lock, or retry after an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from ops.core.text import format_age, short_commit
from ops.terraform.facts import SavedPlan, StateLock, StateVersion, TerraformProcess

# Errors that pass by themselves: throttling, and a dropped connection. Not those that last (an
# unknown host, a refused connection), nor those that a retry makes worse.
_TRANSIENT = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(ThrottlingException|Throttling|RequestLimitExceeded|TooManyRequestsException|SlowDown|ProvisionedThroughputExceeded)\b",
        r"\brate exceeded\b",
        r"\b(429 Too Many Requests|502 Bad Gateway|503 Service Unavailable|504 Gateway "
        r"Time-?out)\b",
        r"\b(StatusCode|status code):? (500|502|503|504|429)\b",
        r"connection reset by peer|connection timed out|unexpected EOF|broken pipe|server "
        r"closed idle connection",
        r"TLS handshake timeout|i/o timeout|Client\.Timeout exceeded|context deadline exceeded",
        r"request canceled while waiting for connection",
        r"temporary failure in name resolution|server misbehaving",
    )
)
RETRY_PAUSES_S = (5.0, 15.0)
# ps rounds to seconds: the owner of a lock may seem to have started this much after it
_START_TOLERANCE_S = 1.5


def transient_cause(output: str) -> str:
    """Return the words of an error that passes by itself; empty for any other.

    Only commands that write nothing are retried for it: init, plan, show, output.
    """
    found = (pattern.search(output) for pattern in _TRANSIENT)
    return next((each[0] for each in found if each), "")


def why_not_applicable(
    saved: SavedPlan, commit: str, state: StateVersion, now: datetime, limit_s: float
) -> str:
    """Return why a saved plan must not be applied; empty if it may be."""
    if saved.uncommitted:
        return f"it was made from files that are not committed: {', '.join(saved.uncommitted[:3])}"
    if saved.commit != commit:
        planned, current = short_commit(saved.commit), short_commit(commit)
        return f"it was made from commit {planned}, and this is {current}"
    if saved.state != state:
        return f"the state has moved since: serial {saved.state.serial} then, {state.serial} now"
    if saved.age_s(now) > limit_s:
        return (
            f"it is {format_age(saved.age_s(now))} old, and the limit is {format_age(limit_s)} "
            f"(terraform.plan_limit)"
        )
    return ""


def how_to_replan(saved: SavedPlan) -> str:
    """Return what to do about a saved plan that must not be applied."""
    first = "commit them, then plan" if saved.uncommitted else "plan"
    return f"{first} again: inv tf.plan"


def why_owner_may_live(
    lock: StateLock,
    host: str,
    directory: str,
    running: Iterable[TerraformProcess],
    now: datetime,
    limit_s: float,
) -> str:
    """Return why the owner of a lock on `directory`'s state may be alive; empty if it is not.

    If it may be alive, the lock is only removed by its id.
    """
    owner = _owner_process(lock, host, directory, running)
    if owner:
        return (
            f"a Terraform that is older than the lock runs on this host: pid {owner.pid} "
            f"({owner.command[:80]})"
        )
    age = lock.age_s(now)
    if age is None:
        return "the lock has no time of creation"
    if age < limit_s:
        return (
            f"the lock was taken {format_age(age)} ago, less than {format_age(limit_s)} "
            f"(terraform.lock_limit)"
        )
    return ""


def _owner_process(
    lock: StateLock, host: str, directory: str, running: Iterable[TerraformProcess]
) -> TerraformProcess | None:
    """Return a Terraform on this host that may own the lock, or None.

    It started before the lock was taken, in this directory or in an unknown one.
    """
    if lock.host != host:
        return None
    for process in running:
        if process.directory not in (None, directory):
            continue
        if lock.created is None:
            return process
        if (process.started - lock.created).total_seconds() <= _START_TOLERANCE_S:
            return process
    return None


def uncommitted_in(changes: Iterable[str], directory: str) -> tuple[str, ...]:
    """Return the uncommitted files in the top-level folder that holds Terraform's directory.

    `changes` are lines of `git status --porcelain`. Modules beside the directory count.
    """
    top = directory.strip("./").split("/")[0]
    paths = [line[3:].split(" -> ")[-1].strip('"') for line in changes]
    return tuple(path for path in paths if not top or path == top or path.startswith(f"{top}/"))
