"""Every fault of the edge and of rollouts: its cause comes first, and is gone when it is mended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ops.sandbox.faults import catalog
from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.edge.catalog import FAULTS
from tests.checkout import Checkout
from tests.diagnosis.looking import until_first, until_nothing

pytestmark = pytest.mark.timeout(300)
DEEPER = tuple(
    catalog.find(name)
    for name in ("tasks-unhealthy", "target-port", "redirect-loop", "security-group")
)


@pytest.mark.parametrize("fault", (*FAULTS, *DEEPER), ids=lambda fault: fault.name)
def test_the_cause_of_a_fault_comes_first(platform: Checkout, fault: Fault) -> None:
    """With evidence and a fix, as the root; nothing is found once it is mended."""
    _break_and_mend(platform, fault)


def test_a_page_of_an_earlier_release_names_the_missing_invalidation(
    new_checkout: Callable[[str], Checkout],
) -> None:
    """In a sandbox of its own: the shared one's cache may have been invalidated since its release,
    and then the page is only stale.
    """
    checkout = new_checkout("stale")
    try:
        up = checkout.inv("sandbox.up", "--rollout", "ecs")
        assert up.returncode == 0, up.stdout + up.stderr
        _break_and_mend(checkout, catalog.find("stale-cdn"))
    finally:
        checkout.inv("sandbox.down", "--purge")


def _break_and_mend(platform: Checkout, fault: Fault) -> None:
    try:
        broken = platform.inv("sandbox.break", fault.name)
        assert broken.returncode == 0, broken.stderr
        first = until_first(platform, fault.diagnosis or fault.cause)["findings"][0]
        assert first["evidence"] and first["fix"]
    finally:
        mended = platform.inv("sandbox.mend", fault.name)
    assert mended.returncode == 0, mended.stderr
    until_nothing(platform)
