"""Fold the events of a service: equal neighbours are counted (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from ops.aws.facts import Event
from ops.core.redaction.redact import redact
from ops.core.text import format_count, short_ids

_SERVICE = re.compile(r"^\(service [^)]+\) (?=\S)")
_TARGET_GROUP = re.compile(r"arn:[\w-]+:elasticloadbalancing:[\w:-]*:targetgroup/([\w-]+)/\w+")
_CLOSE = 3  # events that an equal one is looked for among
_COUNTED = (  # what ECS says, the noun that it counts, and what happened
    (re.compile(r"^registered (\d+) targets? in (\(target-group [^)]+\))"), "target", "registered"),
    (re.compile(r"^deregistered (\d+) targets? in (\(target-group [^)]+\))"), "target", "removed"),
    (re.compile(r"^has begun draining connections on (\d+) tasks?()"), "task", "draining"),
    (re.compile(r"^has started (\d+) tasks?()"), "task", "started"),
    (re.compile(r"^has stopped (\d+) running tasks?()"), "task", "stopped"),
)


@dataclass(frozen=True)
class FoldedEvent:
    """Equal events: the time of the newest one, and the number of things or events.

    `noun` is "" for an event that counts nothing; its `text` is ECS's own then.
    """

    at: datetime | None
    text: str
    count: int = 1
    noun: str = ""
    where: str = ""

    def __str__(self) -> str:
        if self.noun:
            return f"{format_count(self.count, self.noun)} {self.text}"
        return f"{self.text} × {self.count}" if self.count > 1 else self.text


def event_text(message: str) -> str:
    """An event's message without the service's name and the rest of target group ARNs."""
    return _TARGET_GROUP.sub(r"\1", _SERVICE.sub("", redact(message)))


def fold_events(events: Iterable[Event]) -> list[FoldedEvent]:
    """Join those that say the same and are close together, oldest first; their numbers add up."""
    found: list[FoldedEvent] = []
    for event in events:
        new = _parse(event)
        for place in range(len(found) - 1, max(len(found) - 1 - _CLOSE, -1), -1):
            old = found[place]
            if (old.text, old.noun, old.where) == (new.text, new.noun, new.where):
                found[place] = replace(old, at=new.at, count=old.count + new.count)
                break
        else:
            found.append(new)
    return found


def _parse(event: Event) -> FoldedEvent:
    text = short_ids(event_text(event.message))
    for pattern, noun, happened in _COUNTED:
        if match := pattern.match(text):
            return FoldedEvent(event.at, happened, int(match[1]), noun, match[2])
    return FoldedEvent(event.at, text.removesuffix("."))
