"""The configuration files that Invoke reads, checked before Invoke reads them.

Invoke ignores keys that it does not know, and ends in a traceback where two files cannot be merged.
`tasks.py` is imported before Invoke loads the project's file and `-f FILE`, so `read_all` and
`merge` run first: what they accept, Invoke can load.

Order, weakest first: /etc/invoke.*, ~/.invoke.*, the project's invoke.*, `INVOKE_*`, `-f FILE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ops.core.config.problems import (
    Keys,
    Malformed,
    Place,
    Problem,
    ProblemKind,
    kind_of,
    refuse,
    unknown_key,
)
from ops.core.config.reader import SUFFIXES, locate, read
from ops.core.errors import ConfigError

_OWN = ("env", "environments")
_INVOKE = ("run", "runners", "sudo", "tasks", "timeouts")  # Invoke's own sections
_OPEN = (("run", "env"), ("runners",))  # sections with keys of the user's choice
_NEAR = 0.8  # how like one of ours a key of a shared file must be to count as a misspelt one


@dataclass(frozen=True)
class ConfigFile:
    """One file that Invoke reads. The system's and the user's are `shared` with other projects."""

    path: Path
    label: str
    values: dict[str, Any]
    level: Literal["system", "user", "project", "runtime", "overlay"] = "project"

    @property
    def shared(self) -> bool:
        return self.level in ("system", "user")

    def place(self, keys: Keys) -> Place:
        return locate(self.path, self.label, keys)


def read_all(root: Path, runtime: str | None) -> list[ConfigFile]:
    """Every configuration file that Invoke would read, weakest first.

    Raises Malformed with the mistakes of all of them.
    """
    found: list[ConfigFile] = []
    problems: list[Problem] = []
    for path, label, level in _paths(root, runtime):
        try:
            found.append(_read(path, label, level))
        except Malformed as malformed:
            problems += malformed.problems
    refuse(problems)
    return found


def read_shared() -> list[ConfigFile]:
    """The files of the system and of the user. Raises Malformed."""
    return [_read(*each) for each in _shared_paths()]


_Found = tuple[Path, str, Literal["system", "user", "project", "runtime"]]


def _paths(root: Path, runtime: str | None) -> Iterator[_Found]:
    yield from _shared_paths()
    if project := _first(root / "invoke"):
        _refuse_ignored(root, project)
        yield project, project.name, "project"
    elif (root / "invoke.toml").exists():
        _refuse_ignored(root, None)
    if runtime is not None:
        path = expanded(runtime)
        yield path, path.name if path.parent == root else str(path), "runtime"


def _shared_paths() -> Iterator[_Found]:
    if system := _first(Path("/etc/invoke")):
        yield system, str(system), "system"
    if user := _first(expanded("~/.invoke")):
        yield user, str(user), "user"


def _refuse_ignored(root: Path, read_file: Path | None) -> None:
    """Refuse a second project file: Invoke reads the first of its suffixes, and never TOML."""
    for suffix in (*SUFFIXES, "toml"):
        path = root / f"invoke.{suffix}"
        if path != read_file and path.exists():
            why = (
                f"Invoke ignores it, because it reads {read_file.name}"
                if read_file
                else "Invoke reads invoke.yaml, .yml, .json or .py, and no TOML"
            )
            how = "move its keys there" if read_file else "write it as invoke.yaml"
            raise Malformed([Problem(why, how, place=Place(path.name))])


def _read(path: Path, label: str, level: Any) -> ConfigFile:
    file = ConfigFile(path, label, read(path, label), level)
    problems = [*_name_problems(file), *_section_problems(file.values), *_invoke_problems(file)]
    refuse([each.at(file.place(each.keys)) for each in problems])
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
    """All files over `defaults`. Raises Malformed where a mapping meets another type."""
    merged = _copy(defaults)
    problems: list[Problem] = []
    for file in files:
        problems += [
            each.at(file.place(each.keys)) for each in _merge_into(merged, file.values, ())
        ]
    refuse(problems)
    return merged


def _name_problems(file: ConfigFile) -> Iterator[Problem]:
    """Unknown top-level keys; in a shared file, only those that look like a misspelt one."""
    from difflib import get_close_matches

    known = (*_OWN, *_INVOKE)
    for key in file.values:
        if key not in known and (
            not file.shared or get_close_matches(key, _OWN, n=1, cutoff=_NEAR)
        ):
            yield unknown_key((key,), known)


def _section_problems(values: dict[str, Any]) -> Iterator[Problem]:
    """Mistakes in the parts that are read before a task validates its environment."""
    if not isinstance(values.get("env", ""), str):
        why = f"found {kind_of(values['env'])}; allowed: the name of an environment"
        yield Problem(why, keys=("env",))
    for section in _INVOKE:
        yield from _not_a_section(values, (section,))
    yield from _not_a_section(values, ("environments",))
    for name, environment in _section(values, "environments").items():
        yield from _not_a_section(values, ("environments", name))
        if isinstance(environment, dict):
            yield from _not_a_section(values, ("environments", name, "services"))
            for service in _section(environment, "services"):
                yield from _not_a_section(values, ("environments", name, "services", service))
    if _section(values, "tasks").get("executor_class") is not None:
        why = "the tasks of this project run in Invoke's own executor"
        yield Problem(why, "remove it", keys=("tasks", "executor_class"))


def _invoke_problems(file: ConfigFile) -> Iterator[Problem]:
    """Keys of Invoke's own sections that Invoke does not have, or takes by their truth only."""
    from invoke.config import Config

    known = Config.global_defaults()
    for section in _INVOKE:
        if (section,) in _OPEN:
            continue
        for key, value in _section(file.values, section).items():
            keys = (section, key)
            if key not in known[section]:
                if not file.shared:
                    yield unknown_key(keys, known[section])
            elif isinstance(known[section][key], bool) and isinstance(value, str | list | None):
                why = f"found {kind_of(value)}; allowed: true or false"
                yield Problem(why, keys=keys)


def _not_a_section(values: dict[str, Any], keys: Keys) -> Iterator[Problem]:
    """A mistake if the value at a key path, all sections above it given, is no mapping."""
    found: Any = values
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            return
        found = found[key]
    if not isinstance(found, dict):
        yield Problem(f"found {kind_of(found)}; allowed: a mapping of keys", keys=keys)


def _section(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The section, empty if it is not set or not a mapping."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _merge_into(base: dict[str, Any], values: Mapping[str, Any], keys: Keys) -> Iterator[Problem]:
    for key, value in values.items():
        if key in base and isinstance(base[key], dict) != isinstance(value, dict):
            allowed = "a mapping of keys" if isinstance(base[key], dict) else "a single value"
            why = f"found {kind_of(value)}; allowed: {allowed}, as in the configuration below it"
            yield Problem(why, keys=(*keys, key), kind=ProblemKind.WRONG_VALUE)
        elif isinstance(value, dict):
            yield from _merge_into(base.setdefault(key, {}), value, (*keys, key))
        else:
            base[key] = value


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()
    }
