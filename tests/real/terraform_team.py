"""A checkout whose sandbox is rolled out by Terraform: `inv` as an operator types it, with the
provider from a mirror.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checkout import Checkout
from tests.deploy import deploying as world
from tests.factories import inv_command

SEARCHED = ("/opt", "/usr/local", "/usr/share", "/srv", "/var/lib", "/root", "/home")
DEEP = 4
FRONTEND = "dev-davidshaevel-frontend"
# Go collects garbage only when memory is short: else that takes a third of each run, over the
# provider's 600 MB of schemas.
LAZY: dict[str, Any] = {"GOGC": "off", "GOMEMLIMIT": "1500MiB"}
_UNASKED = os.environ.get("CI") == "true" and "terraform-deploy" not in os.environ.get(
    "OPS_REQUIRE_REAL", ""
).split(",")
LONG = pytest.mark.skipif(
    _UNASKED,
    reason="minutes long together: run by `inv dev.test`, and in CI where OPS_REQUIRE_REAL names "
    "terraform-deploy",
)


@dataclass(frozen=True)
class Team:
    """One checkout, and the variables that find the provider there."""

    checkout: Checkout
    environment: dict[str, Any]

    def inv(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.checkout.inv(*words, timeout=240, **{**self.environment, **more})

    def document(self, *words: str, **more: str) -> dict[str, Any]:
        return self.checkout.document(*words, **{**self.environment, **more})

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = inv_command(self.checkout.root, *words)
        keep = {
            key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ
        } | self.environment
        return subprocess.Popen(
            command,
            cwd=self.checkout.root,
            env=keep,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def choose(self, rollout: str) -> None:
        """Who rolls out here from now on: in the overlay, as `sandbox.up` would write it."""
        file = self.checkout.root / ".sandbox" / "environment.yaml"
        values = {**yaml.safe_load(file.read_text()), "rollout": rollout}
        file.write_text(yaml.safe_dump(values, sort_keys=False))

    @property
    def directory(self) -> Path:
        return world.source(self.checkout) / "terraform/environments/dev"

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a Terraform file, as a commit of the sample."""
        path = self.directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        world.commit(self.checkout, {}, f"Change {name}")


def mirror() -> Path | None:
    """A folder that holds `registry.terraform.io/…`: OPS_TF_MIRROR, else the first one found where
    machines keep such things.
    """
    named = os.environ.get("OPS_TF_MIRROR")
    if named:
        return Path(named)
    for root in SEARCHED:
        for folder, inner, _ in os.walk(root):
            if "registry.terraform.io" in inner and ".terraform" not in folder:
                return Path(folder)
            if folder.count("/") - root.count("/") >= DEEP:
                inner.clear()
    return None


def configuration(folder: Path) -> dict[str, Any]:
    """TF_CLI_CONFIG_FILE for the mirror; nothing where there is none (then the provider comes from
    the network, or not).
    """
    found = mirror()
    if found is None:
        return {
            name: os.environ[name]
            for name in ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR")
            if name in os.environ
        }
    file = folder / "mirror.tfrc"
    file.write_text(
        f'provider_installation {{\n  filesystem_mirror {{ path = "{found}" }}\n'
        '  direct { exclude = ["registry.terraform.io/*/*"] }\n}\n'
    )
    return {"TF_CLI_CONFIG_FILE": str(file)}


def team(checkout: Checkout, folder: Path, *words: str) -> Team:
    """The sandbox up with `words`, its Terraform placed and tried. Skips by name where the provider
    can't be had, unless it is required.
    """
    environment = configuration(folder) | LAZY
    up = checkout.inv("sandbox.up", "--rollout", "terraform", *words, **environment)
    if up.returncode == 3:
        required = "terraform" in os.environ.get("OPS_REQUIRE_REAL", "").split(",")
        (pytest.fail if required else pytest.skip)(
            f"no terraform with the AWS provider here: {up.stderr}"
        )
    assert up.returncode == 0, up.stdout + up.stderr
    return Team(checkout, environment)


@pytest.fixture(scope="module")
def owned(
    require: Any,
    new_checkout: Callable[[str], Checkout],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Team]:
    """One sandbox for all tests of a module, in a checkout of the module's name."""
    require("terraform")
    checkout = new_checkout(request.path.stem.removeprefix("test_").replace("_", "-"))
    try:
        yield team(checkout, tmp_path_factory.mktemp("mirror"))
    finally:
        checkout.inv("sandbox.down", "--purge")


def step_names(document: dict[str, Any]) -> list[str]:
    """The steps that a deploy or a rollback ran."""
    return [step["name"] for step in document["steps"]]
