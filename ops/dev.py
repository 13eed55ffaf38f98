"""Development commands: static checks, tests, benchmarks.

Each is a program of the environment that `inv` itself runs in (`sys.executable -m …`), started in
the project's root, in a process session of its own that is interrupted once. Its lines are passed
through as they come, and its exit code is returned.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ops.core import ui
from ops.tools import shell

_RUFF = ("ruff", "check", "--output-format=concise", ".")
_MYPY = ("mypy",)  # pyproject.toml configures strictness and files
# One file per worker: the tests of a file share expensive fixtures (a running platform);
# tests/conftest.py starts the long files first. Half of a test's time is waiting, so there are two
# workers per core. More than four only compete for the disk.
_PYTEST = (
    "pytest",
    "--dist=loadfile",
    "--no-loadscope-reorder",
    f"--numprocesses={min(2 * (os.cpu_count() or 1), 4)}",
)
_OPERATOR_PREFIXES = ("AWS_", "INVOKE_")


def test(root: Path, *, select: str | None = None) -> int:
    """Run the static checks, then all tests or those that match `select` (pytest's `-k`).

    pytest's closing line comes last. Returns the first exit code that is not 0. The tests run even
    if a check fails, so that one run reports everything.
    """
    chosen = () if select is None else ("-k", select)
    return _first_failure([check(root), _run_module(root, *_PYTEST, *chosen)])


def check(root: Path) -> int:
    """Run ruff and mypy over the project; nothing is changed."""
    return _first_failure([_run_module(root, *_RUFF), _run_module(root, *_MYPY)])


def fix(root: Path) -> int:
    """Let ruff fix what it can; 1 if problems remain."""
    return _run_module(root, *_RUFF, "--fix")


def bench(root: Path) -> int:
    """Run every program in bench/, one at a time, so that none affects another's figures."""
    return _first_failure(
        [_run_module(root, f"bench.{path.stem}") for path in _programs(root / "bench")]
    )


def docs(root: Path) -> int:
    """Update the pages that are generated from the code."""
    return _run_module(root, "docs.gather")


def screens(root: Path, names: list[str]) -> int:
    """Take the pictures of docs/screens again, or those of these names; the sandbox must be up."""
    return _run_module(root, "bench.screens", *names)


def _programs(folder: Path) -> list[Path]:
    """The modules of a folder that can be run; the others are their helpers."""
    return [
        path
        for path in sorted(folder.glob("*.py"))
        if "__main__" in path.read_text(encoding="utf-8")
    ]


def _run_module(root: Path, *words: str) -> int:
    """Run `python -m WORDS` to its end and return its exit code."""
    ui.progress(f"{' '.join(words)} …")
    return shell.run(
        [sys.executable, "-m", *words],
        cwd=root,
        env=_without_settings(os.environ),
        on_line=_pass_on,
    ).exit_code


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the operator's account and settings.

    `INVOKE_ENV=prod` in a shell must not decide where a test acts.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_OPERATOR_PREFIXES)
    }


def _pass_on(line: str) -> None:
    print(line, flush=True)


def _first_failure(codes: Iterable[int]) -> int:
    return next((code for code in codes if code), 0)
