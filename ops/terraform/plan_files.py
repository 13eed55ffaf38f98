"""Saved plans on disk, each with its metadata; readable by their owner only.

Both files are deleted after the apply.
"""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

from ops.core import files
from ops.core.errors import Refused
from ops.terraform.facts import SavedPlan
from ops.terraform.program import TerraformProgram

DEFAULT_NAME = "plan"


def current_user() -> str:
    """Return `user@host`, for the metadata of a plan."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def plan_file(tf: TerraformProgram, name: str = DEFAULT_NAME) -> Path:
    """Return the path of a plan file; without a name, of the one that `tf.apply` applies."""
    return tf.own_folder / f"{name}.tfplan"


def save_metadata(saved: SavedPlan) -> None:
    """Write the metadata of a plan that was just made."""
    files.write_json(_metadata_file(saved.file), saved.as_document(), mode=0o600)


def load(tf: TerraformProgram) -> SavedPlan:
    """Return the plan that `tf.plan` saved. Raises Refused if there is none."""
    file = plan_file(tf)
    try:
        found = json.loads(_metadata_file(file).read_text(encoding="utf-8"))
        saved = SavedPlan.from_document(file, found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        why = "only a plan that tf.plan saved and printed is applied"
        raise Refused("there is no saved plan to apply", why, "inv tf.plan") from None
    if not file.is_file():
        raise Refused("there is no saved plan to apply", f"{file} does not exist", "inv tf.plan")
    return saved


def discard(saved: SavedPlan) -> None:
    """Delete a plan and its metadata."""
    for file in (saved.file, _metadata_file(saved.file)):
        file.unlink(missing_ok=True)


def _metadata_file(file: Path) -> Path:
    return file.with_suffix(".json")
