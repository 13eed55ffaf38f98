"""The docstrings of `ops/`: the length and the words of their first sentences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# packages (or modules) of ops/ whose docstrings are in plain technical English
CONVERTED = (
    "aws",
    "cdn",
    "core",
    "deploy",
    "dev",
    "ecs",
    "environment",
    "health",
    "http",
    "migrations",
    "migrator",
    "platform",
    "postgres",
    "preflight",
    "sandbox",
    "ssh",
    "state",
    "tasks",
    "terraform",
    "tools",
)
MAX_LENGTH = 90
BANNED_WORDS = (
    "told",
    "said",
    "shown",
    "looked",
    "seen",
    "kept",
    "anew",
    "ill",
    "whoever",
    "somebody",
    "anybody",
    "nobody",
    "is none",
    "there is none",
    "what is there",
    "that there is not",
    "roll-out",
)
BANNED = re.compile(rf"\b({'|'.join(BANNED_WORDS)})\b", re.IGNORECASE)
# a period, colon or question mark that ends a sentence, and not `e.g.`, `ops.aws` or `v1.2`
END = re.compile(r"[.:?](?=\s|$)(?<!e\.g\.)(?<!i\.e\.)")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    found = []
    for name in CONVERTED:
        path = ROOT / "ops" / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [path for path in found if "sample/platform" not in path.as_posix()]


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Name and docstring of a module and of each class and function in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield getattr(node, "name", "the module"), text


def objections(text: str) -> Iterator[str]:
    """What is wrong with the first sentence of a docstring."""
    line = text.splitlines()[0].rstrip()
    end = END.search(line)
    if end is None:
        yield "the first sentence does not end on the first line"
        return
    sentence = line[: end.end()]
    if len(sentence) > MAX_LENGTH:
        yield f"the first sentence has {len(sentence)} characters"
    if found := BANNED.search(sentence):
        yield f"the first sentence holds the word {found[0]!r}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_first_sentences_are_short_and_plain(path: Path) -> None:
    """At most 90 characters, on one line, with an end, in the field's words."""
    found = [
        f"{path.relative_to(ROOT)}: {name}: {objection}: {text.splitlines()[0]}"
        for name, text in docstrings(path)
        for objection in objections(text)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("Read an object (s3:GetObject); None if it does not exist.", ""),
        ("Tasks of a service:\n\n- running\n- stopped", ""),
        ("Every key\nbelow `prefix`.", "does not end on the first line"),
        ("What a task said last.", "'said'"),
        ("An ill check.", "'ill'"),
        (f"Read {'very ' * 20}much.", "characters"),
    ],
)
def test_a_first_sentence_is_judged(text: str, objection: str) -> None:
    """The rule itself: one example of each objection, and of none."""
    assert objection in " ".join(objections(text))
    assert bool(objection) == bool(list(objections(text)))
