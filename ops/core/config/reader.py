"""Read a configuration file strictly: what `read` accepts, Invoke can load too.

Invoke takes the last of two equal keys, and a malformed file ends in a traceback. Here every
refusal is an error that names the file and, where possible, line and column.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from ops.core.config.problems import (
    CORRECT,
    Keys,
    Malformed,
    Place,
    Problem,
    kind_of,
    shortened,
)

__all__ = ["SUFFIXES", "locate", "read", "shortened"]

SUFFIXES = ("yaml", "yml", "json", "py")  # Invoke reads no other kind, TOML neither
_LARGEST = 1_000_000  # bytes
_DEEPEST = 50  # levels of nesting
_MOST_VALUES = 100_000  # with every alias written out
_TEXT_KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_MERGE = "tag:yaml.org,2002:merge"
_DIFFERENCES = frozenset("\t!?")  # where the two YAML loaders disagree


class _Refusal(Exception):
    """Why a file cannot be read: mistakes with a line, or with a key path."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__(*problems)


def _refusal(
    why: str, how: str = CORRECT, *, line: int = 0, column: int = 0, keys: Keys = ()
) -> _Refusal:
    """One mistake; its file is added by `read`."""
    return _Refusal(Problem(why, how, keys=keys, place=Place("", line, column)))


def read(path: Path, label: str) -> dict[str, Any]:
    """Read the values of a .yaml, .yml, .json or .py file; `label` names it in errors.

    Raises Malformed.
    """
    readers = {".yaml": _read_yaml, ".yml": _read_yaml, ".json": _read_json, ".py": _read_py}
    try:
        if path.suffix not in readers:
            how = "rename it" if path.suffix != ".toml" else "write it as YAML: Invoke has no TOML"
            raise _refusal("allowed: .yaml, .yml, .json or .py", how)
        values = readers[path.suffix](path)
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise _refusal(f"found {kind_of(values)}; allowed: a mapping of keys", line=1)
        _check_values(values, ())
    except _Refusal as refusal:
        raise Malformed(_placed(each, path, label) for each in refusal.problems) from None
    except OSError as error:
        how = "check the path and its permissions"
        problem = Problem(error.strerror or str(error), how, place=Place(label))
        raise Malformed([problem]) from None
    except RecursionError:
        raise Malformed([Problem("it is nested too deeply", place=Place(label))]) from None
    except Exception as error:
        why = f"{type(error).__name__}: {_one_line(error)}"
        raise Malformed([Problem(why, place=Place(label))]) from None
    return values


def _placed(problem: Problem, path: Path, label: str) -> Problem:
    if problem.place.line:
        place = Place(label, problem.place.line, problem.place.column)
    else:
        place = locate(path, label, problem.keys)
    return Problem(problem.why, problem.next, problem.keys, place, problem.kind)


def locate(path: Path, label: str, keys: Keys) -> Place:
    """Where the key stands, or the nearest section around it; JSON is read as YAML."""
    if path.suffix == ".py":
        return Place(label)
    try:
        facts = path.stat()
        node = _tree(path, facts.st_mtime_ns, facts.st_size)
    except Exception:  # it has vanished, or cannot be parsed
        return Place(label)
    mark = None
    for key in keys:
        found = _child(node, key)
        if found is None:
            break
        mark, node = found
    return Place(label, mark.line + 1, mark.column + 1) if mark else Place(label)


def _child(node: Any, key: str | int) -> tuple[Any, Any] | None:
    """The mark of a key (or of an item of a list), and the node of its value."""
    if node.id == "sequence":
        found = node.value[key : key + 1] if isinstance(key, int) else []
        return (found[0].start_mark, found[0]) if found else None
    if node.id != "mapping":
        return None
    for name, value in reversed(node.value):
        if name.tag != _MERGE and name.value == key:
            return name.start_mark, value
    for name, value in node.value:  # `<<: *alias`, or a list of aliases
        if name.tag == _MERGE:
            for source in value.value if value.id == "sequence" else [value]:
                if found := _child(source, key):
                    return found
    return None


@lru_cache(maxsize=8)
def _tree(path: Path, _changed_at: int, _size: int) -> Any:
    node, _ = _compose(path, exact=path.suffix != ".json")
    return node


def _one_line(problem: object) -> str:
    return shortened(" ".join(str(problem).split()), 200)


def _text(path: Path) -> str:
    if path.is_dir():
        raise _refusal("it is a folder", "name a file")
    if not path.is_file():
        raise _refusal("it is not a regular file", "check the path")
    data = path.read_bytes()
    if len(data) > _LARGEST:
        raise _refusal(f"it is larger than {_LARGEST} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise _refusal(
            "it is not UTF-8 text", "save it as UTF-8", line=line, column=column
        ) from None
    if not text.isascii():
        _check_locale()
    return text


def _check_locale() -> None:
    """Invoke reads files in the locale's encoding."""
    import codecs
    import locale

    encoding = locale.getpreferredencoding(False)
    if codecs.lookup(encoding).name != "utf-8":
        why = f"it holds UTF-8 text, and this locale reads files as {encoding}"
        raise _refusal(why, "export PYTHONUTF8=1, or use a UTF-8 locale")


def _compose(path: Path, *, exact: bool = True) -> tuple[Any, Any]:
    """The file's tree of nodes, which know their lines, and the loader that made it.

    libyaml is ten times as fast as Python's own loader, which Invoke uses. They differ on tabs, on
    the tag `!` and on `?` within a word, so files with those are read by the latter, unless only
    positions are of interest (not `exact`).
    """
    import yaml

    text = _text(path)
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _check_depth(text, fast)
    plain = not exact or _DIFFERENCES.isdisjoint(text)
    loader = (fast if plain else yaml.SafeLoader)(text)
    return loader.get_single_node(), loader


def _check_depth(text: str, loader: Any) -> None:
    """Refuse deep nesting before composing the tree: libyaml overflows the stack on it."""
    longest = max(map(len, text.splitlines()), default=0)
    if text.count("[") + text.count("{") + 2 * longest < 3000:
        return  # no deeper than that
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            mark = event.start_mark
            why = f"more than {_DEEPEST} levels of nesting"
            raise _refusal(why, line=mark.line + 1 if mark else 0)


def _read_yaml(path: Path) -> Any:
    import yaml

    problems: list[Problem] = []
    try:
        node, loader = _compose(path)
        if node is None:
            return None
        _check_nodes(node, 0, {}, problems)
        if problems:
            raise _Refusal(*problems)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = f"it is not valid YAML: {_one_line(error.problem or error.context)}"
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        how = "indent by spaces: YAML takes no tabs" if "'\\t'" in why else CORRECT
        raise _refusal(why, how, line=line, column=column) from None
    except yaml.YAMLError as error:
        raise _refusal(f"it is not valid YAML: {_one_line(error)}") from None


def _check_nodes(node: Any, depth: int, sizes: dict[int, int], problems: list[Problem]) -> int:
    """Find duplicate keys and keys that are not text; refuse aliases that recur or multiply.

    `sizes` holds the number of values below each node; 0 while its children are visited.
    """
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if id(node) in sizes:
        if not sizes[id(node)]:
            why = "an alias refers to the section that it is part of"
            raise _refusal(why, line=line, column=column)
        return sizes[id(node)]
    if depth > _DEEPEST:
        raise _refusal(f"more than {_DEEPEST} levels of nesting", line=line)
    sizes[id(node)] = 0
    children = []
    if node.id == "mapping":
        _check_keys(node.value, problems)
        children = [value for _, value in node.value]
    elif node.id == "sequence":
        children = node.value
    size = 1 + sum(_check_nodes(child, depth + 1, sizes, problems) for child in children)
    if size > _MOST_VALUES:
        why = f"more than {_MOST_VALUES} values, with every alias written out"
        raise _refusal(why, line=line, column=column)
    sizes[id(node)] = size
    return size


def _check_keys(pairs: list[tuple[Any, Any]], problems: list[Problem]) -> None:
    first: dict[str, int] = {}
    for key, _ in pairs:
        place = Place("", key.start_mark.line + 1, key.start_mark.column + 1)
        if key.tag not in _TEXT_KEYS:
            found = f"the key {shortened(key.value)}" if key.id == "scalar" else f"a {key.id}"
            why = f"found {found}; allowed: text as keys"
            problems.append(Problem(why, "put it in quotes", place=place))
        elif key.value in first:
            why = f"the key {shortened(key.value)} is already in line {first[key.value]}"
            problems.append(Problem(why, "remove one of the two, or rename it", place=place))
        else:
            first[key.value] = place.line


def _read_json(path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [key for key, _ in pairs]
            double = next(key for key in names if names.count(key) > 1)
            why = f"the key {shortened(double)} occurs twice in one object"
            raise _refusal(why, "remove one of the two, or rename it", line=_second(text, double))
        return found

    text = _text(path)
    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        why = f"it is not valid JSON: {error.msg}"
        raise _refusal(why, line=error.lineno, column=error.colno) from None


def _second(text: str, key: str) -> int:
    """The line of the second time that a key is written, if it is written twice only; else 0."""
    parts = text.split(f'"{key}"')
    return text.count("\n", 0, len(text) - len(parts[2])) + 1 if len(parts) == 3 else 0


def _read_py(path: Path) -> Any:
    """The public names of the module, as Invoke reads them."""
    from invoke.config import Config

    if not path.is_file():
        raise _refusal("it is not a regular file", "check the path")
    try:
        return Config(lazy=True)._load_py(str(path))
    except SystemExit as error:
        raise _refusal(f"it ends the program: SystemExit({error})") from None
    except SyntaxError as error:
        line, column = error.lineno or 0, error.offset or 0
        raise _refusal(f"SyntaxError: {error.msg}", line=line, column=column) from None


def _check_values(value: Any, keys: Keys) -> None:
    """Refuse keys that are not text, and text that can be neither printed nor passed on."""
    if len(keys) > _DEEPEST:
        raise _refusal(f"more than {_DEEPEST} levels of nesting", keys=keys[:3])
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                why = f"found the key {shortened(repr(key))}; allowed: text as keys"
                raise _refusal(why, "put it in quotes", keys=keys)
            _check_text(key, keys)
            _check_values(item, (*keys, key))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _check_values(item, (*keys, position))
    elif isinstance(value, str):
        _check_text(value, keys)


def _check_text(text: str, keys: Keys) -> None:
    if text.isascii():
        bad = "\0" in text
    else:
        bad = any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)
    if bad:
        raise _refusal("it holds a NUL or half of a surrogate pair", keys=keys)
