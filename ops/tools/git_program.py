"""git's own program: its environment, its output and its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import one_line
from ops.tools import shell

_TIMEOUT = 60.0
_PLAIN = ("-c", "core.quotePath=false", "-c", "color.ui=false", "-c", "log.showSignature=false")


def git_output(path: Path, *words: str, ok_codes: tuple[int, ...] = (0,)) -> str:
    """Run git and return its output. Raises ConfigError or OpsError with its last line.

    `ok_codes`: exit codes that are no error.
    """
    done = git(path, *words)
    if done.exit_code not in ok_codes:
        raise _translate_error(path, words[0], done)
    return done.stdout


def git(path: Path, *words: str) -> shell.Completed:
    """Run git in a folder, whatever its exit code."""
    return shell.run(
        ["git", *_PLAIN, *words], cwd=path, env=_environment(os.environ), timeout=_TIMEOUT
    )


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Our environment without GIT_*; in English, without prompts or locks on the index.

    A hook's GIT_DIR, for example, would point elsewhere.
    """
    inherited = {
        name: value
        for name, value in ours.items()
        if not name.startswith("GIT_") or name.startswith(("GIT_CONFIG", "GIT_EXEC", "GIT_CEILING"))
    }
    return {**inherited, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


def _translate_error(path: Path, command: str, done: shell.Completed) -> OpsError:
    text = done.stderr.strip()
    if "dubious ownership" in text:
        owned = re.search(r"repository at '([^']+)'", text)
        where = owned[1] if owned else str(path)
        return ConfigError(
            f"checkout {path}",
            "it belongs to another user, so git does not read it",
            f"git config --global --add safe.directory {where}",
        )
    if "not a git repository" in text or "must be run in a work tree" in text:
        return ConfigError(
            f"checkout {path}",
            "it is not a git work tree",
            f"git clone … {path}, or correct `source` in invoke.yaml",
        )
    last = one_line(text.splitlines()[-1]) if text else f"exit code {done.exit_code}"
    if "No space left" in text:
        return OpsError(
            f"git {command} in {path}",
            f"the disk is full ({last})",
            "free space (df -h), then run it again",
        )
    return OpsError(f"git {command} failed in {path}", last, f"git -C {path} status")
