"""Prune the code bundles on the bastion: keep those of active runs, and the newest.

A bundle's time is that of its last use: each start of a run renews it. Active runs need theirs,
because modules and SQL files are read late. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ops.migrator.remote import run_store

_MAX_BUNDLES = {"site": 2, "code": 5}  # of each kind, by their last use


def touch(cache: Path, bundles: Mapping[str, str | None]) -> None:
    """Mark these bundles (kind: name) as used now."""
    for kind, name in bundles.items():
        if name:
            with contextlib.suppress(OSError):  # a run without bundles (tests) has none
                os.utime(cache / kind / name)


def prune(cache: Path) -> None:
    """Remove the least recently used bundles beyond `_MAX_BUNDLES`, except those of active runs."""
    living = [
        run.details().get("bundles") or {}
        for run in run_store.all_runs(cache / "runs")
        if run.is_running()
    ]
    for kind, kept in _MAX_BUNDLES.items():
        at_work = {bundles.get(kind) for bundles in living}
        with contextlib.suppress(OSError):  # another run's start prunes at the same moment
            found = [path for path in (cache / kind).iterdir() if not path.name.startswith(".")]
            for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[kept:]:
                if path.name not in at_work:
                    shutil.rmtree(path, ignore_errors=True)
