"""Assembles the namespaces and their defaults; nothing else happens here (`ops/tasks/` holds the
front doors).
"""

from __future__ import annotations

from ops.tasks.assembly import build_collection

ns = build_collection()
