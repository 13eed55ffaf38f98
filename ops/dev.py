"""What a developer of this project runs: the house's checks, the tests, the benchmarks.

Each is a program of the environment that `inv` itself runs in (`sys.executable -m …`), started in
the project's root, in a process session of its own with one interrupt handed on. Its lines pass
through as they come, and its exit code is the answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ops.core import ui
from ops.tools import shell

_RUFF = ("ruff", "check", "--output-format=concise", ".")
_MYPY = ("mypy",)  # strictness and files stand in pyproject.toml
# A file a worker: files share fixtures (a platform that is up) that are dear to make;
# tests/conftest.py has the long files begin first.
# Half of a test's time is waiting, so there are two workers to a core. More than four only fight
# for the disk.
_PYTEST = (
    "pytest",
    "--dist=loadfile",
    "--no-loadscope-reorder",
    f"--numprocesses={min(2 * (os.cpu_count() or 1), 4)}",
)
_MEANT_FOR_REAL_WORK = ("AWS_", "INVOKE_")


def test(root: Path, *, select: str | None = None) -> int:
    """The house's checks, then every test (or those that pytest's `-k` expression `select`
    matches); pytest's closing line comes last.

    Returns the first exit code that is not 0. The tests run even when a check fails: one run tells
    all."""
    chosen = () if select is None else ("-k", select)
    return _first_failure([check(root), _run_module(root, *_PYTEST, *chosen)])


def check(root: Path) -> int:
    """ruff and mypy over the project; nothing is changed."""
    return _first_failure([_run_module(root, *_RUFF), _run_module(root, *_MYPY)])


def fix(root: Path) -> int:
    """Let ruff mend what it can; 1 when something is left over."""
    return _run_module(root, *_RUFF, "--fix")


def bench(root: Path) -> int:
    """Every program in bench/, one after the other, so that none disturbs another's figures."""
    return _first_failure(
        [_run_module(root, f"bench.{path.stem}") for path in _programs(root / "bench")]
    )


def docs(root: Path) -> int:
    """Bring the pages that are gathered from the code up to date."""
    return _run_module(root, "docs.gather")


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
    """Without the operator's account and environment: `INVOKE_ENV=prod` in a shell must not decide
    where a test acts.
    """
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_MEANT_FOR_REAL_WORK)
    }


def _pass_on(line: str) -> None:
    print(line, flush=True)


def _first_failure(codes: Iterable[int]) -> int:
    return next((code for code in codes if code), 0)
