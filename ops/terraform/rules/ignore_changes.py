"""Which attributes a resource's `lifecycle` block ignores (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ops.terraform.rules.hcl import blocks

ALL = "all"
_KEY = r'\s*\.[\w-]+|\s*\[\s*(?:"(?:[^"\\]|\\.)*"|\d+)\s*\]'
_PATH = rf"[^\W\d][\w-]*(?:{_KEY})*"
_ITEM = rf'(?:{_PATH}|"(?:[^"\\]|\\.)*")'
_LIST = re.compile(
    r"^\s*ignore_changes\s*=\s*"
    rf"(?:(?P<all>all)\b|\[(?P<list>\s*(?:{_ITEM}\s*,\s*)*(?:{_ITEM}\s*)?)\])",
    re.MULTILINE,
)


def ignored_changes(body: str) -> tuple[str, ...]:
    """What `ignore_changes` lists, as written: `desired_count`, `tags["Name"]`.

    `("all",)` for the keyword. `body` is a resource's, without comments, as `hcl.Block` has it.
    """
    for block in blocks(body):
        found = _LIST.search(block.arguments) if block.kind == "lifecycle" else None
        if found and found["all"]:
            return (ALL,)
        if found:
            return tuple(_unquoted(each) for each in re.findall(_ITEM, found["list"]))
    return ()


def ignored_in_json(document: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What `ignore_changes` lists in a `.tf.json` file, by the address of the resource."""
    found = {}
    for kinds in _objects(document.get("resource")):
        for kind, names in kinds.items():
            for resources in _objects(names):
                for name, bodies in resources.items():
                    listed = [each for body in _objects(bodies) for each in _of_body(body)]
                    if listed:
                        found[f"{kind}.{name}"] = tuple(listed)
    return found


def steps(path: str) -> tuple[str | int, ...]:
    """Split a path into its names, keys and indexes: `tags["a"]` is `("tags", "a")`."""
    first = re.match(r"[\w-]+", path)
    if first is None:
        return (path,)
    found: list[str | int] = [first[0]]
    for each in re.findall(_KEY, path[first.end() :]):
        word = each.strip().lstrip(".").removeprefix("[").removesuffix("]").strip()
        found.append(int(word) if word.isdigit() else _unquoted(word))
    return tuple(found)


def _of_body(body: Mapping[str, Any]) -> Iterator[str]:
    for lifecycle in _objects(body.get("lifecycle")):
        listed = lifecycle.get("ignore_changes")
        for each in listed if isinstance(listed, list) else [listed]:
            if isinstance(each, str):
                yield each


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """JSON syntax allows an object, or a list of objects, for a block."""
    return [
        each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)
    ]


def _unquoted(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] == '"':
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return word
