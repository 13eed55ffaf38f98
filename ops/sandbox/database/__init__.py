"""A real PostgreSQL with the runbook's schema, for the platform of the sandbox.

`Server(paths, port)` finds PostgreSQL (the machine's, else a wheel's), makes its data once, and
runs it on loopback; see `server.py` for where it differs from RDS. The schema is made by the
project's own Alembic revisions, once: a later `up` leaves the revision where it is."""

from __future__ import annotations

from ops.sandbox.database.cluster import purge
from ops.sandbox.database.schema import Login
from ops.sandbox.database.server import Server

__all__ = ["Login", "Server", "purge"]
