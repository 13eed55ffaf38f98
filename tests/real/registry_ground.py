"""A real registry (Debian's docker-registry) on loopback: without login, its images in a folder of
its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.factories import free_port
from tests.waiting import until

CONFIG = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}
http:
  addr: {place}
"""


@contextmanager
def registry(program: str, folder: Path, place: str = "") -> Iterator[str]:
    """One that runs until the block ends; its `host:port`, a free one unless `place` names it."""
    place, config = place or f"127.0.0.1:{free_port()}", folder / "registry.yml"
    config.write_text(CONFIG.format(folder=folder / "registry", place=place))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        until(lambda: _answers(place), 20)
        yield place
    finally:
        process.terminate()
        process.wait(10)


def _answers(place: str) -> bool:
    try:
        return httpx.get(f"http://{place}/v2/", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
