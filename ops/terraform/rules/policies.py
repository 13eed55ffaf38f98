"""Three decisions of Terraform's way: whether a saved plan may be applied, a lock be taken away, an
error be tried again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from ops.core.text import format_age, short_commit
from ops.terraform.facts import SavedPlan, StateLock, StateVersion, TerraformProcess

# What passes by itself: throttling, and a network that dropped. Nothing that says "no" (a host that
# does not exist, a refused connection),
# and nothing that a second try makes worse.
TRANSIENT = tuple(
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
PAUSES_S = (5.0, 15.0)
# a process that began this much after its lock still may be its owner: ps rounds to seconds
EARLIER_S = 1.5


def transient_cause(said: str) -> str:
    """The words of an error that is known to pass; empty for any other. Only reads (init, plan,
    show, output) are tried again for it.
    """
    found = (pattern.search(said) for pattern in TRANSIENT)
    return next((each[0] for each in found if each), "")


def why_not_applicable(
    saved: SavedPlan, commit: str, state: StateVersion, now: datetime, limit_s: float
) -> str:
    """Why a saved plan may not be applied; empty where it may."""
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


def why_owner_may_live(
    lock: StateLock,
    host: str,
    directory: str,
    running: Iterable[TerraformProcess],
    now: datetime,
    limit_s: float,
) -> str:
    """Why a lock on `directory`'s state may still be alive: then its id must be typed. Empty where
    nothing speaks for it.
    """
    age = lock.age_s(now)
    alive = owner_process(lock, host, directory, running)
    if alive:
        return (
            f"a Terraform that is older than the lock runs on this host: pid {alive.pid} "
            f"({alive.command[:80]})"
        )
    if age is None:
        return "it does not say when it was taken"
    if age < limit_s:
        return (
            f"it was taken {format_age(age)} ago, and a lock younger than "
            f"{format_age(limit_s)} is taken for a living one (terraform.lock_limit)"
        )
    return ""


def owner_process(
    lock: StateLock, host: str, directory: str, running: Iterable[TerraformProcess]
) -> TerraformProcess | None:
    """A Terraform on this host that began before the lock was taken, in this directory or in one
    that is not shown; else None.
    """
    if lock.host != host:
        return None
    for process in running:
        if process.directory not in (None, directory):
            continue
        if lock.created is None or (process.started - lock.created).total_seconds() <= EARLIER_S:
            return process
    return None


def uncommitted_in(changes: Iterable[str], directory: str) -> tuple[str, ...]:
    """What is not committed (`git status --porcelain`) beside or below Terraform's directory, its
    modules included.
    """
    top = directory.strip("./").split("/")[0]
    paths = [line[3:].split(" -> ")[-1].strip('"') for line in changes]
    return tuple(
        path
        for path in paths
        if not top or path == top or path.startswith(f"{top}/") or path == f"{top}"
    )
