"""Print log records: one line an event, coloured by task, or one JSON document a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TextIO

from ops.aws.facts import LogEvent
from ops.core import streams, ui
from ops.core.log_level import level
from ops.core.redaction.redact import redact_lines
from ops.core.terminal.style import STYLES, wants_colour
from ops.ecs.rules.log_merge import LogRecord
from ops.ecs.rules.log_sources import stream_owner

SHORT_ID = 12  # characters of a task's id, as the tables show it
# red and yellow are left to errors and warnings
_TASK_COLOURS = ("36", "35", "34", "32", "96", "95", "94", "92")
_LEVEL_COLOURS = {"error": STYLES["refused"], "warning": STYLES["warn"]}


@dataclass
class LogPrinter:
    """Write records to a stream, redacted. `count`: the events written so far.

    `show_container`: print the container's name too; set it where there are several.
    """

    stream: TextIO
    service: str
    json: bool = False
    colour: bool = False
    show_container: bool = False
    count: int = 0
    _colours: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, stream: TextIO, service: str, *, json: bool) -> LogPrinter:
        """A printer for this process's standard output."""
        return cls(stream, service, json, not json and wants_colour(stream))

    @property
    def closed(self) -> bool:
        """Whether nothing reads the output any more, or it cannot be written."""
        return streams.reader_gone(self.stream)

    def write(self, records: Sequence[LogRecord]) -> None:
        """Write the events of the records, in their order."""
        if not records:
            return
        events = [event for record in records for event in record.events]
        texts = redact_lines(event.message.rstrip("\r\n") for event in events)
        if self.json:
            lines: Iterable[str] = map(self._document, events, texts)
        else:
            levels = self._levels(records) if self.colour else [None] * len(events)
            lines = map(self._line, events, texts, levels)
        self.stream.write("\n".join(lines) + "\n")
        self.stream.flush()
        self.count += len(events)

    def _document(self, event: LogEvent, text: str) -> str:
        task, container = stream_owner(event.stream)
        return json.dumps(
            {
                "at": datetime.fromtimestamp(event.at / 1000, UTC).isoformat(
                    timespec="milliseconds"
                ),
                "service": self.service,
                "task": task or None,
                "container": container or None,
                "message": text,
            },
            ensure_ascii=False,
        )

    def _levels(self, records: Iterable[LogRecord]) -> list[str | None]:
        """The level of each event; the lines of a stack trace have the worst one of its record."""
        found: list[str | None] = []
        for record in records:
            levels = [level(event.message) for event in record.events]
            worst = "error" if "error" in levels else None
            found += [each or worst for each in levels] if len(levels) > 1 else levels
        return found

    def _line(self, event: LogEvent, text: str, found: str | None) -> str:
        task, container = stream_owner(event.stream)
        name = task[:SHORT_ID] if task else event.stream[-2 * SHORT_ID :]
        if self.show_container and container:
            name += f" {container}"
        at = _clock_time(event.at)
        text = ui.plain(text)
        if "\n" in text:
            text = text.replace("\n", "\n" + " " * (len(at) + len(name) + 2))
        if not self.colour:
            return f"{at} {name} {text}"
        paint = self._colours.setdefault(name, _TASK_COLOURS[len(self._colours) % 8])
        if found:
            text = f"\x1b[{_LEVEL_COLOURS[found]}m{text}\x1b[0m"
        return f"\x1b[2m{at}\x1b[0m \x1b[{paint}m{name}\x1b[0m {text}"


def _clock_time(at: int) -> str:
    """Local time; with the date if it is not today."""
    return _time_of_second(at // 1000, date.today())


@lru_cache(maxsize=1_000)
def _time_of_second(second: int, today: date) -> str:
    when = datetime.fromtimestamp(second)
    return f"{when:%H:%M:%S}" if when.date() == today else f"{when:%m-%d %H:%M:%S}"
