"""Read Invoke's configuration into frozen, validated settings, once per task.

Invoke ignores a `-f FILE` that does not exist, ignores an `INVOKE_*` that matches no key, and takes
`INVOKE_X=false` for true (it casts the text by `bool`). Each of these can lead to the wrong
environment, so each is an error with exit code 2 here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ops.core.config import files as config_files
from ops.core.config import reader
from ops.core.config.files import ConfigFile
from ops.core.config.reader import CORRECT, kind_of, shortened
from ops.core.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ops.core.config.settings import Settings

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]*")
_RESERVED = frozenset(
    {"preflight", "status", "tf", "cdn", "db", "health", "troubleshoot", "lock", "sandbox", "dev"}
)
_PREFIX = "INVOKE_"
_OF_INVOKE = (
    "INVOKE_DEBUG",
    "INVOKE_RUNTIME_CONFIG",
)  # read by Invoke itself; the second one is -f
_NO_EFFECT = (
    "run",
    "runners",
    "sudo",
    "timeouts",
)  # Invoke's sections for `c.run`, which no task uses
_ONLY_IN_OVERLAY = ("access_key", "secret_key")


def _check_service_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names, sorted. Raises ConfigError for an invalid or a reserved name.

    A reserved name would silently replace a namespace of this tool.
    """
    for name in sorted(names, key=str):
        if not isinstance(name, str) or not _SERVICE_NAME.fullmatch(name):
            what = f"service name {shortened(repr(name))} in the configuration"
            raise ConfigError(what, "allowed: a-z, then a-z, 0-9 and -", "rename it")
        if name in _RESERVED:
            why = "a namespace of this tool has that name"
            raise ConfigError(
                f"service name {name!r} in the configuration", why, f"rename it: {name}-app"
            )
    return tuple(sorted(names))


def load(root: Path, runtime: str | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration over `defaults`, without `INVOKE_*`.

    Raises ConfigError for anything that Invoke could not load afterwards, and for invalid service
    names.
    """
    _check_runtime_file(runtime)
    found = config_files.merge(config_files.read_all(root, runtime), defaults)
    _check_values_of_variables(os.environ, found)
    environments = found["environments"].values()
    _check_service_names({name for values in environments for name in values.get("services", ())})
    return found


def _check_runtime_file(path: str | None) -> None:
    """Refuse a `-f FILE` that does not exist (Invoke would ignore it, exit 0)."""
    try:
        found = path is None or config_files.expanded(path).is_file()
    except (OSError, ValueError):  # a name that is too long, or that no file can have
        found = False
    if not found:
        what = f"configuration file {path or '(empty)'} (-f)"
        raise ConfigError(
            what, "there is no such file", "check the path; relative paths start where you are"
        )


def check_variables(environ: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Refuse `INVOKE_*` variables that match no key, and words for a boolean key (`false`)."""
    known = {_PREFIX + "_".join(path).upper(): (path, value) for path, value in _leaves(config)}
    for name, text in sorted(environ.items()):
        if not name.startswith(_PREFIX) or name in _OF_INVOKE:
            continue
        if name not in known:
            why = "it matches no key of the configuration, so it would be ignored"
            raise ConfigError(
                f"environment variable {name}", why, suggestion(name, known, "unset it")
            )
        path, value = known[name]
        if path[0] in _NO_EFFECT and path != ("run", "dry"):
            why = (
                f"{'.'.join(path)} is a setting of Invoke that has no effect on the tasks of "
                f"this project"
            )
            raise ConfigError(f"environment variable {name}", why, "unset it")
        if isinstance(value, bool) and text not in ("", "1"):
            why = (
                "a boolean takes 1 or nothing (any other word, false and 0 too, would count as "
                "true)"
            )
            raise ConfigError(
                f"environment variable {name}={text}", why, f"type {name}=1 or {name}="
            )


def _check_values_of_variables(environ: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Refuse `INVOKE_*` variables that Invoke cannot convert to the type of their key.

    Also refuses two keys that share a variable.
    """
    known: dict[str, tuple[str, ...]] = {}
    for path, value in _leaves(config):
        name = _PREFIX + "_".join(path).upper()
        if name in known:
            why = f"the keys {'.'.join(known[name])} and {'.'.join(path)} both have this variable"
            raise ConfigError(f"environment variable {name}", why, "rename one of the two keys")
        known[name] = path
        if name in environ:
            _check_value_of_variable(name, environ[name], value)


def _check_value_of_variable(name: str, text: str, value: Any) -> None:
    if isinstance(value, bool | str) or value is None:
        return
    if isinstance(value, list | tuple):
        why = "its key is a list, which a variable cannot set"
        raise ConfigError(f"environment variable {name}", why, "set it in a file: inv -f FILE …")
    try:
        type(value)(text)
    except Exception:
        why = (
            f"found {text!r}; allowed: "
            f"{'a number' if isinstance(value, int | float) else 'nothing: set it in a file'}"
        )
        raise ConfigError(
            f"environment variable {name}", why, f"unset {name}, or correct it"
        ) from None


def _leaves(
    config: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key path that holds a value rather than a section."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def suggestion(found: str, known: Iterable[str], otherwise: str) -> str:
    import difflib

    near = difflib.get_close_matches(found, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def read(config: Any, root: Path) -> Settings:
    """The settings of the chosen environment.

    Raises ConfigError naming file, line, key path, what was found and what is allowed.
    """
    values = _plain(config)
    check_variables(os.environ, values)
    name, environments = values.get("env"), values.get("environments") or {}
    if not isinstance(environments, Mapping):
        why = f"found {kind_of(environments)}; allowed: a mapping of keys"
        raise ConfigError("invoke.yaml: environments", why, CORRECT)
    if not isinstance(name, str) or name not in environments:
        raise ConfigError(
            f"environment {name!r} (key `env`, or INVOKE_ENV)",
            f"configured are: {', '.join(sorted(map(str, environments))) or 'none'}",
            suggestion(
                str(name),
                map(str, environments),
                "type INVOKE_ENV=NAME inv …, or add it under environments: in invoke.yaml",
            ),
        )
    runtime = getattr(config, "_runtime_path", None)  # Invoke's own
    return _validated(name, environments[name], root, str(runtime) if runtime else None)


def _plain(value: Any) -> Any:
    """Convert Invoke's data proxies to plain dicts, which cannot write to the configuration."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, list | tuple) else value


def _validated(name: str, values: Any, root: Path, runtime: str | None = None) -> Settings:
    """The environment's settings; `runtime` is the `-f FILE`, for messages."""
    from pydantic import ValidationError

    from ops.core.config.settings import Settings

    if not isinstance(values, Mapping):
        why = f"found {kind_of(values)}; allowed: a mapping of keys"
        raise ConfigError(f"invoke.yaml: environments.{name}", why, CORRECT)
    _refuse_secrets(name, values)
    above: dict[str, Any] = {}
    if isinstance(values.get("overlay"), str):
        above = overlay(root / values["overlay"], name, values.get("overlay_hint"))
        values = _merged(dict(values), above)
    if isinstance(values.get("services"), Mapping):
        _check_service_names(values["services"])
    try:
        return Settings(name=name, root=root, environment=values)
    except ValidationError as error:
        overlaid = ConfigFile(root / str(values.get("overlay")), str(values.get("overlay")), above)
        raise _describe_errors(
            error, name, _Sources(root, runtime, overlaid if above else None)
        ) from None


def _refuse_secrets(name: str, values: Mapping[str, Any]) -> None:
    for key in _ONLY_IN_OVERLAY:
        if isinstance(values.get("aws"), Mapping) and key in values["aws"]:
            where = f"invoke.yaml: environments.{name}.aws.{key}"
            raise ConfigError(
                where,
                "no setting carries a secret",
                "remove it; use aws.profile or AWS's own credential chain",
            )


def overlay(path: Path, name: str, hint: Any) -> dict[str, Any]:
    """The overlay's values. Raises ConfigError if it is missing or malformed."""
    hint = (
        str(hint)
        if hint
        else f"create {shortened(path.name)}, or remove environments.{name}.overlay"
    )
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
        what = f"environment {name} is not there yet: its overlay {path} is missing"
        raise ConfigError(what, "it is written when the platform starts", hint)
    try:
        return reader.read(path, str(path))
    except ConfigError as error:
        raise ConfigError(
            f"overlay {error.what.removeprefix('configuration file ')}", error.why, hint
        ) from None


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, section by section."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = (
            _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return result


class _Sources(NamedTuple):
    """Where the values of an environment come from, for messages."""

    root: Path
    runtime: str | None
    overlay: ConfigFile | None

    def locate(self, name: str, keys: Sequence[str | int]) -> str:
        """`FILE:LINE`, or the variable, that sets a key of the environment."""
        path = ("environments", name, *keys)
        variable = _PREFIX + "_".join(map(str, path)).upper()
        if variable in os.environ:
            return variable
        if self.overlay and keys and keys[0] in self.overlay.values:
            return reader.place(self.overlay.path, self.overlay.label, tuple(keys))
        try:
            files = config_files.read_all(self.root, self.runtime)
        except ConfigError:
            files = []
        return config_files.locate(files, path)


def _describe_errors(error: ValidationError, name: str, sources: _Sources) -> ConfigError:
    """All of pydantic's errors as one ConfigError, unknown keys first."""
    details = sorted(
        error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden"
    )
    first, *others = [_mistake(each, name, sources) for each in details]
    if others:
        first.why += "".join(f"\n       {each.what}: {each.why}" for each in others)
    return ConfigError(first.what, first.why, first.next)


def _mistake(detail: Any, name: str, sources: _Sources) -> ConfigError:
    keys = list(detail["loc"][1:])
    where = (
        f"{sources.locate(name, keys)}: "
        f"environments.{name}.{'.'.join(shortened(str(key)) for key in keys)}"
    )
    if detail["type"] == "extra_forbidden":
        known = _known_keys([str(key) for key in keys[:-1]])
        why = f"unknown key; known here: {', '.join(sorted(known))}"
        return ConfigError(where, why, suggestion(str(keys[-1]), known, "remove it"))
    if detail["type"] == "missing":
        why = "this key is missing, and nothing can be discovered without it"
        return ConfigError(where, why, "add it (invoke.yaml documents every key)")
    found = detail.get("input")
    quotes = (
        " (put it in quotes: YAML reads bare digits as a number)"
        if isinstance(found, int) and "string" in detail["type"]
        else ""
    )
    if detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return ConfigError(where, f"found {kind_of(found)}; allowed: a mapping of keys", CORRECT)
    why = f"found {shortened(repr(found))}; {detail['msg'].removeprefix('Value error, ')}{quotes}"
    return ConfigError(where, why, CORRECT)


def _known_keys(path: list[str]) -> list[str]:
    """Keys of the model at `path` below an environment.

    Names of services and list positions are skipped.
    """
    from ops.core.config import database, settings

    model: Any = settings.Environment
    inner = {
        "services": settings.Service,
        "endpoints": settings.Endpoint,
        "aws": settings.Aws,
        "cdn": settings.Cdn,
        "bastion": database.Bastion,
        "database": database.Database,
        "health": settings.Health,
        "state": settings.State,
        "terraform": settings.Terraform,
    }
    for key in path:
        model = inner.get(key, model)
    return list(model.model_fields)
