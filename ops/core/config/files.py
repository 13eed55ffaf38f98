"""The configuration files that Invoke reads, checked before Invoke reads them.

Invoke ignores keys that it does not know, and ends in a traceback where two files cannot be merged.
`tasks.py` is imported before Invoke loads the project's file and `-f FILE`, so `read_all` and
`merge` run first: what they accept, Invoke can load.

Order, weakest first: /etc/invoke.*, ~/.invoke.*, the project's invoke.*, `INVOKE_*`, `-f FILE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ops.core.config.reader import SUFFIXES, Keys, Mistake, kind_of, place, read
from ops.core.errors import ConfigError

_OWN = ("env", "environments")
_INVOKE = ("run", "runners", "sudo", "tasks", "timeouts")  # Invoke's own sections


class ConfigFile(NamedTuple):
    """One file that Invoke reads. The system's and the user's are `shared` with other projects."""

    path: Path
    label: str
    values: dict[str, Any]
    shared: bool = False


def read_all(root: Path, runtime: str | None) -> list[ConfigFile]:
    """Every configuration file that Invoke would read, weakest first. Raises ConfigError."""
    files = read_shared()
    if project := _first(root / "invoke"):
        files.append(_read(project, project.name))
    if runtime is not None:
        path = expanded(runtime)
        files.append(_read(path, path.name if path.parent == root else str(path)))
    return files


def read_shared() -> list[ConfigFile]:
    """The files of the system and of the user. Raises ConfigError."""
    found = [_first(prefix) for prefix in (Path("/etc/invoke"), expanded("~/.invoke"))]
    return [_read(path, str(path), shared=True) for path in found if path]


def _read(path: Path, label: str, *, shared: bool = False) -> ConfigFile:
    file = ConfigFile(path, label, read(path, label), shared)
    try:
        _check_names(file)
        _check_sections(file.values)
    except Mistake as mistake:
        raise mistake.in_file(path, label) from None
    return file


def expanded(path: str) -> Path:
    """The path with `~` replaced, if there is a home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _first(prefix: Path) -> Path | None:
    """The file with the first of Invoke's suffixes, as Invoke chooses."""
    for suffix in SUFFIXES:
        path = Path(f"{prefix}.{suffix}")
        try:
            path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            why, how = error.strerror or str(error), "correct HOME, or the permissions"
            raise ConfigError(f"configuration file {path}", why, how) from None
        return path
    return None


def merge(files: Iterable[ConfigFile], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """All files over `defaults`. Raises ConfigError where a mapping meets another type."""
    merged = _copy(defaults)
    for file in files:
        try:
            _merge_into(merged, file.values, ())
        except Mistake as mistake:
            raise mistake.in_file(file.path, file.label) from None
    return merged


def locate(files: Sequence[ConfigFile], keys: Keys) -> str:
    """`FILE:LINE` of the strongest file that holds the longest part of `keys`."""
    best, deepest = None, 0
    for file in files:
        depth = _depth(file.values, keys)
        if depth and depth >= deepest:
            best, deepest = file, depth
    return place(best.path, best.label, keys) if best else "invoke.yaml"


def _depth(values: Any, keys: Keys) -> int:
    for depth, key in enumerate(keys):
        try:
            values = values[key]
        except (LookupError, TypeError):
            return depth
    return len(keys)


def _check_names(file: ConfigFile) -> None:
    """Refuse unknown top-level keys; in a shared file, only those that look like a misspelt one."""
    known = (*_OWN, *_INVOKE)
    unknown = [key for key in file.values if key not in known]
    if not unknown:
        return
    from difflib import get_close_matches

    for key in unknown:
        candidates, cutoff = (_OWN, 0.8) if file.shared else (known, 0.6)
        near = get_close_matches(key, candidates, n=1, cutoff=cutoff)
        if near or not file.shared:
            why = f"unknown key; known here: {', '.join(known)}"
            raise Mistake(why, f"did you mean {near[0]}?" if near else "remove it", keys=(key,))


def _check_sections(values: dict[str, Any]) -> None:
    """Check the parts that are read before a task validates its environment."""
    if not isinstance(values.get("env", ""), str):
        why = f"found {kind_of(values['env'])}; allowed: the name of an environment"
        raise Mistake(why, keys=("env",))
    for name in _section(values, "environments"):
        for service in _section(values, "environments", name, "services"):
            _section(values, "environments", name, "services", service)
    if _section(values, "tasks").get("executor_class") is not None:
        why = "the tasks of this project run in Invoke's own executor"
        raise Mistake(why, "remove it", keys=("tasks", "executor_class"))


def _section(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The mapping at a key path, empty if it is not set. Raises Mistake for another type."""
    for depth, key in enumerate(keys, start=1):
        values = values.get(key, {})
        if not isinstance(values, dict):
            raise Mistake(f"found {kind_of(values)}; allowed: a mapping of keys", keys=keys[:depth])
    return values


def _merge_into(base: dict[str, Any], values: Mapping[str, Any], keys: Keys) -> None:
    for key, value in values.items():
        if key in base and isinstance(base[key], dict) != isinstance(value, dict):
            allowed = "a mapping of keys" if isinstance(base[key], dict) else "a single value"
            why = f"found {kind_of(value)}; allowed: {allowed}, as in the configuration below it"
            raise Mistake(why, keys=(*keys, key))
        if isinstance(value, dict):
            _merge_into(base.setdefault(key, {}), value, (*keys, key))
        else:
            base[key] = value


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()
    }
