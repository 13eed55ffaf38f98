"""`SERVICE.status --watch`: the screen, redrawn until q or Ctrl-C."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from ops.core import ui
from ops.core.keys import Wait, quit_key
from ops.ecs.display import can_redraw
from ops.health.status.model import ServiceScreen
from ops.health.status.render import as_text, lines

_AGE = re.compile(r"\b\d+ (?:s|min|h|days)\b")
_REDRAWS_A_SECOND = 4  # also after the terminal was resized


def watch(
    read: Callable[[], ServiceScreen], pause_s: float, *, json: bool, stream: Any = None
) -> None:
    """Read and show the screen until q or Ctrl-C; then leave its last state behind.

    Without a terminal, print the lines that changed; with `json`, a document for each read.
    """
    output: _Screen | _ChangedLines | _Documents
    if json:
        output = _Documents(stream)
    elif sys.stdout.isatty() and can_redraw(sys.stdout):
        output = _Screen()
    else:
        output = _ChangedLines()
    try:
        with quit_key() as wait:
            _repeat(read, output, pause_s, wait)
    except KeyboardInterrupt:
        pass
    finally:
        output.close()


def _repeat(read: Callable[[], ServiceScreen], output: Any, pause_s: float, wait: Wait) -> None:
    output.show(read())
    while not wait(pause_s):
        output.show(read())


class _Documents:
    """One JSON document a line, one for each read."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def show(self, screen: ServiceScreen) -> None:
        ui.write_document(self.stream, screen.document)

    def close(self) -> None:
        """Do nothing: no resource is open."""


class _ChangedLines:
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

    def close(self) -> None:
        """Do nothing: no resource is open."""


def _without_ages(line: str) -> str:
    return " ".join(_AGE.sub("", line).split())


class _Screen:
    """The terminal's alternate screen, which resizing cannot leave remains on."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.last: ServiceScreen | None = None
        self.console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        self.live = Live(
            get_renderable=self._picture,
            console=self.console,
            screen=True,
            refresh_per_second=_REDRAWS_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.live.start()

    def show(self, screen: ServiceScreen) -> None:
        self.last = screen
        self.live.refresh()

    def _picture(self) -> Any:
        from rich.text import Text

        if self.last is None:
            return Text("reading …", style="dim")
        found = Text(no_wrap=True, overflow="ellipsis")
        for line in lines(self.last, max(self.console.width, 40)):
            found.append(f"{line.text}\n", style=line.style)
        return found.append("q quits", style="dim")

    def close(self) -> None:
        """Leave the alternate screen, and print what it showed last."""
        self.live.stop()
        if self.last is not None:
            ui.print_text(as_text(self.last, max(self.console.width, 40)))
