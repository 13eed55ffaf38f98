"""The migration engine: one runner, used from here and on a far side, so it knows nothing of ours:
plain data in, plain data out.

It needs the standard library, Alembic, SQLAlchemy and psycopg, a folder with `env.py` and
`versions/`, and libpq's parameters. What it adds to Alembic: one runner at a time (`lock`), limits
on every session (`sessions`), a retry where only a lock was in the way (`runner`), no head recorded
over an INVALID index (`indexes`), checksums of what was applied (`checksums`), and an audit that a
killed run leaves too (`audit`).

Everything that goes wrong is a `MigrateError`: what, why, what to do next, and a `kind` that says
which exit code it is."""
