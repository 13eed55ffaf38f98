"""The sandboxes that several files share.

That of the faults is one for all files: each test leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.sandbox import lifecycle
from ops.sandbox.aws import Aws, serve
from tests.sandbox import aws_platform
from tests.sandbox.aws_platform import ports
from tests.sandbox.faults_support import QUICK


@pytest.fixture(scope="package")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a sandbox that is up, without a fault."""
    folder = tmp_path_factory.mktemp("faults") / ".sandbox"
    lifecycle.up(folder, rollout="ecs", timing=QUICK)
    yield folder
    lifecycle.down(folder, purge=True)


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    """The sandbox's AWS alone, empty, with quick timings."""
    running = serve(ports(), aws_platform.QUICK)
    yield running
    running.stop()
