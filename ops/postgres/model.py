"""A database's schema as data: its objects by kind and name, with their definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SchemaObject:
    """One object: `COLUMN` `public.projects.title` on `TABLE public.projects`, with its parts.

    `parts`: see `ops.migrator.catalog`.
    """

    kind: str
    name: str
    on: str
    parts: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.kind} {self.name}"


DatabaseSchema = Mapping[str, SchemaObject]


@dataclass(frozen=True)
class ForeignKey:
    """A reference from `child` to `parent`; column names are quoted for SQL.

    `index`: the unique index on the referenced columns.
    """

    name: str
    child: str
    columns: tuple[str, ...]
    parent: str
    referenced: tuple[str, ...]
    on_delete: str = "a"
    on_update: str = "a"
    index: str = ""


@dataclass(frozen=True)
class Hook:
    """A trigger, a rule, or a view's own rewriting. `events`: insert, update, delete, truncate.

    `function`: the function that a trigger calls. `code`: a rule's definition; empty if unknown.
    """

    table: str
    what: str
    events: frozenset[str]
    each_row: bool
    function: str = ""
    code: str = ""

    def __str__(self) -> str:
        return self.what if self.what.startswith("view ") else f"{self.what} on {self.table}"


@dataclass(frozen=True)
class StoredFunction:
    """A function or procedure outside pg_catalog, by its name without schema."""

    name: str
    language: str
    volatile: bool
    body: str
    of_extension: bool = False

    @property
    def compiled(self) -> bool:
        return self.language in ("c", "internal")


@dataclass(frozen=True)
class Relations:
    """The foreign keys and hooks around some tables.

    `names`: a name in the SQL → the relation's name in this session. `roots`: a partition → its
    top-level partitioned table.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    roots: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[ForeignKey, ...] = ()
    hooks: tuple[Hook, ...] = ()

    def root(self, name: str) -> str:
        """The table, or the top-level table if `name` is a partition."""
        relation = self.names.get(name, name)
        return self.roots.get(relation, relation)

    def written(self, relation: str) -> str:
        """A relation's name as written in the SQL."""
        return next((name for name, known in self.names.items() if known == relation), relation)

    @property
    def tables(self) -> tuple[str, ...]:
        """Every table at an end of a foreign key, as written in the SQL."""
        return tuple(
            dict.fromkeys(
                self.written(table) for key in self.keys for table in (key.child, key.parent)
            )
        )

    def referring(self, table: str) -> tuple[ForeignKey, ...]:
        """The foreign keys that refer to a table or to one of its partitions."""
        return tuple(key for key in self.keys if self.root(key.parent) == self.root(table))

    def hooked(self, table: str, event: str) -> tuple[Hook, ...]:
        return tuple(
            hook
            for hook in self.hooks
            if event in hook.events and self.root(hook.table) == self.root(table)
        )
