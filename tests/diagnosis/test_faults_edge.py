"""Every fault of the edge and of rollouts: its cause comes first, and is gone when it is mended."""

from __future__ import annotations

import pytest

from ops.sandbox.faults import catalog
from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.edge.catalog import FAULTS
from tests.checkout import Checkout
from tests.diagnosis.looking import until_first, until_nothing

pytestmark = pytest.mark.timeout(300)
DEEPER = tuple(
    catalog.find(name)
    for name in ("tasks-unhealthy", "target-port", "redirect-loop", "stale-cdn", "security-group")
)


@pytest.mark.parametrize("fault", (*FAULTS, *DEEPER), ids=lambda fault: fault.name)
def test_the_cause_of_a_fault_comes_first(platform: Checkout, fault: Fault) -> None:
    """With evidence and a fix, as the root; nothing is found once it is mended."""
    try:
        broken = platform.inv("sandbox.break", fault.name)
        assert broken.returncode == 0, broken.stderr
        first = until_first(platform, fault.diagnosis or fault.cause)["findings"][0]
        assert first["evidence"] and first["fix"]
    finally:
        mended = platform.inv("sandbox.mend", fault.name)
    assert mended.returncode == 0, mended.stderr
    until_nothing(platform)
