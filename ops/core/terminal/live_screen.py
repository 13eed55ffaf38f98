"""The terminal's alternate screen, redrawn as a whole: resizing leaves nothing behind.

What is on it is gone when it ends; the caller prints what is to stay. Lines that other parts of the
program print meanwhile are collected, and printed then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, TextIO

from ops.core.terminal.layout import cut, fitted
from ops.core.terminal.step import undisturbed
from ops.core.terminal.style import RICH_STYLES, is_dumb, is_terminal, painted

Line = tuple[tuple[str, str], ...]  # texts and their styles; PAINTED is by the text's own shape
PAINTED = "painted"
_REDRAWS_A_SECOND = 4
_MAX_RECENT = 60
_recent: deque[str] = deque(maxlen=_MAX_RECENT)
_screens: list[LiveScreen] = []


def cut_line(line: Line, width: int) -> Line:
    """The line in at most `width` characters; an ellipsis marks what was cut."""
    found: list[tuple[str, str]] = []
    for text, style in line:
        if width <= 0:
            break
        found.append((cut(text, width), style))
        width -= len(text)
    return tuple(found)


def can_redraw(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that can redraw."""
    return is_terminal(stream) and not is_dumb()


def recent_lines() -> tuple[str, ...]:
    """The last lines of progress, oldest first."""
    return tuple(_recent)


def take_line(line: str) -> bool:
    """Collect a line of progress; True while a screen is drawn, which prints it at its end."""
    _recent.extend(line.split("\n"))
    if not _screens:
        return False
    _screens[-1].collected.append(line)
    return True


class NoScreen:
    """An output that is printed, where another one has a screen: the terminal stays as it is."""

    def pause(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: no resource is open."""


class LiveScreen:
    """Draws the lines of `picture(width, height)` four times a second, and at `refresh`."""

    def __init__(self, stream: TextIO, picture: Callable[[int, int], Iterable[Line]]) -> None:
        self.stream, self._picture = stream, picture
        self.collected: list[str] = []
        self._live: Any = None
        self._resources = ExitStack()

    def start(self) -> None:
        """Show the screen. Idempotent."""
        if self._live is not None:
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self.stream, highlight=False, markup=False, emoji=False)
        self._resources.enter_context(undisturbed())
        self._live = Live(
            get_renderable=lambda: self._render(console),
            console=console,
            screen=True,
            refresh_per_second=_REDRAWS_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        if self not in _screens:
            _screens.append(self)
        self._live.start()

    def refresh(self) -> None:
        if self._live is not None:
            self._live.refresh()

    def pause(self) -> None:
        """Give the normal screen back, until `start`."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        self._resources.close()

    def end(self) -> None:
        """Give the normal screen back, and print the collected lines there. Idempotent."""
        self.pause()
        if self in _screens:
            _screens.remove(self)
        collected, self.collected = self.collected, []
        for line in collected:
            print(fitted(line, self.stream), file=self.stream, flush=True)

    def _render(self, console: Any) -> Any:
        from rich.text import Text

        found = Text(no_wrap=True, overflow="ellipsis", end="")
        lines = list(self._picture(console.width, console.height))
        for number, line in enumerate(lines):
            for text, style in line:
                if style == PAINTED:
                    found.append_text(Text.from_ansi(painted(text)))
                else:
                    found.append(text, style=RICH_STYLES.get(style, ""))
            found.append("\n" if number < len(lines) - 1 else "")
        return found
