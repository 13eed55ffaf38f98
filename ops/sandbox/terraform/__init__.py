"""The sample platform's Terraform: a small environment that owns both services' task definitions
and the services themselves.

`environments/dev` beside this file is copied into the sample's checkout. It differs from a real
platform's in two ways: everything around the services (network, load balancer, roles, secret) was
made by API calls and is only named in `platform.auto.tfvars.json`, and the services, which
`sandbox.up` makes too, are adopted by `import` blocks at the first apply. Whether Terraform can
work here at all depends on the machine: the program, and a provider that comes from the network, a
mirror or a cache. That is found out by trying (`trial`).

The state lives in the sandbox's S3, which is memory: a new world begins without one, and adopts the
services again."""

from __future__ import annotations

import shutil
from pathlib import Path

SOURCES = Path(__file__).parent
FOLDER = "terraform"  # in the sample's checkout
DIRECTORY = f"{FOLDER}/environments/dev"
DATA = ".terraform"


def place(checkout: Path) -> Path:
    """Copy the environment into a checkout that has none; its directory. Where git does not know
    it, git is told to pass over it.
    """
    if not (checkout / FOLDER).exists():
        copy(checkout)
        exclude = checkout / ".git" / "info" / "exclude"
        if (checkout / ".git").is_dir():
            exclude.parent.mkdir(exist_ok=True)
            known = exclude.read_text() if exclude.exists() else ""
            exclude.write_text(known + ("" if f"/{FOLDER}/\n" in known else f"/{FOLDER}/\n"))
    return checkout / DIRECTORY


def copy(folder: Path) -> None:
    """The files of the environment below `folder` (for a checkout whose first commit is to hold
    them).
    """
    shutil.copytree(SOURCES, folder / FOLDER, ignore=shutil.ignore_patterns("__pycache__", "*.py"))


def forget(directory: Path) -> None:
    """What was initialised and planned with the last world's state; the provider stays."""
    (directory / DATA / "terraform.tfstate").unlink(
        missing_ok=True
    )  # where the backend is: `init` would ask it, which is not up yet
    shutil.rmtree(
        directory / DATA / "inv", ignore_errors=True
    )  # saved plans, and the stamp of init
