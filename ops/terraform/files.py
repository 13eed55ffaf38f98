"""Terraform's files, read without running Terraform.

They give the declared variables, the backend, and whether `init` is due. No command of Terraform
lists the declared variables without a plan, and a `TF_VAR_x` that no file declares is ignored
without a message; so the top-level blocks of `*.tf` and `*.tf.json` are scanned here. Comments,
strings with templates, and heredocs are skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.core.errors import ConfigError
from ops.terraform.facts import Backend
from ops.terraform.rules.hcl import Block, blocks
from ops.terraform.rules.ignore_changes import ignored_changes, ignored_in_json

_BACKEND = re.compile(r'\bbackend\s+"(?P<type>\w+)"\s*\{(?P<body>[^}]*)\}')
_ASSIGNMENT = re.compile(r'^\s*(?P<name>\w+)\s*=\s*"(?P<value>[^"$]*)"\s*(?:#.*)?$', re.M)
_REQUIRED_VERSION = re.compile(r'^\s*required_version\s*=\s*"([^"]*)"', re.M)
_MODULE_SOURCE = re.compile(r'^\s*source\s*=\s*"(?P<path>\.[^"]*)"', re.M)
_DYNAMIC = re.compile(r'\bdynamic\s+"(\w+)"')
DATA_FOLDER = ".terraform"
_MODULES = "modules/modules.json"
LOCK_FILE = ".terraform.lock.hcl"
_INIT_BLOCKS = ("terraform", "module")  # a change of one requires another `init`


def declared_variables(directory: Path) -> frozenset[str]:
    """Return the variables of the root module. Raises ConfigError for an unreadable file."""
    names = {
        block.labels[0]
        for block in _all_blocks(directory)
        if block.kind == "variable" and block.labels
    }
    for path in sorted(directory.glob("*.tf.json")):
        variables = _read_json(path).get("variable") or {}
        for group in variables if isinstance(variables, list) else [variables]:
            if not isinstance(group, dict):
                raise ConfigError(
                    f"Terraform file {path}", "`variable` is not an object", "correct it"
                )
            names.update(group)
    return frozenset(names)


def required_versions(directory: Path) -> tuple[str, ...]:
    """Return the `required_version` constraints of the root module."""
    return tuple(
        found[1]
        for block in _all_blocks(directory)
        if block.kind == "terraform" and (found := _REQUIRED_VERSION.search(block.arguments))
    )


def variable_defaults(directory: Path) -> dict[str, str]:
    """Return the defaults of the root module's variables that are plain strings."""
    return {
        block.labels[0]: each["value"]
        for block in _all_blocks(directory)
        if block.kind == "variable" and block.labels
        for each in _ASSIGNMENT.finditer(block.arguments)
        if each["name"] == "default"
    }


def read_backend(directory: Path, backend_config: str | None) -> Backend | None:
    """Return the backend that `init` wrote, or else the declared one; None for a local state.

    Raises ConfigError for an unreadable file.
    """
    return _initialised_backend(directory) or _declared_backend(directory, backend_config)


def _initialised_backend(directory: Path) -> Backend | None:
    """Return the backend that `init` wrote; None before `init`, and for a local state."""
    path = directory / DATA_FOLDER / "terraform.tfstate"
    if not path.is_file():
        return None
    try:
        return Backend.from_document(_read_json(path))
    except ValueError as error:
        raise ConfigError(
            f"Terraform file {path}", str(error), f"remove {path.parent}, then: inv tf.init"
        ) from None


def _declared_backend(directory: Path, backend_config: str | None) -> Backend | None:
    """Return the `backend` block, completed by init's -backend-config file.

    Only strings without templates are read: a backend's configuration allows nothing else.
    """
    for block in _all_blocks(directory):
        found = _BACKEND.search(block.body) if block.kind == "terraform" else None
        if found:
            override = _read_text(directory / backend_config) if backend_config else ""
            values = {
                each["name"]: each["value"]
                for text in (found["body"], override)
                for each in _ASSIGNMENT.finditer(text)
            }
            return Backend(found["type"], values)
    return None


def fingerprint(directory: Path, backend_config: str | None, version: str) -> str:
    """Return a digest that changes whenever another `init` is due.

    It covers the program's version, backend, providers, modules, lock file and backend
    configuration, but not a provider that a resource merely implies: for that Terraform itself
    asks for `init`.
    """
    bodies = [block.body for block in _all_blocks(directory) if block.kind in _INIT_BLOCKS]
    names = [
        LOCK_FILE,
        *([backend_config] if backend_config else []),
        *(path.name for path in sorted(directory.glob("*.tf.json"))),
    ]
    paths = [directory / name for name in names]
    texts = [version, *bodies, *(_read_text(path) if path.is_file() else "" for path in paths)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def dynamic_blocks(directory: Path) -> frozenset[str] | None:
    """Return the names of all `dynamic` blocks, also of modules.

    None if they cannot be read, or are in a JSON file.
    """
    folders = _module_folders(directory)
    if folders is None:
        return None
    names: set[str] = set()
    for folder in dict.fromkeys(folders.values()):
        try:
            names.update(*(_DYNAMIC.findall(_read_text(path)) for path in folder.glob("*.tf")))
            if any('"dynamic"' in _read_text(path) for path in folder.glob("*.tf.json")):
                return None
        except ConfigError:
            return None
    return frozenset(names)


def ignored_attributes(directory: Path) -> dict[str, frozenset[str]]:
    """Return what `ignore_changes` lists, by address: `module.web.aws_ecs_service.main`.

    Addresses are without the keys of `count` and `for_each`. Files that cannot be read are left
    out.
    """
    found = {}
    for module, folder in (_module_folders(directory) or {"": directory}).items():
        prefix = "".join(f"module.{each}." for each in module.split(".") if each)
        with suppress(ConfigError):
            for block in _all_blocks(folder):
                if block.kind == "resource" and (names := ignored_changes(block.body)):
                    found[prefix + ".".join(block.labels)] = frozenset(names)
            for path in sorted(folder.glob("*.tf.json")):
                for address, listed in ignored_in_json(_read_json(path)).items():
                    found[prefix + address] = frozenset(listed)
    return found


def _module_folders(directory: Path) -> dict[str, Path] | None:
    """Each module's path (`net.subnets`; "" for the root) → its folder, as `init` listed them.

    None if the list cannot be read.
    """
    found = {"": directory}
    try:
        listed = json.loads((directory / DATA_FOLDER / _MODULES).read_text(encoding="utf-8"))
        modules = {str(each["Key"]): directory / str(each["Dir"]) for each in listed["Modules"]}
    except FileNotFoundError:
        return found  # it has no modules
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return modules | found


def configuration_files(directory: Path) -> list[Path]:
    """Return the files of the root module and of local modules, but not of fetched ones.

    Without a readable list of the modules, those of the root module alone.
    """
    fetched = (directory / DATA_FOLDER).resolve()
    folders = {each.resolve() for each in (_module_folders(directory) or {}).values()}
    local = {directory, *(each for each in folders if not each.is_relative_to(fetched))}
    found = {
        path.resolve(): path
        for folder in sorted(local, key=lambda each: each != directory)
        for pattern in ("*.tf", "*.tf.json")
        for path in sorted(folder.glob(pattern))
    }
    return list(found.values())


def service_blocks(directory: Path) -> tuple[Block, ...]:
    """The `aws_ecs_service` resources of a root module and of the local modules that it calls.

    Raises ConfigError for an unreadable file.
    """
    found: list[Block] = []
    pending, visited = [directory.resolve()], set[Path]()
    while pending:
        folder = pending.pop()
        if folder in visited:
            continue
        visited.add(folder)
        for block in _all_blocks(folder):
            if block.kind == "resource" and block.labels[:1] == ("aws_ecs_service",):
                found.append(block)
            source = _MODULE_SOURCE.search(block.arguments) if block.kind == "module" else None
            if source:
                pending.append((folder / source["path"]).resolve())
    return tuple(found)


def _all_blocks(directory: Path) -> Iterator[Block]:
    for path in sorted(directory.glob("*.tf")):
        yield from blocks(_read_text(path))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Terraform file {path}", str(error), "make it readable, in UTF-8"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"Terraform file {path}", f"it is not JSON ({error})", "correct it"
        ) from None
    return found if isinstance(found, dict) else {}
