"""Every fault of tasks that do not start: its cause comes first, and is gone when it is mended."""

from __future__ import annotations

import pytest

from ops.sandbox.faults.base import Fault
from ops.sandbox.faults.tasks.catalog import FAULTS
from tests.checkout import Checkout
from tests.diagnosis.looking import until_first, until_nothing

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_cause_of_a_fault_comes_first(platform: Checkout, fault: Fault) -> None:
    """With evidence and a fix, as the root; the tasks that run keep serving meanwhile."""
    try:
        broken = platform.inv("sandbox.break", fault.name)
        assert broken.returncode == 0, broken.stderr
        first = until_first(platform, fault.diagnosis or fault.cause)["findings"][0]
        assert first["evidence"] and first["because"]
        assert all("{" not in command or "'" in command for command in first["fix"])
    finally:
        mended = platform.inv("sandbox.mend", fault.name)
    assert mended.returncode == 0, mended.stderr
    until_nothing(platform)
