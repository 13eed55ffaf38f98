"""Read a configuration file strictly: what `read` accepts, Invoke can load too.

Invoke takes the last of two equal keys, and a malformed file ends in a traceback. Here every
refusal is a ConfigError that names the file and, where possible, the line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.core.errors import ConfigError

SUFFIXES = ("yaml", "yml", "json", "py")
_LARGEST = 1_000_000  # bytes
_DEEPEST = 50  # levels of nesting
_MOST_VALUES = 100_000  # with every alias written out
CORRECT = "correct it (invoke.yaml documents every key)"
_TEXT_KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_DIFFERENCES = frozenset("\t!?")  # where the two YAML loaders disagree

Keys = tuple[str | int, ...]


class Mistake(Exception):
    """What is wrong with a file, at a line or at a key path."""

    def __init__(
        self, why: str, next: str = CORRECT, *, keys: Keys = (), line: str | int = ""
    ) -> None:
        self.why, self.next, self.keys, self.line = why, next, keys, line
        super().__init__(why)

    def in_file(self, path: Path, label: str) -> ConfigError:
        where = f"configuration file {shortened(label, 200)}"
        if self.line:
            where = f"{label}:{self.line}"
        elif self.keys:
            names = ".".join(shortened(str(key)) for key in self.keys)
            where = f"{place(path, label, self.keys)}: {names}"
        return ConfigError(where, self.why, self.next)


def read(path: Path, label: str) -> dict[str, Any]:
    """Read the values of a .yaml, .yml, .json or .py file; `label` names it in errors.

    Raises ConfigError.
    """
    readers = {".yaml": _read_yaml, ".yml": _read_yaml, ".json": _read_json, ".py": _read_py}
    try:
        if path.suffix not in readers:
            raise Mistake("allowed: .yaml, .yml, .json or .py", "rename it")
        values = readers[path.suffix](path)
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise Mistake(f"found {kind_of(values)}; allowed: a mapping of keys")
        _check_values(values, ())
    except Mistake as mistake:
        raise mistake.in_file(path, label) from None
    except OSError as error:
        how = "check the path and its permissions"
        raise Mistake(error.strerror or str(error), how).in_file(path, label) from None
    except RecursionError:
        raise Mistake("it is nested too deeply").in_file(path, label) from None
    except Exception as error:
        why = f"{type(error).__name__}: {_one_line(error)}"
        raise Mistake(why).in_file(path, label) from None
    return values


def place(path: Path, label: str, keys: Keys) -> str:
    """`FILE:LINE` of the key, or of the nearest section around it; JSON is read as YAML."""
    if path.suffix == ".py":
        return label
    try:
        node, _ = _compose(path)
    except Exception:  # JSON with tabs, for example
        return label
    line = 0
    for key in keys:
        if node.id == "mapping":
            found = [pair for pair in node.value if pair[0].value == key]
        elif node.id == "sequence" and isinstance(key, int):
            found = [(item, item) for item in node.value[key : key + 1]]
        else:
            found = []
        if not found:
            break
        line, node = found[-1][0].start_mark.line + 1, found[-1][1]
    return f"{label}:{line}" if line else label


def kind_of(value: Any) -> str:
    """A value's type as the author of a YAML file knows it."""
    names = {dict: "a mapping", list: "a list", tuple: "a list", str: "text", bool: "a boolean"}
    if value is None:
        return "nothing"
    return names.get(type(value), "a number" if isinstance(value, int | float) else "an object")


def shortened(text: str, longest: int = 80) -> str:
    """Printable text of at most `longest` characters."""
    clean = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return clean if len(clean) <= longest else f"{clean[:longest]}…"


def _one_line(problem: object) -> str:
    return shortened(" ".join(str(problem).split()), 200)


def _text(path: Path) -> str:
    if not path.is_file():
        raise Mistake("it is not a regular file", "check the path")
    data = path.read_bytes()
    if len(data) > _LARGEST:
        raise Mistake(f"it is larger than {_LARGEST} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Mistake("it is not UTF-8 text", "save it as UTF-8", line=line) from None
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
        raise Mistake(why, "export PYTHONUTF8=1, or use a UTF-8 locale")


def _compose(path: Path) -> tuple[Any, Any]:
    """The file's tree of nodes, which know their lines, and the loader that made it.

    libyaml is ten times as fast as Python's own loader, which Invoke uses. They differ on tabs, on
    the tag `!` and on `?` within a word, so files with those are read by the latter.
    """
    import yaml

    text = _text(path)
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _check_depth(text, fast)
    loader = (fast if _DIFFERENCES.isdisjoint(text) else yaml.SafeLoader)(text)
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
            why = f"more than {_DEEPEST} levels of nesting"
            raise Mistake(why, line=event.start_mark.line + 1 if event.start_mark else "")


def _read_yaml(path: Path) -> Any:
    import yaml

    try:
        node, loader = _compose(path)
        if node is None:
            return None
        _check_nodes(node, 0, {})
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{mark.line + 1}:{mark.column + 1}" if mark else ""
        why = f"it is not valid YAML: {_one_line(error.problem or error.context)}"
        raise Mistake(why, line=line) from None
    except yaml.YAMLError as error:
        raise Mistake(f"it is not valid YAML: {_one_line(error)}") from None


def _check_nodes(node: Any, depth: int, sizes: dict[int, int]) -> int:
    """Refuse duplicate keys, keys that are not text, and aliases that recur or multiply.

    `sizes` holds the number of values below each node; 0 while its children are visited.
    """
    line = node.start_mark.line + 1
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise Mistake("an alias refers to the section that it is part of", line=line)
        return sizes[id(node)]
    if depth > _DEEPEST:
        raise Mistake(f"more than {_DEEPEST} levels of nesting", line=line)
    sizes[id(node)] = 0
    children = []
    if node.id == "mapping":
        _check_keys(node.value)
        children = [value for _, value in node.value]
    elif node.id == "sequence":
        children = node.value
    size = 1 + sum(_check_nodes(child, depth + 1, sizes) for child in children)
    if size > _MOST_VALUES:
        raise Mistake(f"more than {_MOST_VALUES} values, with every alias written out", line=line)
    sizes[id(node)] = size
    return size


def _check_keys(pairs: list[tuple[Any, Any]]) -> None:
    first: dict[str, int] = {}
    for key, _ in pairs:
        line = key.start_mark.line + 1
        if key.tag not in _TEXT_KEYS:
            found = f"the key {shortened(key.value)}" if key.id == "scalar" else f"a {key.id}"
            raise Mistake(f"found {found}; allowed: text as keys", "put it in quotes", line=line)
        if key.value in first:
            why = f"the key {shortened(key.value)} is already in line {first[key.value]}"
            raise Mistake(why, "remove one of the two, or rename it", line=line)
        first[key.value] = line


def _read_json(path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [key for key, _ in pairs]
            double = next(key for key in names if names.count(key) > 1)
            why = f"the key {shortened(double)} occurs twice in one object"
            raise Mistake(why, "remove one of the two, or rename it")
        return found

    try:
        return json.loads(_text(path), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        line = f"{error.lineno}:{error.colno}"
        raise Mistake(f"it is not valid JSON: {error.msg}", line=line) from None


def _read_py(path: Path) -> Any:
    """The public names of the module, as Invoke reads them."""
    from invoke.config import Config

    if not path.is_file():
        raise Mistake("it is not a regular file", "check the path")
    try:
        return Config(lazy=True)._load_py(str(path))
    except SystemExit as error:
        raise Mistake(f"it ends the program: SystemExit({error})") from None


def _check_values(value: Any, keys: Keys) -> None:
    """Refuse keys that are not text, and text that can be neither printed nor passed on."""
    if len(keys) > _DEEPEST:
        raise Mistake(f"more than {_DEEPEST} levels of nesting", keys=keys[:3])
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                why = f"found the key {shortened(repr(key))}; allowed: text as keys"
                raise Mistake(why, "put it in quotes", keys=keys)
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
        raise Mistake("it holds a NUL or half of a surrogate pair", keys=keys)
