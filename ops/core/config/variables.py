"""`INVOKE_*` variables: which keys they set, and those that Invoke would ignore or misread.

Invoke sets a key by a variable only if a file (or a default) sets it too; it ignores all other
variables, and takes `INVOKE_X=false` for true, because it casts the text by `bool`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ops.core.config.problems import (
    Keys,
    Place,
    Problem,
    ProblemKind,
    refuse,
    suggestion,
)

PREFIX = "INVOKE_"
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


def name_of(keys: Keys) -> str:
    """The variable of a key path."""
    return PREFIX + "_".join(map(str, keys)).upper()


def check_variables(environ: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Refuse variables that match no key, and words for a boolean key (`false`)."""
    known = {name_of(keys): (keys, value) for keys, value in _leaves(config)}
    found = []
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in _OF_INVOKE:
            continue
        if name not in known:
            found.append(_unknown(name, known, config))
            continue
        keys, value = known[name]
        if keys[0] in _NO_EFFECT and keys != ("run", "dry"):
            why = (
                f"{'.'.join(map(str, keys))} is a setting of Invoke that has no effect on the "
                f"tasks of this project"
            )
            found.append(_problem(name, why, "unset it"))
        elif isinstance(value, bool) and text not in ("", "1"):
            why = (
                "a boolean takes 1 or nothing (any other word, false and 0 too, would count as "
                "true)"
            )
            found.append(_problem(f"{name}={text}", why, f"type {name}=1 or {name}="))
    refuse(found)


def _unknown(name: str, known: Iterable[str], config: Mapping[str, Any]) -> Problem:
    """A variable without a key: a section's name, a key that no file sets, or a misspelt one."""
    names = list(known)
    if any(each.startswith(f"{name}_") for each in names):
        why = "it names a section, and a variable sets a single key"
        return _unknown_problem(name, why, f"unset it; set {name}_KEY, or use a file: -f FILE")
    if key := _unset_key(name, config):
        why = f"no file sets {key}, and Invoke sets a key by a variable only if a file sets it too"
        return _unknown_problem(name, why, f"set {key} in invoke.yaml, or in a file: -f FILE")
    why = "it matches no key of the configuration, so it would be ignored"
    how = suggestion(name, names, "unset it; a variable only sets a key that a file sets too")
    return _unknown_problem(name, why, how)


def _unset_key(name: str, config: Mapping[str, Any]) -> str | None:
    """The key of an environment that the variable would set if a file did."""
    from ops.core.config.schema import key_paths

    environments = config.get("environments")
    for environment, values in (environments or {}).items():
        services = values.get("services", {}) if isinstance(values, Mapping) else {}
        for path in key_paths():
            named = (services or {"NAME": None}) if path[:2] == ("services", "NAME") else {"": None}
            for service in named:
                keys = [service if each == "NAME" else each for each in path]
                full = ("environments", environment, *keys)
                if name_of(full) == name:
                    return ".".join(full)
    return None


def _unknown_problem(name: str, why: str, how: str) -> Problem:
    return Problem(why, how, (), _place(name), ProblemKind.UNKNOWN_KEY)


def check_values(environ: Mapping[str, str], config: Mapping[str, Any]) -> None:
    """Refuse variables that Invoke cannot convert to the type of their key.

    Also refuses two keys that share a variable.
    """
    known: dict[str, Keys] = {}
    found = []
    for keys, value in _leaves(config):
        name = name_of(keys)
        if name in known:
            one, other = (".".join(map(str, each)) for each in (known[name], keys))
            why = f"the keys {one} and {other} both have this variable"
            found.append(_problem(name, why, "rename one of the two keys"))
        known[name] = keys
        if name in environ:
            found += _value_problems(name, environ[name], value)
    refuse(found)


def _value_problems(name: str, text: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, list | tuple):
        why = "its key is a list, which a variable cannot set"
        yield _problem(name, why, "set it in a file: inv -f FILE …")
        return
    try:
        cast(value, text)
    except Exception:
        allowed = "a number" if isinstance(value, int | float) else "nothing: set it in a file"
        why = f"found {text!r}; allowed: {allowed}"
        yield _problem(name, why, f"unset {name}, or correct it")


def cast(below: Any, text: str) -> Any:
    """The value that Invoke gives a key whose value in the files is `below`."""
    if isinstance(below, bool):
        return text not in ("0", "")
    return text if isinstance(below, str) or below is None else type(below)(text)


def values(environ: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that variables set, as a nested mapping; `config` is that of the files."""
    found: dict[str, Any] = {}
    for keys, below in _leaves(config):
        if (name := name_of(keys)) in environ and not isinstance(below, list | tuple):
            section = found
            for key in keys[:-1]:
                section = section.setdefault(key, {})
            section[keys[-1]] = cast(below, environ[name])
    return found


def _problem(name: str, why: str, how: str) -> Problem:
    return Problem(why, how, (), _place(name))


def _place(name: str) -> Place:
    return Place(f"environment variable {name}", is_file=False)


def _leaves(config: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Every key path that holds a value rather than a section."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value
