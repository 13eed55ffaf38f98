"""The revision under way, and what is known of it when it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ops.migrate.indexes import Name


@dataclass
class Doing:
    """The revision under way. `outside`: it left its transaction, so that a part of it may stay whatever happens."""

    revision: str
    file: Path
    began: float
    outside: bool = False
    invalid_before: frozenset[Name] = frozenset()
    statements: list[str] = field(default_factory=list)

    def concurrently(self) -> list[str]:
        """What it ran concurrently, that in its SQL file too, which goes past SQLAlchemy."""
        beside = self.file.with_suffix(".sql")
        return [*self.statements, *([beside.read_text(errors="replace")] if beside.exists() else [])]
