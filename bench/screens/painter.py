"""Draw the screen of a terminal emulator as PNG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.emulator import EmulatedScreen

_SIZE = 13  # of the font, in pixels
_MARGIN = 8
_NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")


@dataclass(frozen=True)
class Theme:
    """The colours of a terminal: text, background, and the eight of ANSI."""

    text: str
    background: str
    colours: tuple[str, ...]

    def colour(self, name: str, *, default: str) -> str:
        """The colour of a cell, by pyte's name or as six hexadecimal digits."""
        if name == "default":
            return default
        plain = name.removeprefix("bright")
        return self.colours[_NAMES.index(plain)] if plain in _NAMES else f"#{name}"


DARK = Theme(
    "#d4d4d4",
    "#1e1e1e",
    ("#555555", "#f14c4c", "#23d18b", "#e5c07b", "#3b8eea", "#d670d6", "#29b8db", "#d4d4d4"),
)
LIGHT = Theme(
    "#24292f",
    "#ffffff",
    ("#24292f", "#cf222e", "#116329", "#9a6700", "#0550ae", "#8250df", "#1b7c83", "#57606a"),
)


class Painter:
    """Draws a screen cell by cell."""

    def __init__(self, theme: Theme) -> None:
        import fontpkg  # type: ignore[import-untyped]
        from PIL import ImageFont

        self.theme = theme
        path = fontpkg.path("Fira Code")
        self.fonts = {}
        for bold, weight in ((False, 400), (True, 700)):
            font = ImageFont.truetype(str(path), _SIZE, layout_engine=ImageFont.Layout.BASIC)
            font.set_variation_by_axes([weight])
            self.fonts[bold] = font
        self.width = round(self.fonts[False].getlength("m"))
        self.height = round(_SIZE * 1.4)

    def save(self, screen: EmulatedScreen, path: Path) -> None:
        from PIL import Image, ImageDraw

        size = (
            screen.columns * self.width + 2 * _MARGIN,
            screen.lines * self.height + 2 * _MARGIN,
        )
        image = Image.new("RGB", size, self.theme.background)
        draw = ImageDraw.Draw(image)
        for row in range(screen.lines):
            for column in range(screen.columns):
                self._cell(draw, screen, row, column)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.quantize(160).save(path, optimize=True)

    def _cell(self, draw: Any, screen: EmulatedScreen, row: int, column: int) -> None:
        cell = screen.buffer[row][column]
        text = self.theme.colour(cell.fg, default=self.theme.text)
        back = self.theme.colour(cell.bg, default=self.theme.background)
        if cell.reverse:
            text, back = back, text
        left, top = _MARGIN + column * self.width, _MARGIN + row * self.height
        if back != self.theme.background:
            draw.rectangle((left, top, left + self.width - 1, top + self.height - 1), fill=back)
        if cell.italics:  # dim: see EmulatedScreen
            text = _mixed(text, back)
        if cell.data.strip():
            self._glyph(draw, (left, top), cell.data, text, bold=cell.bold)

    def _glyph(self, draw: Any, at: tuple[int, int], text: str, colour: str, *, bold: bool) -> None:
        """Draw a character; those that the font does not have are drawn by strokes and dots."""
        left, top = at
        w, h = self.width, self.height
        if text == "✗":
            box = left + 1, top + h // 2 - 3, left + w - 1, top + h // 2 + 4
            draw.line((box[0], box[1], box[2], box[3]), fill=colour, width=2)
            draw.line((box[0], box[3], box[2], box[1]), fill=colour, width=2)
        elif text == "✓":
            y = top + h // 2
            points = (left, y), (left + w // 3, y + 3), (left + w - 1, y - 4)
            draw.line(points, fill=colour, width=2)
        elif text == "↺":
            y = top + h // 2
            draw.arc((left, y - 3, left + w - 1, y + 4), 300, 210, fill=colour, width=1)
            draw.polygon(((left, y - 5), (left, y), (left + 4, y - 2)), fill=colour)
        elif "\u2800" <= text <= "\u28ff":
            for x, y in _dots(ord(text) - 0x2800):
                dot = left + 1 + x * 3, top + 4 + y * 3
                draw.rectangle((*dot, dot[0] + 1, dot[1] + 1), fill=colour)
        elif text in "▓░":
            shade = colour if text == "▓" else _mixed(colour, self.theme.background)
            draw.rectangle((left, top + 3, left + w - 1, top + h - 4), fill=shade)
        else:
            draw.text((left, top + 1), text, fill=colour, font=self.fonts[bold])


def _dots(bits: int) -> Iterator[tuple[int, int]]:
    """Columns and rows of the dots of a braille pattern."""
    places = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    return (place for number, place in enumerate(places) if bits >> number & 1)


def _mixed(colour: str, background: str) -> str:
    """Halfway between two colours, as a terminal shows dim text."""
    parts = [(int(colour[n : n + 2], 16), int(background[n : n + 2], 16)) for n in (1, 3, 5)]
    return "#" + "".join(f"{round(a * 0.55 + b * 0.45):02x}" for a, b in parts)
