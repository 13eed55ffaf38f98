"""Rules decide by keys, types and fields of errors: a reworded text changes no decision."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

OPS = Path(__file__).parents[2] / "ops"
RULES = [
    *sorted((OPS / "health").rglob("*.py")),
    *sorted((OPS / "preflight").rglob("*.py")),
    *sorted((OPS / "state" / "rules").glob("*.py")),
]
TEXTS = {"detail", "label", "summary", "why", "what"}
DISPLAYED = {"check", "below", "above", "change", "problem"}  # have a display name
METHODS = {
    "endswith",
    "find",
    "index",
    "match",
    "partition",
    "removeprefix",
    "removesuffix",
    "rsplit",
    "search",
    "split",
    "startswith",
}


def reads_text(node: ast.AST) -> bool:
    """Whether the expression is a message, or the display name of a check."""
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    return node.attr in TEXTS or (node.attr == "name" and owner in DISPLAYED)


def text_decisions(tree: ast.AST) -> Iterator[int]:
    """Lines on which a text is compared, searched, or taken apart."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            if any(map(reads_text, (node.left, *node.comparators))):
                yield node.lineno
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in METHODS
            and any(map(reads_text, (node.func.value, *node.args)))
        ):
            yield node.lineno


# `--skip` takes the names that a person reads; a preflight check's name is its key
ALLOWED = {("ops/health/sweep.py", "check.name in names")}


def test_no_rule_reads_a_text() -> None:
    """No comparison and no search of a message, a label or a display name."""
    found = []
    for path in RULES:
        name = path.relative_to(OPS.parent).as_posix()
        lines = path.read_text().splitlines()
        found += [
            f"{name}:{number}: {lines[number - 1].strip()}"
            for number in text_decisions(ast.parse("\n".join(lines)))
            if not any(name == file and part in lines[number - 1] for file, part in ALLOWED)
        ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        'below.name.endswith(" tasks")',
        'check.label == "ecs · cluster"',
        "_DENIED.search(check.detail)",
        '"not found" in problem.why',
    ],
)
def test_the_walk_finds_a_decision_by_text(code: str) -> None:
    """It can fail: each way in which rules have read texts."""
    assert [*text_decisions(ast.parse(code))] == [1]
