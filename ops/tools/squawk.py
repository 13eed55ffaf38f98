"""squawk, the linter of migrations (PyPI `squawk-cli`), run once over all revisions."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.core.errors import ConfigError, OpsError
from ops.core.redaction.redact import one_line
from ops.tools import shell

_TIMEOUT = 60.0  # seconds
_EXIT_CODES = (0, 1)  # of a run that completed


@dataclass(frozen=True)
class Linted:
    """A finding; `line` counts from 1."""

    rule: str
    line: int
    message: str


def lint(scripts: Mapping[str, str], major: int | None) -> dict[str, tuple[Linted, ...]]:
    """Lint scripts with squawk and return the findings of each, by name.

    `major` is PostgreSQL's major version; None: squawk's default. Raises ConfigError if squawk is
    not installed, or OpsError.
    """
    if not scripts:
        return {}
    program = shutil.which("squawk", path=str(Path(sys.executable).parent)) or shutil.which(
        "squawk"
    )
    if program is None:
        why = "squawk was not found next to this Python or on PATH"
        raise ConfigError("db.lint needs squawk", why, "pip install squawk-cli, or use ./inv")
    with tempfile.TemporaryDirectory() as folder:
        for name, sql in scripts.items():
            (Path(folder) / f"{name}.sql").write_text(sql, encoding="utf-8")
        version = ["--pg-version", f"{major}.0"] if major else []
        files = [f"{name}.sql" for name in scripts]
        done = shell.run(
            [program, "--reporter", "Json", *version, *files], cwd=folder, timeout=_TIMEOUT
        )
    if done.exit_code not in _EXIT_CODES:
        raise OpsError(
            "squawk", one_line(done.stderr) or f"exit code {done.exit_code}", "see: squawk --help"
        )
    return _parse_findings(done.stdout, scripts)


def _parse_findings(text: str, scripts: Mapping[str, str]) -> dict[str, tuple[Linted, ...]]:
    try:
        rows = json.loads(text or "[]")
        found: dict[str, list[Linted]] = {name: [] for name in scripts}
        for row in rows:
            message = " ".join(part for part in (row["message"], row.get("help")) if part)
            found[Path(row["file"]).stem].append(
                Linted(row["rule_name"], int(row["line"]) + 1, " ".join(message.split()))
            )
    except (ValueError, KeyError, TypeError):
        raise OpsError(
            "squawk", f"it answered {one_line(text)[:200]!r}", "pip install the pinned squawk-cli"
        ) from None
    return {name: tuple(rows) for name, rows in found.items()}
