"""What a Terraform plan reads besides the commit: variable files that git does not have, and
TF_VAR_* variables.

Each is known by a digest, so that a change can be noticed later without its values being kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ops.core.errors import ConfigError
from ops.terraform.program import TerraformProgram
from ops.tools import git

LOADED = ("terraform.tfvars", "terraform.tfvars.json", "*.auto.tfvars", "*.auto.tfvars.json")
VARIABLE = "TF_VAR_"
LENGTH = 8  # bytes of a digest


def digests(tf: TerraformProgram) -> dict[str, str]:
    """Variable file or TF_VAR_* name → digest, of all that is not committed. Raises ConfigError for
    an unreadable file.
    """
    paths = sorted(files(tf))
    versioned = git.tracked(tf.directory, paths)
    found = {
        os.path.relpath(path, tf.directory): content(path)
        for path in paths
        if path not in versioned
    }
    found |= {
        name: value.encode() for name, value in tf.variables.items() if name.startswith(VARIABLE)
    }
    return {name: digest(name, text) for name, text in sorted(found.items())}


def files(tf: TerraformProgram) -> set[Path]:
    """Every variable file that Terraform loads by itself, the configured ones, and init's
    -backend-config.
    """
    named = [name for name in (tf.backend_config, *tf.var_files) if name]
    return {*by_itself(tf.directory), *(tf.directory / name for name in named)}


def by_itself(directory: Path) -> Iterator[Path]:
    for pattern in LOADED:
        yield from (path for path in directory.glob(pattern) if path.is_file())


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Terraform's variable file {path}", str(error), "make it readable"
        ) from None


def digest(name: str, text: bytes) -> str:
    """Slow on purpose: digests are kept where a team reads them, and a variable may be a
    password.
    """
    return hashlib.scrypt(text, salt=name.encode(), n=2**14, r=8, p=1, dklen=LENGTH).hex()
