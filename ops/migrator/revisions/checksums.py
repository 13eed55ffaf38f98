"""A checksum of what a revision does; comments, docstrings and layout don't change it.

The file is parsed, and every node is serialized by rules of our own, since `ast.dump` and
`ast.unparse` differ between Python versions. The downgrade is left out: it has not run yet, and a
mistake in it must remain correctable. SQL files of the revision (`0003_x.sql`) count too, without
their comments. Imported modules do not, nor does METADATA, which only `db.verify` and `db.lint`
read.
"""

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
    """Sixteen hexadecimal digits over the revision and its SQL files."""
    found: list[str] = []
    _serialize(ast.parse(file.read_bytes()), found)
    digest = hashlib.sha256("".join(found).encode("utf-8", "surrogatepass"))
    for beside in _sql_files(file):
        text = beside.read_text(encoding="utf-8", errors="surrogateescape")
        digest.update("\x1f".join(statements(text)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _sql_files(file: Path) -> list[Path]:
    """`0003_x.sql`, `0003_x.up.sql` next to `0003_x.py`.

    It compares names, because a glob per revision is slow in a large folder.
    """
    begin, names = f"{file.stem}.", os.listdir(file.parent)  # noqa: PTH208 - names alone
    return [
        file.parent / name
        for name in sorted(
            name for name in names if name.startswith(begin) and name.endswith(".sql")
        )
    ]


def _serialize(node: Any, found: list[str]) -> None:
    """Append a node's kind and its non-empty fields, in a form common to all Python versions."""
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
    """Whether it is a docstring or another string statement."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_metadata(node: Any) -> bool:
    """Whether it assigns a name of METADATA, which does not change what is applied."""
    return (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and getattr(node.targets[0], "id", None) in METADATA
    )


def _is_future_import(node: Any) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def check_edits(
    applied: Mapping[str, Path], remembered: Mapping[str, str], accept_edit: str | None
) -> dict[str, str]:
    """The checksums to store: of new revisions, and of those whose edit is accepted.

    `accept_edit`: their ids, joined by commas. Revisions that another tool applied are new. Raises
    MigrateError (refused) if any other revision differs from what was applied.
    """
    current = {revision: checksum(file) for revision, file in applied.items()}
    changed = {
        revision: found for revision, found in current.items() if remembered.get(revision) != found
    }
    edited = sorted(changed.keys() & remembered.keys())
    accepted = [each.strip() for each in (accept_edit or "").split(",")]
    refused = [each for each in edited if each not in accepted]
    if refused:
        names = ", ".join(refused)
        what = (
            f"revisions {names} were edited after they were applied"
            if len(refused) > 1
            else f"revision {names} was edited after it was applied"
        )
        why = "; ".join(
            f"{applied[each].name} differs from what was applied (checksum {remembered[each]}, now "
            f"{changed[each]})"
            for each in refused
        )
        how = (
            f"revert the edit and write a new revision; if both are equivalent: "
            f"--accept-edit {','.join(edited)}"
        )
        raise MigrateError("refused", what, why, how)
    return changed
