"""`SERVICE.status --watch`: the screen, redrawn until q or Ctrl-C."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ops.core import ui
from ops.core.errors import Interrupted
from ops.core.keys import Wait, quit_key
from ops.core.terminal import layout
from ops.core.terminal.live_screen import Line, LiveScreen, NoScreen, can_redraw
from ops.core.text import format_age
from ops.health.status.model import ServiceScreen
from ops.health.status.render import BAD, DIM, GOOD, PLAIN, WAITING, WIDTH, as_text, lines

_STYLES = {GOOD: "ok", BAD: "failed", WAITING: "warn", PLAIN: "", DIM: "dim"}
_AGE = re.compile(r"\b\d+ (?:s|min|h|days)\b")


def watch(
    read: Callable[[], ServiceScreen], pause_s: float, *, json: bool, stream: Any = None
) -> int:
    """Read and show the screen until q or Ctrl-C; then leave its last state behind.

    Return the exit code: that of the last screen after q, 0 after Ctrl-C. Raises Interrupted for
    SIGTERM and SIGHUP. Without a terminal, print the lines that changed; with `json`, a document
    for each read.
    """
    output: _Screen | _ChangedLines | _Documents
    if json:
        output = _Documents(stream)
    elif sys.stdout.isatty() and can_redraw(sys.stdout):
        output = _Screen(pause_s)
    else:
        output = _ChangedLines()
    try:
        with quit_key(on_stop=output.pause, on_continue=output.resume) as wait:
            return _repeat(read, output, pause_s, wait)
    except Interrupted as interruption:
        if interruption.signal_name != "SIGINT":
            raise
        return 0
    finally:
        output.close()


def _repeat(read: Callable[[], ServiceScreen], output: Any, pause_s: float, wait: Wait) -> int:
    """Show the screen again and again; return the exit code of the last one when q is pressed."""
    while True:
        screen = read()
        output.show(screen)
        if wait(pause_s):
            return screen.exit_code


class _Documents(NoScreen):
    """One JSON document a line, one for each read."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def show(self, screen: ServiceScreen) -> None:
        ui.write_document(self.stream, screen.document)


class _ChangedLines(NoScreen):
    """The whole screen first, then each line that changed in more than an age, with its time."""

    def __init__(self) -> None:
        self.printed: set[str] = set()

    def show(self, screen: ServiceScreen) -> None:
        text = as_text(screen).splitlines()
        if not self.printed:
            ui.print_text("\n".join(text))
        else:
            for line in text:
                if _without_ages(line) not in self.printed:
                    ui.print_text(f"{screen.at:%H:%M:%S}  {line.strip()}")
        self.printed = {_without_ages(line) for line in text}


def _without_ages(line: str) -> str:
    return " ".join(_AGE.sub("", line).split())


class _Screen:
    """The terminal's alternate screen."""

    def __init__(self, pause_s: float) -> None:
        self.last: ServiceScreen | None = None
        self.footer = f"every {format_age(pause_s)} · q quits"
        self.screen = LiveScreen(sys.stdout, self._picture)
        self.screen.start()

    def show(self, screen: ServiceScreen) -> None:
        self.last = screen
        self.screen.refresh()

    def pause(self) -> None:
        self.screen.pause()

    def resume(self) -> None:
        self.screen.start()

    def _picture(self, width: int, height: int) -> Iterable[Line]:
        if self.last is None:
            return [(("reading …", "dim"),)]
        found: list[Line] = [
            ((line.text, _STYLES[line.style]),) for line in lines(self.last, max(width, 40))
        ]
        clock = f"{self.last.at:%H:%M:%S} UTC · {self.footer}".rjust(width)
        blank = [()] * (height - 1 - len(found))
        return [*found[: height - 1], *blank, ((clock, "dim"),)]

    def close(self) -> None:
        """Leave the alternate screen, and print what it showed last."""
        self.screen.end()
        if self.last is not None:
            width = layout.width_of(sys.stdout) or WIDTH
            print(layout.fitted(as_text(self.last, width), sys.stdout), flush=True)
