"""`inv WORDS` in a fork of a process that has loaded our dependencies once: loading them is half of
what a short run costs.

The fork has an environment, a folder, standard streams and an exit code of its own, and imports
`ops` from the checkout it is run in. What is typed in a terminal, `python -m invoke`, differs in
nothing but that; `tests/deploy/deploying.py` starts that one."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOADED = [
    "alembic.config",
    "boto3",
    "docker",
    "fabric",
    "httpcore",
    "httpx",
    "invoke.main",
    "pglast",
    "psycopg",
    "pydantic.fields",
    "pydantic.json_schema",
    "pydantic.main",
    "pydantic.types",
    "sqlalchemy",
    "statistics",
    "yaml",
]


def forks() -> Any:
    """Where they come from: one process for each of pytest's workers, which ends with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


def inv(
    root: Path, words: tuple[str, ...], environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run it to its end. Raises TimeoutExpired after `timeout` seconds, when it has been killed."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, "out"), Path(folder, "err")]
        process = forks().Process(target=enter, args=(root, words, dict(environment), said))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(
                list(words), timeout, *(path.read_bytes() for path in said)
            )
        out, err = (path.read_text(encoding="utf-8") for path in said)
        return subprocess.CompletedProcess(["inv", *words], process.exitcode, out, err)


def enter(
    root: Path, words: tuple[str, ...], environment: dict[str, str], said: list[Path]
) -> None:
    """In the fork: become what `python -m invoke WORDS` would be there."""
    for number, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [str(root), *(folder for folder in sys.path if folder not in ("", str(ROOT)))]
    sys.dont_write_bytecode = False
    sys.argv = ["inv", "--search-root", str(root), *words]
    from invoke.main import program

    try:
        program.run()
    finally:
        atexit._run_exitfuncs()
