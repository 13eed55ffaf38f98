"""Where a Terraform directory keeps its state, before `init` has ever run there: its `backend`
block and init's -backend-config file.
"""

from __future__ import annotations

import re
from pathlib import Path

from ops.terraform import files
from ops.terraform.facts import Backend

BACKEND = re.compile(r'\bbackend\s+"(?P<type>\w+)"\s*\{(?P<body>[^}]*)\}')
ASSIGNED = re.compile(r'^\s*(?P<name>\w+)\s*=\s*"(?P<value>[^"$]*)"\s*(?:#.*)?$', re.M)


def backend(directory: Path, backend_config: str | None) -> Backend | None:
    """What `init` wrote down, else what the files say; None for a local state. Raises ConfigError
    for a file that can't be read.
    """
    return files.backend(directory) or declared(directory, backend_config)


def declared(directory: Path, backend_config: str | None) -> Backend | None:
    """Only texts without templates are read: Terraform takes nothing else in a backend's
    configuration.
    """
    for block in files.all_blocks(directory):
        found = BACKEND.search(block.body) if block.kind == "terraform" else None
        if found:
            later = files.text_of(directory / backend_config) if backend_config else ""
            values = {
                each["name"]: each["value"]
                for text in (found["body"], later)
                for each in ASSIGNED.finditer(text)
            }
            return Backend(found["type"], values)
    return None
