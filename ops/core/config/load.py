"""Read Invoke's configuration into frozen, validated settings, once per task.

Invoke ignores a `-f FILE` that does not exist, ignores an `INVOKE_*` that matches no key, and takes
`INVOKE_X=false` for true (it casts the text by `bool`). Each of these can lead to the wrong
environment, so each is an error with exit code 2 here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.core.config import files as config_files
from ops.core.config import reader, variables
from ops.core.config.files import ConfigFile
from ops.core.config.layers import Layers
from ops.core.config.problems import (
    CORRECT,
    Keys,
    Malformed,
    Place,
    Problem,
    kind_of,
    refuse,
    shortened,
    suggestion,
)
from ops.core.config.schema import CREDENTIALS
from ops.core.config.variables import check_variables
from ops.core.errors import ConfigError

if TYPE_CHECKING:
    from ops.core.config.settings import Settings

__all__ = ["Configuration", "check_all", "check_variables", "load", "read", "read_configuration"]

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]*")
_RESERVED = frozenset(
    {"preflight", "status", "tf", "cdn", "db", "env", "health", "troubleshoot"}
    | {"lock", "sandbox", "dev"}
)


class MissingOverlay(ConfigError):
    """An environment's overlay does not exist (yet)."""


@dataclass(frozen=True)
class Configuration:
    """An environment's settings, and the sources of its values."""

    settings: Settings
    layers: Layers

    def origin(self, path: str) -> Place | None:
        """Where a key, by its dotted path below the environment, is set; None for a default."""
        keys = ("environments", self.settings.name, *path.split("."))
        origins = self.layers.origins(keys)
        return origins[0].place(keys) if origins else None


def load(root: Path, runtime: str | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration over `defaults`, without `INVOKE_*`.

    Raises ConfigError for anything that Invoke could not load afterwards, and for invalid service
    names.
    """
    _check_runtime_file(runtime)
    files = config_files.read_all(root, runtime)
    found = config_files.merge(files, defaults)
    variables.check_values(os.environ, found)
    problems = [
        each.at(file.place(each.keys))
        for file in files
        for name, values in file.values.get("environments", {}).items()
        for each in _service_name_problems(name, values.get("services", {}))
    ]
    refuse(problems)
    return found


def _service_name_problems(environment: str, services: Any) -> Iterator[Problem]:
    """Invalid and reserved names; a reserved one would replace a namespace of this tool."""
    for name in services if isinstance(services, Mapping) else ():
        keys = ("environments", environment, "services", name)
        if not isinstance(name, str) or not _SERVICE_NAME.fullmatch(name):
            why = f"service name {shortened(repr(name))}; allowed: a-z, then a-z, 0-9 and -"
            yield Problem(why, "rename it", keys)
        elif name in _RESERVED:
            why = f"service name {name!r}: a namespace of this tool has that name"
            yield Problem(why, f"rename it: {name}-app", keys)


def _check_runtime_file(path: str | None) -> None:
    """Refuse a `-f FILE` that does not exist (Invoke would ignore it, exit 0)."""
    if path is None:
        return
    found = config_files.expanded(path)
    why = "there is no such file"
    try:
        if path and found.is_file():
            return
        if path and found.exists():
            why = "it is a folder" if found.is_dir() else "it is not a regular file"
    except (OSError, ValueError) as error:  # too long a name, or a folder that cannot be read
        why = getattr(error, "strerror", None) or why
    what = f"configuration file {shortened(path, 200) or '(empty)'} (-f)"
    raise ConfigError(what, why, "check the path; relative paths start where you are")


def check_all(config: Any, root: Path) -> None:
    """Validate every environment. Raises Malformed with the mistakes of all of them.

    One whose overlay is missing is left out: its platform is not running. Raises ConfigError for an
    overlay that cannot be read.
    """
    problems: list[Problem] = []
    for name in _plain(config).get("environments") or {}:
        try:
            read_configuration(config, root, name)
        except Malformed as malformed:
            problems += malformed.problems
        except MissingOverlay:
            continue
    refuse(problems)


def read(config: Any, root: Path) -> Settings:
    """The settings of the chosen environment.

    Raises ConfigError naming file, line, key path, what was found and what is allowed.
    """
    return read_configuration(config, root).settings


def read_configuration(config: Any, root: Path, name: str | None = None) -> Configuration:
    """The settings of the named (or the chosen) environment with the sources of its values.

    Raises the same errors as `read`.
    """
    values = _plain(config)
    check_variables(os.environ, values)
    files = _files(config, values, root)
    chosen = getattr(config, "_overrides", {}).get("env")  # by --env
    layers = Layers.of(root, files, values, chosen)
    environments = values.get("environments") or {}
    if not isinstance(environments, Mapping):
        why = f"found {kind_of(environments)}; allowed: a mapping of keys"
        raise Malformed([Problem(why, CORRECT, ("environments",), Place("invoke.yaml"))])
    name = name if name is not None else _chosen(values.get("env"), environments, layers)
    return _validated(name, environments[name], layers)


def _files(config: Any, values: Mapping[str, Any], root: Path) -> list[ConfigFile]:
    """The files that Invoke merged into `config`; a plain mapping counts as the project's."""
    if not hasattr(config, "_runtime_path"):
        return [ConfigFile(root / "invoke.yaml", "invoke.yaml", dict(values))]
    runtime = config._runtime_path  # Invoke's own
    return config_files.read_all(root, str(runtime) if runtime else None)


def _chosen(name: Any, environments: Mapping[str, Any], layers: Layers) -> str:
    if isinstance(name, str) and name in environments:
        return name
    origins = layers.origins(("env",))
    where = f"key `env`, or {variables.name_of(('env',))}"
    if origins and origins[0].place(("env",)).line:
        where = str(origins[0].place(("env",)))
    elif origins and origins[0].file is None:
        where = variables.name_of(("env",))
    raise ConfigError(
        f"environment {name!r} ({where})",
        f"configured are: {', '.join(sorted(map(str, environments))) or 'none'}",
        suggestion(
            str(name),
            map(str, environments),
            "type INVOKE_ENV=NAME inv …, or add it under environments: in invoke.yaml",
        ),
    )


def _plain(value: Any) -> Any:
    """Convert Invoke's data proxies to plain dicts, which cannot write to the configuration."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, list | tuple) else value


def _validated(name: str, values: Any, layers: Layers) -> Configuration:
    """The environment's settings. Raises Malformed with all mistakes of all sources."""
    from ops.core.config.validation import find_problems

    above: Keys = ("environments", name)
    if not isinstance(values, Mapping):
        why = f"found {kind_of(values)}; allowed: a mapping of keys"
        raise Malformed([Problem(why, CORRECT, above, layers.place(above))])
    problems = list(_secret_problems(name, layers))
    if isinstance(values.get("overlay"), str):
        file = _read_overlay(name, values, layers)
        layers = layers.over(file, above)
        values, clashes = _merged(dict(values), file.values)
        problems += [
            Problem(why, keys=(*above, *keys), place=file.place(keys)) for keys, why in clashes
        ]
    services = _service_name_problems(name, values.get("services"))
    problems += [each.at(layers.place(each.keys)) for each in services]
    refuse(problems + find_problems(name, values, layers))
    from ops.core.config.settings import Settings

    values = layers.with_paths(name, values)
    return Configuration(
        Settings.model_validate({"name": name, "root": layers.root, "environment": values}), layers
    )


def _secret_problems(name: str, layers: Layers) -> Iterator[Problem]:
    """Keys of AWS outside an overlay."""
    for layer in layers.all:
        found = layer.part(("environments", name, "aws"))
        for key in CREDENTIALS:
            if isinstance(found, Mapping) and key in found:
                keys = ("environments", name, "aws", key)
                how = "remove it; use aws.profile or AWS's own credential chain"
                yield Problem("no setting carries a secret", how, keys, layer.place(keys))


def _read_overlay(name: str, values: Mapping[str, Any], layers: Layers) -> ConfigFile:
    """The overlay, relative to the file that names it."""
    keys = ("environments", name, "overlay")
    path = layers.root / layers.path(keys, values["overlay"])
    label = str(path.relative_to(layers.root)) if path.is_relative_to(layers.root) else str(path)
    found = _overlay_values(path, label, name, values.get("overlay_hint"))
    return ConfigFile(path, label, found, "overlay")


def _overlay_values(path: Path, label: str, name: str, hint: Any) -> dict[str, Any]:
    """The overlay's values. Raises ConfigError if it is missing or malformed."""
    why = "it is written when the platform starts" if hint else "it holds part of the values"
    try:
        missing = not path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or that no file can have
        what = f"the overlay of environment {name}: {shortened(str(path))}"
        raise ConfigError(
            what,
            getattr(error, "strerror", None) or str(error),
            f"correct environments.{name}.overlay",
        ) from None
    if missing:
        what = f"environment {name} cannot be used yet: its overlay {path} is missing"
        create = f"create {shortened(path.name)}, or remove environments.{name}.overlay"
        raise MissingOverlay(what, why, str(hint or create))
    try:
        return reader.read(path, label)
    except ConfigError as error:
        raise ConfigError(
            f"overlay {error.what.removeprefix('configuration file ')}",
            error.why,
            str(hint or error.next),
        ) from None


def _merged(
    below: dict[str, Any], above: Mapping[str, Any], keys: Keys = ()
) -> tuple[dict[str, Any], list[tuple[Keys, str]]]:
    """`above` over `below`, section by section, and where a section meets another type."""
    result, clashes = dict(below), []
    for key, value in above.items():
        inner = result.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            result[key], more = _merged(inner, value, (*keys, key))
            clashes += more
            continue
        if inner is not None and isinstance(inner, dict) != isinstance(value, dict):
            allowed = "a mapping of keys" if isinstance(inner, dict) else "a single value"
            why = f"found {kind_of(value)}; allowed: {allowed}, as in the configuration below it"
            clashes.append(((*keys, key), why))
        result[key] = value
    return result, clashes
