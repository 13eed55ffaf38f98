"""Detect a revision that ends its own transaction: COMMIT, ROLLBACK, PREPARE TRANSACTION …

A setting made with SET LOCAL lasts exactly as long as its transaction. It takes no snapshot, so a
revision may still begin with SET TRANSACTION ISOLATION LEVEL, which `SELECT pg_current_xact_id()`
would prevent. RESET ALL removes the setting too; a second, session-level setting tells the two
apart.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
import sqlalchemy
from psycopg.pq import TransactionStatus

_MARK = "SET LOCAL ops.transaction = 'open'"
SESSION_MARK = "ops.session"
MARK_SESSION = f"set_config('{SESSION_MARK}', 'open', false)"
MARKS = (
    "coalesce(current_setting('ops.transaction', true), ''), "
    f"coalesce(current_setting('{SESSION_MARK}', true), '')"
)


class EndedTransaction(Exception):
    """The revision ended the transaction that it ran in."""

    def __init__(self) -> None:
        super().__init__("it ended its own transaction")


def mark(connection: sqlalchemy.Connection) -> bool:
    """Mark the transaction that begins now; False for an autocommit connection."""
    connection.exec_driver_sql(_MARK)
    return not driver_of(connection).autocommit


def mark_lost(marks: Any) -> bool:
    """Whether MARKS, as read, show that the marked transaction has ended."""
    transaction, session = marks
    return not transaction and bool(session)


def is_idle(driver: psycopg.Connection[Any]) -> bool:
    """Whether no transaction is open, according to the client."""
    return driver.info.transaction_status == TransactionStatus.IDLE


def has_ended(connection: sqlalchemy.Connection) -> bool:
    """Whether the marked transaction has ended; False if an aborted transaction can't be asked."""
    with suppress(psycopg.Error, sqlalchemy.exc.SQLAlchemyError):
        driver = driver_of(connection)
        if is_idle(driver):
            return True
        if driver.info.transaction_status == TransactionStatus.INTRANS:
            return mark_lost(driver.execute(f"SELECT {MARKS}").fetchone())
    return False


def driver_of(connection: sqlalchemy.Connection) -> psycopg.Connection[Any]:
    """The driver's connection."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found
