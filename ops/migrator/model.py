"""Input and output of the engine: frozen dataclasses that pass through JSON unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ops.migrator.revisions.user_code import exception_text

Kind = Literal["failed", "config", "refused", "unreachable", "timed_out"]
Direction = Literal["upgrade", "downgrade"]
ID_LIMIT = 32  # characters of alembic_version.version_num, as Alembic creates it


def split_heads(heads: str | None) -> tuple[str, ...]:
    """The revisions of a database, which are joined by commas; None or empty: there are none."""
    return tuple(heads.split(",")) if heads else ()


class MigrateError(Exception):
    """What failed, why, and the next command to type. `kind` decides the exit code."""

    def __init__(self, kind: Kind, what: str, why: str = "", next: str = "") -> None:
        self.kind, self.what, self.why, self.next = kind, what, why, next
        super().__init__(f"{what}: {why}")


Redact = Callable[[str, tuple[str, ...]], str]


def _mask(text: str, secrets: tuple[str, ...]) -> str:
    """`text` with each secret replaced by `***`; the default of `TargetDatabase.redact`."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


@dataclass(frozen=True)
class TargetDatabase:
    """A database, by libpq's parameters, and the folder with env.py and versions/.

    The parameters include the password and are never printed. `redact` removes secrets from texts
    of revisions and of the server before they are printed or stored in the audit.
    """

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
        """`text` on one line, without secrets, in characters that terminals and databases take."""
        line = " ".join(self.hide(exception_text(text)).split())
        return line.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()

    def hide(self, text: str) -> str:
        """`text` without the password and other secrets (`redact`)."""
        secret = str(self.parameters.get("password") or "")
        return self.redact(text, (secret,) if secret else ())


@dataclass(frozen=True)
class Limits:
    """Limits in seconds.

    `wait_s`: for the lock of another run; `lock_timeout_s`: for one table lock, then a retry;
    `total_s`: for the whole run.
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
    """Who runs which command from where, as in the audit. `run`: the run's id."""

    by: str
    host: str
    verb: str
    run: str


@dataclass(frozen=True)
class Revision:
    """A revision file: its id, the first line of its docstring, path and metadata (`METADATA`)."""

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
    """The result of a run.

    `before` and `after` are revisions, None for an empty database. `run` is the id in the audit;
    None if there was nothing to do.
    """

    before: str | None
    after: str | None
    applied: tuple[Applied, ...]
    run: str | None
