"""Inputs of a Terraform plan that git does not have: ignored files and TF_VAR_* variables.

Only digests are recorded, so that a change can be noticed later without the values.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ops.core.errors import ConfigError
from ops.terraform import files
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
    """Return file or TF_VAR_* name → digest, of all that is not committed.

    Raises ConfigError for an unreadable file.
    """
    paths = sorted(input_files(tf))
    tracked = git.tracked(tf.directory, paths)
    found = {
        os.path.relpath(path, tf.directory): _read(path) for path in paths if path not in tracked
    }
    found |= {
        name: value.encode() for name, value in tf.environment.items() if name.startswith(_VARIABLE)
    }
    return {name: _digest(name, content) for name, content in sorted(found.items())}


def input_files(tf: TerraformProgram) -> set[Path]:
    """Return variable files, init's -backend-config, and the configuration with local modules.

    `override.tf` is in most teams' .gitignore, and changes a plan like any other file.
    """
    configured = [name for name in (tf.backend_config, *tf.var_files) if name]
    return {
        *_automatic_files(tf.directory),
        *(tf.directory / name for name in configured),
        *files.configuration_files(tf.directory),
    }


def _automatic_files(directory: Path) -> Iterator[Path]:
    for pattern in _AUTOMATIC:
        yield from (path for path in directory.glob(pattern) if path.is_file())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"Terraform file {path}", str(error), "make it readable") from None


def _digest(name: str, content: bytes) -> str:
    """Hash slowly, on purpose: a team can read the digests, and a variable may be a password."""
    return hashlib.scrypt(content, salt=name.encode(), n=2**14, r=8, p=1, dklen=_DIGEST_BYTES).hex()
