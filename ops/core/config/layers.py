"""The sources of one environment's configuration, weakest first, and the origin of each key.

Relative paths (`PATH_KEYS`) are relative to the file that names them; those of variables to the
working directory, like `-f FILE`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ops.core.config import variables
from ops.core.config.files import ConfigFile, expanded
from ops.core.config.problems import Keys, Place

# keys of an environment that name a file or folder of this machine
PATH_KEYS: tuple[tuple[str, ...], ...] = (
    ("source",),
    ("site_ca",),
    ("database", "migrations"),
    ("database", "sslrootcert"),
    ("bastion", "ssh_config"),
    ("bastion", "known_hosts"),
    ("bastion", "identity_file"),
)
OPTION = "--env"  # the only option that sets a key
PATH_WORDS = {"system", "none"}  # of sslrootcert (libpq's word), and of migrations
_IN_COMMANDS = (("source",), ("database", "migrations"))  # printed as they are written


@dataclass(frozen=True)
class Layer:
    """A file or the variables: their values from the top, and the folder of their paths."""

    label: str
    values: Mapping[str, Any]
    folder: Path
    file: ConfigFile | None = None
    above: Keys = ()  # where the file's own top stands in the configuration

    def place(self, keys: Keys) -> Place:
        if self.label == OPTION:
            return Place(self.label, is_file=False)
        if self.file is None:
            return Place(variables.name_of(keys), is_file=False)
        return self.file.place(keys[len(self.above) :])

    def holds(self, keys: Keys) -> int:
        """How many of `keys`, from the first on, it has."""
        found: Any = self.values
        for depth, key in enumerate(keys):
            try:
                found = found[key]
            except (LookupError, TypeError):
                return depth
        return len(keys)

    def part(self, keys: Keys) -> Any:
        """The value at a key path, or None."""
        found: Any = self.values
        for key in keys:
            if not isinstance(found, Mapping):
                return None
            found = found.get(key)
        return found


@dataclass(frozen=True)
class Layers:
    """All sources, weakest first."""

    root: Path
    all: tuple[Layer, ...]

    @classmethod
    def of(
        cls,
        root: Path,
        files: Sequence[ConfigFile],
        config: Mapping[str, Any],
        chosen: str | None = None,
    ) -> Layers:
        """The layers of files and variables; `config` is what Invoke merged, `chosen` is --env."""
        layers = [Layer(each.label, each.values, each.path.parent, each) for each in files]
        set_here = variables.values(os.environ, config)
        given = len(files) - (bool(files) and files[-1].level == "runtime")
        layers.insert(given, Layer("variables", set_here, Path.cwd()))
        if chosen is not None:
            layers.append(Layer(OPTION, {"env": chosen}, Path.cwd()))
        return cls(root, tuple(layers))

    def over(self, overlay: ConfigFile, above: Keys) -> Layers:
        """The same with an overlay, the strongest layer, whose top is the section `above`."""
        values: dict[str, Any] = overlay.values
        for key in reversed(above):
            values = {str(key): values}
        layer = Layer(overlay.label, values, overlay.path.parent, overlay, above)
        return replace(self, all=(*self.all, layer))

    def origins(self, keys: Keys) -> tuple[Layer, ...]:
        """The layers that set a key, strongest first."""
        return tuple(each for each in reversed(self.all) if each.holds(keys) == len(keys))

    def place(self, keys: Keys) -> Place:
        """Where a key stands in the strongest layer, or the nearest section around it."""
        return _deepest(reversed(self.all), keys)

    def section(self, keys: Keys) -> Place:
        """The nearest section around a missing key, in the weakest layer that has it."""
        return _deepest(self.all, keys)

    def path(self, keys: Keys, value: str) -> str:
        """A path relative to the file that names it; absolute unless that is the project's."""
        found = expanded(value)
        origins = self.origins(keys)
        folder = origins[0].folder if origins else self.root
        if found.is_absolute() or folder == self.root:
            return str(found) if value.startswith("~") else value
        return str(folder / found)

    def with_paths(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """An environment's values with absolute paths.

        Those of the project's own file that are printed in commands stay as they are written.
        """
        result = dict(values)
        for keys, section, text in _paths(result):
            path = self.path(("environments", name, *keys), text)
            if keys not in _IN_COMMANDS:
                path = str(self.root / path)
            if section is result:
                result[keys[-1]] = path
            else:
                result[keys[0]] = {**result[keys[0]], keys[-1]: path}
        return result


def _deepest(layers: Iterable[Layer], keys: Keys) -> Place:
    """Where the key, or the nearest section around it, stands in the first such layer."""
    best = max(layers, key=lambda layer: layer.holds(keys), default=None)
    return best.place(keys) if best and best.holds(keys) else Place("invoke.yaml")


def _paths(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any], str]]:
    """Every path that is set, with the section that holds it."""
    for keys in PATH_KEYS:
        section: Any = values
        for key in keys[:-1]:
            section = section.get(key)
            if not isinstance(section, Mapping):
                break
        else:
            text = section.get(keys[-1])
            if isinstance(text, str) and text and text not in PATH_WORDS:
                yield keys, section, text
