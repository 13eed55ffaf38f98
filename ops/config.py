"""Invoke's configuration, read once a task into frozen, validated settings; Invoke's silences are refused here.

Invoke ignores a `-f FILE` that does not exist, ignores an `INVOKE_*` that matches no key, and takes `INVOKE_X=false` for true
(it casts the text by `bool`). Each of these has sent somebody to the wrong environment, so each is an error of exit code 2 here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ops.settings import Settings

SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]*")
RESERVED = frozenset({"preflight", "status", "tf", "cdn", "db", "health", "troubleshoot", "lock", "sandbox", "dev"})
PREFIX = "INVOKE_"
RUNTIME_VARIABLE = "INVOKE_RUNTIME_CONFIG"   # Invoke's own name for -f
ONLY_IN_OVERLAY = ("access_key", "secret_key")


def check_service_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names, sorted. Raises ConfigError for one that is no namespace, or that would silently replace one of ours."""
    for name in sorted(names):
        if not SERVICE_NAME.fullmatch(name):
            raise ConfigError(f"service name {name!r} in the configuration", "allowed: a-z, then a-z, 0-9 and -", "rename it")
        if name in RESERVED:
            why = "a namespace of this tool has that name"
            raise ConfigError(f"service name {name!r} in the configuration", why, f"rename it: {name}-app")
    return tuple(sorted(names))


def check_runtime_file(path: str | None) -> None:
    """Refuse a `-f FILE` that is not there (Invoke would ignore it, exit 0)."""
    if path and not Path(path).is_file():
        raise ConfigError(f"configuration file {path} (-f)", "there is no such file", "check the path; relative paths start where you are")


def check_variables(environ: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Refuse `INVOKE_*` variables that match no key, and words such as `false` for a boolean key."""
    known = {PREFIX + "_".join(path).upper(): value for path, value in leaves(config)}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name == RUNTIME_VARIABLE:
            continue
        if name not in known:
            why = "it matches no key of the configuration, so it would be ignored"
            raise ConfigError(f"environment variable {name}", why, suggestion(name, known, "unset it"))
        if isinstance(known[name], bool) and text not in ("", "1"):
            why = "a boolean takes 1 or nothing (any other word, false and 0 too, would count as true)"
            raise ConfigError(f"environment variable {name}={text}", why, f"type {name}=1 or {name}=")


def leaves(config: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key path that holds a value rather than a section."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def suggestion(found: str, known: Iterable[str], otherwise: str) -> str:
    import difflib

    near = difflib.get_close_matches(found, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def read(config: Any, root: Path) -> Settings:
    """The settings of the chosen environment. Raises ConfigError naming file, key path, what was found and what is allowed."""
    values = plain(config)
    check_variables(os.environ, values)
    name, environments = values.get("env"), values.get("environments") or {}
    if not isinstance(name, str) or name not in environments:
        raise ConfigError(
            f"environment {name!r} (key `env`, or INVOKE_ENV)",
            f"configured are: {', '.join(sorted(environments)) or 'none'}",
            suggestion(str(name), environments, "type INVOKE_ENV=NAME inv …, or add it under environments: in invoke.yaml"),
        )
    return validated(name, environments[name], root)


def plain(value: Any) -> Any:
    """Invoke's data proxies as plain dicts, so that nothing here can write back into the configuration."""
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, list | tuple) else value


def validated(name: str, values: dict[str, Any], root: Path) -> Settings:
    from pydantic import ValidationError

    from ops.settings import Settings

    refuse_secrets(name, values)
    file = "invoke.yaml"
    if isinstance(values.get("overlay"), str):
        file += f" with {values['overlay']}"
        values = merged(values, overlay(root / values["overlay"], name, values.get("overlay_hint")))
    check_service_names(values.get("services") or ())
    try:
        return Settings(name=name, root=root, environment=values)
    except ValidationError as error:
        raise told(error, name, file) from None


def refuse_secrets(name: str, values: Mapping[str, Any]) -> None:
    for key in ONLY_IN_OVERLAY:
        if key in (values.get("aws") or {}):
            where = f"invoke.yaml: environments.{name}.aws.{key}"
            raise ConfigError(where, "no setting carries a secret", "remove it; use aws.profile or AWS's own credential chain")


def overlay(path: Path, name: str, hint: str | None) -> dict[str, Any]:
    """The overlay's values. Raises ConfigError where it is missing or no mapping."""
    import yaml

    hint = hint or f"create {path.name}, or remove environments.{name}.overlay"
    if not path.is_file():
        what = f"environment {name} is not there yet: its overlay {path} is missing"
        raise ConfigError(what, "it is written when the platform starts", hint)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"overlay {path}", " ".join(str(error).split()), hint) from None
    if not isinstance(found, dict):
        raise ConfigError(f"overlay {path}", f"found a {type(found).__name__}, allowed: a mapping of keys", hint)
    return found


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, section by section."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def told(error: ValidationError, name: str, file: str) -> ConfigError:
    """Pydantic's first complaint as our three lines."""
    first = error.errors(include_url=False)[0]
    keys = [str(part) for part in first["loc"][1:]]
    where = f"{file}: environments.{name}.{'.'.join(keys)}"
    if first["type"] == "extra_forbidden":
        known = known_keys(keys[:-1])
        why = f"unknown key; known here: {', '.join(sorted(known))}"
        return ConfigError(where, why, suggestion(keys[-1], known, "remove it"))
    documented = "invoke.yaml documents every key"
    if first["type"] == "missing":
        return ConfigError(where, "this key is missing, and nothing can be discovered without it", f"add it ({documented})")
    found = first.get("input")
    quotes = " (put it in quotes: YAML reads bare digits as a number)" if isinstance(found, int) and "string" in first["type"] else ""
    why = f"found {found!r}; {first['msg'].removeprefix('Value error, ')}{quotes}"
    return ConfigError(where, why, f"correct it ({documented})")


def known_keys(path: list[str]) -> list[str]:
    """Keys of the model at `path` below an environment; names of services and list positions are stepped over."""
    from ops import settings, settings_database

    model: Any = settings.Environment
    inner = {
        "services": settings.Service,
        "endpoints": settings.Endpoint,
        "aws": settings.Aws,
        "cdn": settings.Cdn,
        "bastion": settings_database.Bastion,
        "database": settings_database.Database,
        "health": settings.Health,
        "state": settings.State,
        "terraform": settings.Terraform,
    }
    for key in path:
        model = inner.get(key, model)
    return list(model.model_fields)
