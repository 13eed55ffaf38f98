"""Inputs of a Terraform plan that git does not have: variable files and TF_VAR_* variables.

Only digests are recorded, so that a change can be noticed later without the values.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ops.core.errors import ConfigError
from ops.terraform.program import TerraformProgram
from ops.tools import git

_AUTOMATIC = (
    "terraform.tfvars",
    "terraform.tfvars.json",
    "*.auto.tfvars",
    "*.auto.tfvars.json",
)
_VARIABLE = "TF_VAR_"
_DIGEST_BYTES = 8


def digests(tf: TerraformProgram) -> dict[str, str]:
    """Return variable file or TF_VAR_* name → digest, of all that is not committed.

    Raises ConfigError for an unreadable file.
    """
    paths = sorted(variable_files(tf))
    tracked = git.tracked(tf.directory, paths)
    found = {
        os.path.relpath(path, tf.directory): _read(path) for path in paths if path not in tracked
    }
    found |= {
        name: value.encode() for name, value in tf.environment.items() if name.startswith(_VARIABLE)
    }
    return {name: _digest(name, content) for name, content in sorted(found.items())}


def variable_files(tf: TerraformProgram) -> set[Path]:
    """Return the automatic and configured variable files, and init's -backend-config."""
    configured = [name for name in (tf.backend_config, *tf.var_files) if name]
    return {*_automatic_files(tf.directory), *(tf.directory / name for name in configured)}


def _automatic_files(directory: Path) -> Iterator[Path]:
    for pattern in _AUTOMATIC:
        yield from (path for path in directory.glob(pattern) if path.is_file())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Terraform's variable file {path}", str(error), "make it readable"
        ) from None


def _digest(name: str, content: bytes) -> str:
    """Hash slowly, on purpose: a team can read the digests, and a variable may be a password."""
    return hashlib.scrypt(content, salt=name.encode(), n=2**14, r=8, p=1, dklen=_DIGEST_BYTES).hex()
