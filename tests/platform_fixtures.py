"""The platforms that these tests share: a sandbox, and Terraform's on moto."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.checkout import Checkout

if TYPE_CHECKING:
    from tests.terraform.fake_terraform import Scene


@pytest.fixture(scope="module")
def platform(new_checkout: Callable[[str], Checkout]) -> Iterator[Checkout]:
    """A checkout whose sandbox is up, and rolls out by ECS whatever this machine has.

    A file's own: what another file's tests deployed, logged or broke cannot matter to it.
    """
    checkout = new_checkout("platform")
    up = checkout.inv("sandbox.up", "--rollout", "ecs")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield checkout
    finally:
        checkout.inv("sandbox.down", "--purge")


@pytest.fixture
def scene(moto_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A service on moto, and a Terraform on PATH that plays a script (none yet)."""
    import httpx

    from tests.terraform.fake_terraform import Scene

    httpx.post(f"{moto_address}/moto-api/reset").raise_for_status()
    found = Scene.of(tmp_path, moto_address)
    found.script()
    monkeypatch.setenv("PATH", str(found.program.parent), prepend=":")
    return found
