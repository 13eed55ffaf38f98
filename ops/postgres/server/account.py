"""The account that PostgreSQL runs under: ours, or as root an unprivileged one.

initdb and postgres refuse root.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.core.errors import OpsError

_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """User and group for a child process; `separate` if they are not ours."""

    uid: int
    gid: int
    separate: bool

    def identity(self) -> dict[str, Any]:
        """Arguments for subprocess that run the child under this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.separate else {}

    def own(self, path: Path) -> None:
        """Give `path` to this account."""
        if self.separate:
            os.chown(path, self.uid, self.gid)

    def reaches(self, folder: Path) -> bool:
        """Whether a process of this account can enter `folder` and all its parents."""
        try:
            tried = subprocess.run(
                ["/bin/sh", "-c", 'cd "$1"', "sh", folder],
                cwd="/",
                capture_output=True,
                timeout=10,
                **self.identity(),
            )
        except PermissionError as exc:
            raise OpsError(
                "PostgreSQL can't be started as root, and no other account can be taken on",
                str(exc),
                "run it as an ordinary user",
            ) from exc
        return tried.returncode == 0


def choose() -> Account:
    """Our account, or as root the first of `_UNPRIVILEGED` that exists. Raises OpsError."""
    if os.geteuid() != 0:
        _refuse_nameless(os.geteuid())
        return Account(os.geteuid(), os.getegid(), separate=False)
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, _group(entry), separate=True)
    raise OpsError(
        "PostgreSQL refuses to run as root",
        "this machine has neither an account `postgres` nor `nobody`",
        "run it as an ordinary user",
    )


def _refuse_nameless(uid: int) -> None:
    """Refuse a uid without a name, as in some containers: initdb needs its user's name."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise OpsError(
            f"PostgreSQL can't run as user {uid}",
            f"the number {uid} has no entry in the user database, and initdb asks for its name",
            "run as a user with a name, or as root",
        ) from None


def _group(entry: pwd.struct_passwd) -> int:
    try:
        return grp.getgrgid(entry.pw_gid).gr_gid
    except KeyError:
        return entry.pw_gid
