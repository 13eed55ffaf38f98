"""A database's schema as data: its objects by kind and name, each with what defines it. Rules
compare it, adapters read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SchemaObject:
    """One object: `COLUMN` `public.projects.title` on `TABLE public.projects`, with its parts (see
    `ops.migrator.catalog`).
    """

    kind: str
    name: str
    on: str
    parts: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.kind} {self.name}"


DatabaseSchema = Mapping[str, SchemaObject]
