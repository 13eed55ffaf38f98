"""One sandbox for all tests of faults, whichever file they are in: each leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.sandbox import lifecycle
from tests.sandbox.faults_support import QUICK


@pytest.fixture(scope="package")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a sandbox that is up, without a fault."""
    folder = tmp_path_factory.mktemp("faults") / ".sandbox"
    lifecycle.up(folder, rollout="ecs", timing=QUICK)
    yield folder
    lifecycle.down(folder, purge=True)
