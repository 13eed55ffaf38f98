"""How a part that is missing here is told: by name, and as a failure where it was required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ONE = "tests/real/test_engine_real.py::test_the_base_is_this_python"


@pytest.mark.parametrize(
    ("required", "code", "says"),
    [("", 0, "no docker here"), ("sshd, docker", 1, "docker is required (OPS_REQUIRE_REAL)")],
)
def test_a_missing_part_is_skipped_or_failed_by_its_name(
    tmp_path: Path, required: str, code: int, says: str
) -> None:
    """Without an engine the test is skipped with the engine's name; OPS_REQUIRE_REAL=docker makes
    that a failure.
    """
    words = [sys.executable, "-m", "pytest", "-rs", "-q", "-p", "no:cacheprovider", ONE]
    environment = {
        **os.environ,
        "OPS_REQUIRE_REAL": required,
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
    }
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stdout
    assert says in done.stdout
