"""Saved plans on disk: each with a note of what it was made from, both for their owner alone, both
gone after their apply.
"""

from __future__ import annotations

import getpass
import json
import socket
from datetime import UTC, datetime
from pathlib import Path

from ops.core import files
from ops.core.errors import Refused
from ops.terraform.facts import SavedPlan, StateVersion
from ops.terraform.program import TerraformProgram

PLAN = "plan"


def owner() -> str:
    """Who plans, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def note(saved: SavedPlan) -> Path:
    """Beside a saved plan: what it was made from."""
    return saved.file.with_suffix(".json")


def store(saved: SavedPlan) -> None:
    """Write the note beside a plan that was just made."""
    files.write_json(note(saved), saved.as_document(), mode=0o600)


def stored(tf: TerraformProgram) -> SavedPlan:
    """The plan that `tf.plan` saved. Raises Refused where there is none."""
    file = tf.own / f"{PLAN}.tfplan"
    try:
        found = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        state = StateVersion(int(found["serial"]), str(found["lineage"]))
        saved = SavedPlan(
            file,
            found["commit"],
            state,
            found["made_at"],
            found["by"],
            tuple(found["uncommitted"]),
            found["images"],
        )
        saved.age_s(datetime.now(UTC))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise Refused(
            "there is no saved plan to apply",
            "only a plan that was shown is applied",
            "inv tf.plan",
        ) from None
    if not file.is_file():
        raise Refused("there is no saved plan to apply", f"{file} is gone", "inv tf.plan")
    return saved


def discard(saved: SavedPlan) -> None:
    for file in (saved.file, note(saved)):
        file.unlink(missing_ok=True)
