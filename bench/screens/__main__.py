"""Take the pictures of docs/screens: `inv dev.screens`, or some of them by their names.

Each is the real program in a terminal emulator, against the sandbox, which must be up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.emulator import EmulatedTerminal
from bench.screens.painter import DARK, LIGHT, Painter, Theme

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "screens"
_FAULTS = ("page-500", "tasks-unhealthy")
_CRASH = 'raise SystemExit("boom: no such setting DATABASE_URL")\n'
_SLOW = "import time\ntime.sleep(4)\n"


@dataclass(frozen=True)
class Shot:
    """A picture to take: `words` of the command, and when its screen is worth a picture.

    `before`: what is done to the sandbox first. `ready` gets the terminal and returns once the
    screen shows what the picture is about.
    """

    name: str
    words: tuple[str, ...]
    sizes: tuple[tuple[int, int, Theme], ...]
    ready: Callable[[EmulatedTerminal], None]
    before: Callable[[], None] = lambda: None
    end: str = ""  # keys that end it


def _ended(terminal: EmulatedTerminal) -> None:
    while terminal.read(0.1):
        pass


def _after(text: str, seconds: float = 0.0) -> Callable[[EmulatedTerminal], None]:
    def ready(terminal: EmulatedTerminal) -> None:
        terminal.wait_for(text, 120)
        terminal.watch(seconds)

    return ready


def _inv(*words: str) -> str:
    done = subprocess.run(
        [ROOT / "inv", *words], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.stdout


def _commit(message: str, change: Callable[[str], str]) -> None:
    """Commit and push a change of the sample backend's server."""
    import yaml

    overlay = yaml.safe_load((ROOT / ".sandbox/environment.yaml").read_text())
    source = Path(overlay["source"])
    server = source / "backend/server.py"
    server.write_text(change(server.read_text()))
    who = ("-c", "user.name=David", "-c", "user.email=david@example.com")
    for words in (
        ("commit", "--allow-empty", "-qam", message),
        ("push", "-q", "origin", "HEAD:main"),
    ):
        subprocess.run(["git", *who, *words], cwd=source, check=True)


def _mended(text: str) -> str:
    return text.removeprefix(_CRASH).removeprefix(_SLOW)


def _slow() -> None:
    _mend()
    _commit("Tell how many projects there are", lambda text: _SLOW + _mended(text))


def _crashing() -> None:
    _mend()
    _commit("Read the database's address from DATABASE_URL", lambda text: _CRASH + _mended(text))


def _mend() -> None:
    for fault in _FAULTS:
        _inv("sandbox.mend", fault)


def _healthy() -> None:
    _mend()
    _commit("Start without a pause", _mended)
    _inv("backend.deploy", "--skip", "tests")


def _broken_page() -> None:
    _healthy()
    _inv("sandbox.break", "page-500")


def _broken_tasks() -> None:
    _healthy()
    _inv("sandbox.break", "tasks-unhealthy")


def _shows_both(terminal: EmulatedTerminal) -> None:
    """Wait until new tasks run, and old ones are there still."""
    terminal.wait_for("2/2 running", 120)
    terminal.watch(2.5)


_DEPLOY = ("backend.deploy", "--skip", "tests")
_WATCH = ("health.all", "--watch", "5")
SHOTS = (
    Shot(
        "deploy",
        _DEPLOY,
        ((80, 24, DARK), (120, 40, LIGHT), (200, 50, DARK)),
        _shows_both,
        _slow,
    ),
    Shot("failure", _DEPLOY, ((80, 24, LIGHT), (120, 40, DARK)), _ended, _crashing),
    Shot("status", ("backend.status",), ((80, 24, DARK), (120, 40, LIGHT)), _ended, _healthy),
    Shot(
        "health-watch",
        _WATCH,
        ((80, 24, DARK), (120, 40, LIGHT), (200, 50, DARK)),
        _after("q quits", 7.0),
        _broken_page,
        "q",
    ),
    Shot(
        "troubleshoot",
        ("troubleshoot.all",),
        ((120, 40, DARK), (80, 24, LIGHT)),
        _ended,
        _broken_tasks,
    ),
)


def take(shot: Shot) -> Iterator[Path]:
    """Take a picture in each size; yield their paths."""
    environment = {
        name: text
        for name, text in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONPATH")
    }
    for columns, lines, theme in shot.sizes:
        shot.before()
        command = ["./inv", *shot.words]
        terminal = EmulatedTerminal(command, ROOT, environment, columns, lines)
        shot.ready(terminal)
        name = f"{shot.name}-{columns}x{lines}-{'dark' if theme is DARK else 'light'}.png"
        Painter(theme).save(terminal.screen, FOLDER / name)
        if shot.ready is not _ended:
            terminal.type(shot.end)
            terminal.ended()
        yield FOLDER / name


def main(names: list[str]) -> int:
    """Take the pictures of these names, all without one; the sandbox must be up."""
    if not json.loads(_inv("sandbox.status", "--json") or "{}").get("ready"):
        print("the sandbox is down: inv sandbox.up", file=sys.stderr)
        return 1
    for shot in SHOTS:
        if not names or shot.name in names:
            for path in take(shot):
                print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1024:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
