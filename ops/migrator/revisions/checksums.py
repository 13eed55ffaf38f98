"""What was applied, as one number: a revision's meaning, so that comments, docstrings and layout
don't change it.

The file is parsed, and every node is written down by its own rule (`ast.dump` and `ast.unparse`
differ from one Python to the next). The downgrade is left out: it has not run yet, and a mistake in
it must be mendable. SQL files beside the revision (`0003_x.sql`) count too, without their comments.
Modules that a revision imports do not, nor what only `db.verify` and `db.lint` read (ABOUT)."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.migrator.model import MigrateError
from ops.migrator.revisions.sql_tokens import statements

_IGNORED_FIELDS = frozenset(
    {"ctx", "type_params", "kind", "type_comment", "returns", "annotation", "lineno"}
)
_DOWNGRADE = "downgrade"
METADATA = ("keeps_data", "phase", "waive")


def checksum(file: Path) -> str:
    """Sixteen hexadecimal digits over the revision's meaning and its SQL files'."""
    found: list[str] = []
    _serialize(ast.parse(file.read_bytes()), found)
    digest = hashlib.sha256("".join(found).encode("utf-8", "surrogatepass"))
    for beside in _sql_files(file):
        text = beside.read_text(encoding="utf-8", errors="surrogateescape")
        digest.update("\x1f".join(statements(text)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _sql_files(file: Path) -> list[Path]:
    """`0003_x.sql`, `0003_x.up.sql` beside `0003_x.py`; by plain names, since a glob of many
    revisions' folder is dear.
    """
    begin, names = f"{file.stem}.", os.listdir(file.parent)  # noqa: PTH208 - names alone
    return [
        file.parent / name
        for name in sorted(
            name for name in names if name.startswith(begin) and name.endswith(".sql")
        )
    ]


def _serialize(node: Any, found: list[str]) -> None:
    """A node's kind and its fields, in a form that all Pythons share: what is empty is left out."""
    if isinstance(node, ast.AST):
        found.append(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            if name not in _IGNORED_FIELDS and value is not None and value != []:
                found.append(f" {name}=")
                _serialize(value, found)
        found.append(")")
    elif isinstance(node, list):
        for item in node:
            if not (
                _is_string_statement(item)
                or getattr(item, "name", None) == _DOWNGRADE
                or _is_metadata(item)
                or _is_future_import(item)
            ):
                _serialize(item, found)
    else:
        found.append(repr(node))


def _is_string_statement(node: Any) -> bool:
    """A docstring, or a string that stands alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_metadata(node: Any) -> bool:
    """What a revision says of itself, for its proof and the linter: it changes nothing that is
    applied.
    """
    return (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and getattr(node.targets[0], "id", None) in METADATA
    )


def _is_future_import(node: Any) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def check_edits(
    applied: Mapping[str, Path], remembered: Mapping[str, str], accepted: str | None
) -> dict[str, str]:
    """The checksums to remember: of revisions applied by another tool, and of the one whose edit is
    accepted by name.

    Raises MigrateError (refused) for any other that is not what was applied.
    """
    new = {}
    for revision, file in applied.items():
        found = checksum(file)
        if revision not in remembered or (revision == accepted and remembered[revision] != found):
            new[revision] = found
        elif remembered[revision] != found:
            why = (
                f"{file.name} is not what was applied (checksum {remembered[revision]}, now "
                f"{found})"
            )
            how = (
                f"take the edit back and write a new revision; where both mean the same: "
                f"--accept-edit {revision}"
            )
            raise MigrateError(
                "refused", f"revision {revision} was edited after it was applied", why, how
            )
    return new
