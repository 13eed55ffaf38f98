"""The platform that these tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.checkout import Checkout


@pytest.fixture(scope="session")
def platform(new_checkout: Callable[[str], Checkout]) -> Iterator[Checkout]:
    """A checkout whose sandbox is up, and rolls out by ECS whatever this machine has."""
    checkout = new_checkout("platform")
    up = checkout.inv("sandbox.up", "--rollout", "ecs")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield checkout
    finally:
        checkout.inv("sandbox.down", "--purge")
