"""Assemble the namespaces and their defaults; the tasks themselves are in `ops/tasks/`."""

from __future__ import annotations

from ops.tasks.assembly import build_collection

ns = build_collection()
