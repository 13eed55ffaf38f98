"""A session in a task, with the part of psycopg's interface that our reads use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_Ask = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class SessionInfo:
    """What psycopg's `connection.info` says."""

    server_version: int


class TaskCursor:
    """The rows of one statement."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = list(rows)
        self._next = 0

    def fetchone(self) -> Any:
        found = self._rows[self._next : self._next + 1]
        self._next += 1
        return found[0] if found else None

    def fetchall(self) -> list[Any]:
        found, self._next = self._rows[self._next :], len(self._rows)
        return found

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


class TaskSession:
    """One session of PostgreSQL, opened in a task; `ask` sends a request and returns its reply."""

    def __init__(self, ask: _Ask, server_version: int) -> None:
        self._ask = ask
        self.info = SessionInfo(server_version)
        self.closed = False
        self.read_only = False

    def execute(self, sql: str, parameters: Any = None) -> TaskCursor:
        """Run a statement. Raises psycopg's errors, by their SQLSTATE."""
        return TaskCursor([tuple(row) for _, row in self._run(sql, parameters)])

    def _run(self, sql: str, parameters: Any) -> list[tuple[list[str], Sequence[Any]]]:
        reply = self._ask({"verb": "query", "sql": sql, "parameters": parameters})
        if "failed" in reply:
            raise _error(reply["failed"])
        names = [name for name, _ in reply["columns"]]
        load = _loader([oid for _, oid in reply["columns"]])
        return [(names, load(row)) for row in reply["rows"]]

    @contextmanager
    def cursor(self, row_factory: Any = None) -> Iterator[_DictCursor]:
        """A cursor whose rows are dictionaries (psycopg's `dict_row`)."""
        yield _DictCursor(self)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, read-only if the session is."""
        self.execute(f"BEGIN{' READ ONLY' if self.read_only else ''}")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def close(self) -> None:
        """Nothing: the session ends with its task."""


class _DictCursor:
    def __init__(self, session: TaskSession) -> None:
        self._session = session

    def execute(self, sql: str, parameters: Any = None) -> TaskCursor:
        rows = self._session._run(sql, parameters)
        return TaskCursor([dict(zip(names, row, strict=True)) for names, row in rows])


def _loader(oids: list[int]) -> Callable[[list[str | None]], tuple[Any, ...]]:
    """Converts a row of PostgreSQL's texts to Python's values, as psycopg does."""
    from psycopg.adapt import Transformer
    from psycopg.pq import Format

    transformer = Transformer()
    transformer.set_loader_types(oids, Format.TEXT)

    def load(row: list[str | None]) -> tuple[Any, ...]:
        return transformer.load_sequence([None if text is None else text.encode() for text in row])

    return load


def _error(failed: dict[str, Any]) -> Exception:
    """psycopg's error of a SQLSTATE; a connection's errors have none."""
    from psycopg import OperationalError, errors

    try:
        kind = errors.lookup(str(failed["sqlstate"]))
    except KeyError:
        kind = OperationalError
    return kind(failed["message"])
