"""What is tried again, and what is waited for: Terraform's passing errors, and its state's lock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ops.terraform import workspace
from ops.terraform.errors import LockHeld, TerraformError
from ops.terraform.facts import StateLock


def failing(*errors: Exception) -> tuple[Callable[[], str], list[Exception]]:
    """Fails with each of them in turn, then succeeds; what is left."""
    left = list(errors)

    def act() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return act, left


def dropped() -> TerraformError:
    return TerraformError(
        "terraform plan failed",
        "Error: reading S3 Bucket",
        output="read tcp: connection reset by peer",
    )


def test_what_passes_is_tried_again_with_growing_pauses(capsys: pytest.CaptureFixture[str]) -> None:
    """Three tries in all, and a line for each new one that says what passed by."""
    pauses: list[float] = []
    act, _ = failing(dropped(), dropped())
    assert workspace.retry_transient(act, pauses.append) == "done"
    assert pauses == [5.0, 15.0]
    assert capsys.readouterr().err.count("connection reset by peer: retrying in ") == 2


def test_what_does_not_end_is_told_after_the_third_try() -> None:
    """The error is Terraform's own."""
    act, left = failing(*(dropped() for _ in range(5)))
    with pytest.raises(TerraformError, match="terraform plan failed"):
        workspace.retry_transient(act, lambda _: None)
    assert len(left) == 2


def test_anything_else_is_told_at_once() -> None:
    """An unknown error is no reason to try again."""
    pauses: list[float] = []
    act, left = failing(
        TerraformError("terraform plan failed", "Error: Invalid index", output="Invalid index"),
        dropped(),
    )
    with pytest.raises(TerraformError, match="terraform plan failed"):
        workspace.retry_transient(act, pauses.append)
    assert not pauses and len(left) == 1


@pytest.mark.parametrize(("wait_s", "asked"), [(0.0, [0.0]), (40.0, [0.0, 40.0])])
def test_a_held_lock_is_waited_for_by_terraform_itself(wait_s: float, asked: list[float]) -> None:
    """Its owner is named first; without patience it is refused, exit code 3, as an error that
    changed nothing.
    """
    lock = StateLock(
        "an-id",
        "ana@laptop",
        "OperationTypeApply",
        datetime(2026, 1, 2, tzinfo=UTC),
        "1.11.4",
        "states/dev",
        "s3",
    )
    given: list[float] = []

    def act(wait: float) -> None:
        given.append(wait)
        raise LockHeld("terraform apply", lock)

    with pytest.raises(LockHeld) as held:
        workspace.with_lock_wait(act, wait_s)
    assert given == asked and held.value.exit_code == 3 and held.value.untouched


@pytest.mark.parametrize(("wait_s", "calls"), [(0.0, 1), (40.0, 4), (0.5, 2)])
def test_a_race_for_the_lock_is_repeated_within_the_wait(wait_s: float, calls: int) -> None:
    """Terraform does not wait for a lock without an owner; another attempt takes it."""
    given: list[float] = []
    pauses: list[float] = []

    def act(wait: float) -> str:
        given.append(wait)
        if len(given) < 4:
            raise LockHeld("terraform plan", None)
        return "planned"

    if calls == 4:
        assert workspace.with_lock_wait(act, wait_s, pauses.append) == "planned"
        assert pauses == [1.0, 1.0] and given[1] == 40.0 and 38.0 < given[2] <= 39.0
    else:
        with pytest.raises(LockHeld, match="has released it since"):
            workspace.with_lock_wait(act, wait_s, pauses.append)
        assert pauses == []
    assert len(given) == calls
