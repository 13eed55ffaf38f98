"""Runs the revisions on a connection that the caller hands over, one transaction a revision.

The caller puts a SQLAlchemy `connection` or `engine` into `config.attributes`; a URL is never read,
so no password appears in alembic.ini, in an argument or in a traceback. Each revision has its own
transaction: a failing revision leaves every earlier one applied and recorded. Offline (`--sql`)
needs no database: the SQL goes to the configuration's output buffer.
"""

from __future__ import annotations

from alembic import context, util

OPTIONS = {"target_metadata": None, "transaction_per_migration": True}


def offline() -> None:
    """Write the SQL of the revisions, for PostgreSQL."""
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def online() -> None:
    """Run the revisions on the caller's connection, or on one of the caller's engine."""
    given = context.config.attributes
    if given.get("connection") is not None:
        migrate(given["connection"])
    elif given.get("engine") is not None:
        with given["engine"].connect() as connection:
            migrate(connection)
    else:
        raise util.CommandError(
            "these revisions run on a connection that is handed over; use `inv db.upgrade`"
        )


def migrate(connection) -> None:
    """Bring `connection`'s database to the revision that was asked for."""
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    offline()
else:
    online()
