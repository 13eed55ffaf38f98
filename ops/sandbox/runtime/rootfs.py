"""An unpacked image, and the lookup of its command on this machine.

The process sees this machine's file system, so paths of the image's files are rewritten to the
unpacked ones: the command's words, WORKDIR, and the folders in PATH and PYTHONPATH. In an image
built on `sandbox/python:3`, `python`, `python3` and `python3.N` are the Python that runs the
sandbox and `sh` is this machine's, unless the image contains its own.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.sandbox.contracts import StartError
from ops.sandbox.engine.base import PATH as BASE_PATH
from ops.sandbox.registry.store import write_aside
from ops.sandbox.runtime.processes import Command, cannot_start
from ops.sandbox.runtime.unpack import inside

_PYTHONS = ("python", "python3", f"python3.{sys.version_info.minor}")
_BINARY_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")
_PATHS = ("PATH", "PYTHONPATH")
_SHELL = "/bin/sh"


@dataclass(frozen=True)
class Rootfs:
    """One unpacked image.

    `shims` is a folder with `python3` for children that look it up in PATH; None without the base.
    """

    root: Path
    settings: Mapping[str, Any]  # the configuration's `config`: Env, Cmd, Entrypoint, WorkingDir
    shims: Path | None

    def command(
        self, words: Sequence[str], folder: str | None, environment: Mapping[str, str]
    ) -> Command:
        """Return what to exec for `words` (ENTRYPOINT and CMD).

        Raises StartError as ECS words it.
        """
        if not words:
            raise StartError(
                "CannotCreateContainerError: Error response from daemon: No command specified"
            )
        where = inside(self.root, (folder or self.settings.get("WorkingDir") or "/") + "/.")
        where.mkdir(parents=True, exist_ok=True)
        variables = self._variables(environment)
        program = self._program(words[0], where, variables)
        return Command(
            (program, *(self._argument(word) for word in words[1:])), words[0], variables, where
        )

    def words(
        self, entry_point: Sequence[str] | None, command: Sequence[str] | None
    ) -> tuple[str, ...]:
        """Join ENTRYPOINT and CMD as ECS does.

        An entry point of the task definition's own drops the image's CMD.
        """
        entry = entry_point if entry_point is not None else self.settings.get("Entrypoint") or ()
        default = () if entry_point is not None else self.settings.get("Cmd") or ()
        return (*entry, *(command if command is not None else default))

    def _variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        own = dict(each.partition("=")[::2] for each in self.settings.get("Env") or ())
        variables = {"PATH": BASE_PATH, **own, **environment}
        for name in _PATHS:
            if name in variables:
                variables[name] = os.pathsep.join(
                    self._folders(variables[name], shims=name == "PATH")
                )
        return variables

    def _folders(self, listed: str, shims: bool) -> list[str]:
        mapped = [
            str(inside(self.root, each)) if each.startswith("/") else each
            for each in listed.split(":")
            if each
        ]
        return [*mapped, str(self.shims)] if shims and self.shims else mapped

    def _program(self, name: str, where: Path, variables: Mapping[str, str]) -> str:
        if "/" in name:
            found = inside(self.root, name) if name.startswith("/") else where / name
            if found.is_file():
                return self._runnable(found, name)
            return self._of_the_base(name) or self._missing(
                name, f"stat {name}: no such file or directory"
            )
        for folder in variables["PATH"].split(os.pathsep):
            candidate = Path(folder) / name
            if folder != str(self.shims) and candidate.is_file():
                return self._runnable(candidate, name)
        return self._of_the_base(name) or self._missing(name, "executable file not found in $PATH")

    def _runnable(self, path: Path, name: str) -> str:
        if not os.access(path, os.X_OK) or not path.stat().st_mode & 0o111:
            raise cannot_start(name, "permission denied")
        return str(path)

    def _of_the_base(self, name: str) -> str | None:
        """Return the base's own programs: this Python, and this machine's shell."""
        folder, _, program = name.rpartition("/")
        if self.shims is None or (folder and folder not in _BINARY_FOLDERS):
            return None
        if program in _PYTHONS:
            return sys.executable
        return _SHELL if program == "sh" else None

    def _missing(self, name: str, why: str) -> str:
        raise cannot_start(name, why)

    def _argument(self, word: str) -> str:
        """Translate an argument that is a file of the image to its path here."""
        if not word.startswith("/") or word.strip("/") == "":
            return word
        place = inside(self.root, word)
        return str(place) if place.exists() else word


def write_shims(folder: Path) -> Path:
    """Create a folder with `python`, `python3` and `python3.N` that start the sandbox's Python.

    They are scripts, since a link would lose its virtual environment.
    """
    script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
    for name in _PYTHONS:
        write_aside(folder / name, script.encode())
        (folder / name).chmod(0o755)
    return folder


def read_settings(config: bytes) -> dict[str, Any]:
    """Return the part of an image configuration that defines how to run it."""
    return json.loads(config).get("config") or {}
