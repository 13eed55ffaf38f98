"""What goes in and what comes out: frozen, made of words and numbers, so that it passes through
JSON to a far side and back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ops.migrator.revisions.user_code import exception_text

Kind = Literal["failed", "config", "refused", "unreachable", "timed_out"]
Direction = Literal["upgrade", "downgrade"]


class MigrateError(Exception):
    """What failed and where, why, and what to type next. `kind` decides the exit code."""

    def __init__(self, kind: Kind, what: str, why: str = "", next: str = "") -> None:
        self.kind, self.what, self.why, self.next = kind, what, why, next
        super().__init__(f"{what}: {why}")


Redact = Callable[[str, tuple[str, ...]], str]


def _mask(text: str, secrets: tuple[str, ...]) -> str:
    """`text` without these values; the least that a Target's `redact` does."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


@dataclass(frozen=True)
class TargetDatabase:
    """A database, by libpq's parameters (the password among them, so they are never shown), and the
    folder with env.py and versions/.

    `redact` removes secrets from the texts of revisions and of the server before they are printed
    or stored in the database's audit."""

    folder: str
    parameters: Mapping[str, Any] = field(repr=False)
    own_port: int | None = None  # the database's own, where `parameters` name a tunnel's
    redact: Redact = field(default=_mask, repr=False, compare=False)

    @property
    def where(self) -> str:
        known = self.parameters
        return (
            f"database {known.get('dbname', '(default)')} on "
            f"{known.get('host', '(default)')}:{self.own_port or known.get('port', 5432)}"
        )

    def clean(self, text: object) -> str:
        """`text` on one line, without secrets, in characters that a terminal and a database
        take.
        """
        line = " ".join(self.hide(exception_text(text)).split())
        return line.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()

    def hide(self, text: str) -> str:
        """`text` without the password and whatever else `redact` removes."""
        secret = str(self.parameters.get("password") or "")
        return self.redact(text, (secret,) if secret else ())


@dataclass(frozen=True)
class Limits:
    """Seconds. `wait_s`: for another runner to end; `lock_timeout_s`: for one lock, then another
    try; `total_s`: the whole run.
    """

    lock_timeout_s: float = 5.0
    statement_timeout_s: float = 1800.0
    idle_in_transaction_s: float = 300.0
    wait_s: float = 10.0
    retries: int = 5
    backoff_s: float = 0.5
    total_s: float | None = None


@dataclass(frozen=True)
class RunIdentity:
    """Who runs what from where: it stands in the audit and in pg_stat_activity. `run` is this run's
    own id.
    """

    by: str
    host: str
    verb: str
    run: str


@dataclass(frozen=True)
class Revision:
    """One file: its id, the first line of its docstring, where it is, and what it says of itself
    for its proof and the linter.
    """

    id: str
    says: str
    file: Path
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def as_document(self) -> dict[str, str]:
        return {"revision": self.id, "message": self.says}

    def __str__(self) -> str:
        return f"{self.id} {self.says}".strip()


@dataclass(frozen=True)
class Applied:
    revision: str
    took_s: float

    def as_document(self) -> dict[str, Any]:
        return {"revision": self.revision, "took_s": round(self.took_s, 3)}


@dataclass(frozen=True)
class MigrationOutcome:
    """`before` and `after` are revisions, None for an empty database. `run` is its id in the audit;
    None where there was nothing to do.
    """

    before: str | None
    after: str | None
    applied: tuple[Applied, ...]
    run: str | None
