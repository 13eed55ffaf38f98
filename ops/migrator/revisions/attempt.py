"""The revision being run, and what is known about it when it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ops.migrator.indexes import IndexName
from ops.migrator.revisions.blockers import Blocker
from ops.migrator.revisions.sql_tokens import ends_transactions
from ops.migrator.revisions.user_code import current_line


@dataclass
class RevisionAttempt:
    """One attempt to run a revision.

    `outside`: it left its transaction (`autocommit_block`), so parts of it may remain after a
    failure.
    """

    revision: str
    file: Path
    began: float
    outside: bool = False
    invalid_before: frozenset[IndexName] = frozenset()
    statements: list[str] = field(default_factory=list)
    running: bool = False  # its own code is running
    in_block: bool = False  # within `autocommit_block`
    marked: bool = False  # its transaction has a mark, see `transactions`
    control_text: str = ""  # that statement as it was sent
    control: str = ""  # the first COMMIT, ROLLBACK … that it sent: `COMMIT, line 9`
    ended: bool = False  # its transaction had ended when it failed
    completed: int = 0  # statements that succeeded, as SQLAlchemy reports them
    blockers: tuple[Blocker, ...] = ()  # what it waited for most recently
    remains: tuple[str, ...] = ()  # what a failed CONCURRENTLY left and could not be removed
    finalize: tuple[str, ...] = ()  # statements for the partitions that it left pending detach
    leaves: bool = False  # temporary tables and the like are left in its session

    def concurrently(self) -> list[str]:
        """Statements with CONCURRENTLY, and its SQL file, which SQLAlchemy does not report."""
        return [*self.statements, *self.sql_file()]

    def sql_file(self) -> list[str]:
        beside = self.file.with_suffix(".sql")
        return [beside.read_text(errors="replace")] if beside.exists() else []

    def note_control(self, statement: str) -> None:
        """Record the first statement that ends the revision's transaction, with its line."""
        if self.running and not self.in_block and not self.control:
            for found in ends_transactions(statement):
                line = current_line(self.file)
                self.control = f"{found}, line {line}" if line else found
                self.control_text = statement
                return

    def note_failure(self) -> None:
        """After a failure, read its SQL file too, which SQLAlchemy does not report."""
        for text in self.sql_file() if not (self.control or self.outside) else ():
            self.control = next(ends_transactions(text), "")

    @property
    def may_stay(self) -> bool:
        """Whether part of it may persist although it failed."""
        return self.committed_outside or self.ended or bool(self.control)

    @property
    def committed_outside(self) -> bool:
        """Whether it left its transaction, and something of that may persist."""
        left = self.completed or self.remains or self.finalize or self.sql_file()
        return self.outside and bool(left)
