"""The sample platform's Terraform: a small environment that owns both services.

`environments/dev` beside this file is copied into the sample's checkout. It differs from a real
platform's in two ways: everything around the services (network, load balancer, roles, secret) was
created by API calls and is only named in `platform.auto.tfvars.json`, and the services, which
`sandbox.up` creates as well, are adopted by `import` blocks at the first apply. Terraform needs its
program and a provider from the network, a mirror or a cache; `rollout_probe` tries whether it works
here.

The state is in the sandbox's S3, in memory: a restarted sandbox has none, and adopts the services
again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

SOURCES = Path(__file__).parent
_FOLDER = "terraform"  # in the sample's checkout
DIRECTORY = f"{_FOLDER}/environments/dev"
_DATA = ".terraform"


def place(checkout: Path) -> Path:
    """Copy the environment into a checkout that has none; return its directory.

    An environment that git does not track is excluded from git.
    """
    if not (checkout / _FOLDER).exists():
        copy(checkout)
        exclude = checkout / ".git" / "info" / "exclude"
        if (checkout / ".git").is_dir():
            exclude.parent.mkdir(exist_ok=True)
            known = exclude.read_text() if exclude.exists() else ""
            exclude.write_text(known + ("" if f"/{_FOLDER}/\n" in known else f"/{_FOLDER}/\n"))
    return checkout / DIRECTORY


def copy(folder: Path) -> None:
    """Copy the environment's files below `folder`, for a checkout's first commit."""
    shutil.copytree(SOURCES, folder / _FOLDER, ignore=shutil.ignore_patterns("__pycache__", "*.py"))


def forget(directory: Path) -> None:
    """Delete what was initialised and planned with an earlier state; the provider stays."""
    (directory / _DATA / "terraform.tfstate").unlink(
        missing_ok=True
    )  # where the backend is: `init` would ask it, which is not up yet
    shutil.rmtree(
        directory / _DATA / "inv", ignore_errors=True
    )  # saved plans, and the stamp of init
