"""The migration engine, which runs here and on the bastion: plain data in, plain data out.

It needs the standard library, Alembic, SQLAlchemy and psycopg, a folder with `env.py` and
`versions/`, and libpq's parameters. It imports nothing else of this project. What it adds to
Alembic: one runner at a time (`lock`), limits on every session (`connections`), retries after lock
timeouts (`runner`), no head recorded over an INVALID index (`indexes`), checksums of applied
revisions (`revisions.checksums`), and an audit that also records killed runs (`audit`).

Every failure is a `MigrateError`: what, why, next, and a `kind` that decides the exit code.
"""
