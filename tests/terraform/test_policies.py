"""Saved plans, locks and transient errors: who is let through, by table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.terraform.facts import SavedPlan, StateLock, StateVersion, TerraformProcess
from ops.terraform.rules.policies import (
    how_to_replan,
    transient_cause,
    uncommitted_in,
    why_not_applicable,
    why_owner_may_live,
)

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
STATE = StateVersion(7, "lineage")
SAVED = SavedPlan(
    Path("plan.tfplan"), "abc1234", STATE, (NOW - timedelta(minutes=5)).isoformat(), "ana@laptop"
)


@pytest.mark.parametrize(
    ("commit", "state", "age_min", "uncommitted", "says"),
    [
        ("abc1234", STATE, 5, (), ""),
        ("def5678", STATE, 5, (), "made from commit abc1234"),
        ("abc1234", StateVersion(8, "lineage"), 5, (), "serial 7 then, 8 now"),
        ("abc1234", StateVersion(7, "other"), 5, (), "the state has moved"),
        ("abc1234", STATE, 31, (), "31 min old"),
        ("abc1234", STATE, 5, ("terraform/main.tf",), "not committed: terraform/main.tf"),
    ],
)
def test_only_a_young_plan_of_this_commit_and_state_is_applied(
    commit: str, state: StateVersion, age_min: int, uncommitted: tuple[str, ...], says: str
) -> None:
    """Each of the four reasons is said in words; none of them lets a plan through."""
    saved = SavedPlan(
        SAVED.file,
        SAVED.commit,
        STATE,
        (NOW - timedelta(minutes=age_min)).isoformat(),
        SAVED.by,
        uncommitted,
    )
    found = why_not_applicable(saved, commit, state, NOW, 1800.0)
    assert says in found and bool(found) == bool(says)
    assert ("commit them" in how_to_replan(saved)) == bool(uncommitted)


def lock(age_min: float | None = 120, host: str = "laptop") -> StateLock:
    created = None if age_min is None else NOW - timedelta(minutes=age_min)
    return StateLock(
        "id-1", f"ana@{host}", "OperationTypeApply", created, "1.11.4", "bucket/key", "s3"
    )


def process(age_min: float, directory: str | None = None) -> TerraformProcess:
    return TerraformProcess(4711, NOW - timedelta(minutes=age_min), "terraform apply", directory)


@pytest.mark.parametrize(
    ("held", "running", "says"),
    [
        (lock(), (), ""),
        (lock(), (process(121),), "pid 4711"),
        (lock(), (process(119.99),), "pid 4711"),
        (lock(), (process(121, "/code/dev"),), "pid 4711"),
        (lock(), (process(121, "/code/other"),), ""),  # another directory's
        (lock(), (process(60),), ""),  # began after the lock: not its owner
        (lock(host="elsewhere"), (process(121),), ""),
        (lock(age_min=10), (), "10 min ago"),
        (lock(age_min=None), (), "no time of creation"),
        (lock(age_min=None), (process(1),), "pid 4711"),
    ],
)
def test_a_lock_whose_owner_may_live_wants_its_id_typed(
    held: StateLock, running: tuple[TerraformProcess, ...], says: str
) -> None:
    """A living process on this host, or a young lock, speaks for its owner; an old lock of nobody
    does not.
    """
    found = why_owner_may_live(held, "laptop", "/code/dev", running, NOW, 3600.0)
    assert says in found and bool(found) == bool(says)


def test_a_lock_says_who_when_and_what() -> None:
    """One line for a person: owner, age, operation, id."""
    assert lock().describe(NOW) == "ana@laptop holds it for 2 h (apply, Terraform 1.11.4, id id-1)"


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        (
            "operation error S3: GetObject, https response error StatusCode: 503, SlowDown",
            "SlowDown",
        ),
        ("ThrottlingException: Rate exceeded", "ThrottlingException"),
        (
            "could not connect to registry.terraform.io: failed to request discovery "
            "document: i/o timeout",
            "i/o timeout",
        ),
        (
            "could not query provider registry: context deadline exceeded",
            "context deadline exceeded",
        ),
        (
            "failed to get existing workspaces: read tcp: connection reset by peer",
            "connection reset by peer",
        ),
        (
            "could not connect to registry.terraform.io: failed to request discovery "
            "document: lookup x: no such host",
            "",
        ),
        (
            "failed to request discovery document: dial tcp 127.0.0.1:9: connect: "
            "connection refused",
            "",
        ),
        ("Error acquiring the state lock: StatusCode: 412, PreconditionFailed", ""),
        ("AccessDenied: not authorized to perform ecs:UpdateService", ""),
        ("ExpiredToken: The security token included in the request is expired", ""),
        ("Invalid value for variable", ""),
        ("InvalidParameterException: TaskDefinition is inactive", ""),
    ],
)
def test_only_what_passes_by_itself_is_tried_again(said: str, passes: str) -> None:
    """Throttling and a dropped network pass, and their words are what is told of them; a "no" does
    not.
    """
    assert transient_cause(said) == passes


@pytest.mark.parametrize(
    ("changes", "directory", "found"),
    [
        ((" M backend/server.py",), "terraform/environments/dev", ()),
        (
            (" M terraform/modules/ecs/main.tf",),
            "terraform/environments/dev",
            ("terraform/modules/ecs/main.tf",),
        ),
        (("?? terraform/",), "terraform/environments/dev", ("terraform/",)),
        (("R  a.tf -> terraform/b.tf",), "./terraform", ("terraform/b.tf",)),
        ((" M anything",), ".", ("anything",)),
    ],
)
def test_uncommitted_files_beside_the_directory_count_too(
    changes: tuple[str, ...], directory: str, found: tuple[str, ...]
) -> None:
    """Modules stand beside the environment: a change there is a change of the plan; the
    application's files are none.
    """
    assert uncommitted_in(changes, directory) == found
