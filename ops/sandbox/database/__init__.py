"""A real PostgreSQL with the runbook's schema, for the sandbox's platform.

`Server(paths, port)` finds PostgreSQL (the machine's, else a wheel's), initialises its data once,
and runs it on loopback; `server.py` documents where it differs from RDS. The project's own Alembic
revisions create the schema, once: a later `up` does not change the revision.
"""

from __future__ import annotations

from ops.sandbox.database.cluster import purge
from ops.sandbox.database.schema import Login
from ops.sandbox.database.server import Server

__all__ = ["Login", "Server", "purge"]
