"""What of the bundles stays on the host: those of living runs, whose modules are imported and whose
SQL is read late, and the newest.

A bundle's time is that of its last use, not of its installation: a run's start renews it. Standard
library only."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from ops.migrator.remote import run_store

_MAX_BUNDLES = {"site": 2, "code": 5}  # of each kind, by their last use


def touch(cache: Path, bundles: Mapping[str, str]) -> None:
    """A run begins with these; `bundles`: their names by kind."""
    for kind, name in bundles.items():
        with contextlib.suppress(OSError):  # who only tries the runner has none
            os.utime(cache / kind / name)


def prune(cache: Path) -> None:
    """Forget the longest unused ones beyond KEPT, whatever environment they were for, but for those
    of living runs.
    """
    living = [
        run.about().get("bundles") or {}
        for run in run_store.all_runs(cache / "runs")
        if run.lives()
    ]
    for kind, kept in _MAX_BUNDLES.items():
        at_work = {bundles.get(kind) for bundles in living}
        with contextlib.suppress(OSError):  # another run's start prunes at the same moment
            found = [path for path in (cache / kind).iterdir() if not path.name.startswith(".")]
            for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[kept:]:
                if path.name not in at_work:
                    shutil.rmtree(path, ignore_errors=True)
