"""What several test folders share: a copy of this checkout, a sandbox in it, and `inv` as a user
types it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ops.core.redaction.redact import known
from tests import front_door
from tests.front_door import ROOT

PARTS = (
    "ops",
    "alembic",
    "tasks.py",
    "invoke.yaml",
    "alembic.ini",
    "pyproject.toml",
    "requirements.lock",
    "inv",
)


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """What a test reads as a secret is hidden in its own output only."""
    yield
    known.clear()


@dataclass(frozen=True)
class Checkout:
    """A copy of this project, with its own `.sandbox/`."""

    root: Path

    def inv(
        self, *words: str, timeout: float = 180, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """`inv WORDS` there, in a clean environment: no AWS variable of the machine gets in."""
        keep = {
            key: os.environ[key]
            for key in ("PATH", "HOME", "LANG", "DOCKER_HOST")
            if key in os.environ
        }
        return front_door.inv(self.root, words, {**keep, **environment}, timeout)

    def document(self, *words: str, **environment: Any) -> dict[str, Any]:
        """The JSON document of `inv WORDS --json`."""
        done = self.inv(*words, "--json", **environment)
        assert done.stdout.count("\n") == 1, done.stdout + done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkout]:
    """Makes a copy of the project under a name; spaces in its path on purpose."""

    def make(name: str) -> Checkout:
        root = tmp_path_factory.mktemp(name) / "a checkout"
        root.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, root / part)
        return Checkout(root)

    return make
