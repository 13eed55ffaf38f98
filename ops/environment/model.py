"""Comparisons of configured values with the world, and the report of `inv env.check`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ops.core.findings import Unknown

Status = Literal["same", "different", "unknown"]
DEADLINE_PASSED = Unknown("no answer before the deadline")


@dataclass(frozen=True)
class KeyComparison:
    """A configured value and what was found for it.

    `key` is its path below the environment, `source` what was read, or a clause that says what is
    wrong (`in_words`). `found` is None for what does not exist; `near` are existing names like the
    configured one.
    """

    key: str
    configured: Any
    status: Status
    found: Any = None
    source: str = ""
    in_words: bool = False
    near: tuple[str, ...] = ()
    unread: Unknown | None = None

    def document(self, environment: str, place: str) -> dict[str, Any]:
        key = f"environments.{environment}.{self.key}"
        if self.unread is not None:
            denied = self.unread.denied
            return {
                "key": key,
                "why": self.unread.why,
                "permission": denied.action if denied else None,
                "place": place or None,
            }
        return {
            "key": key,
            "configured": self.configured,
            "found": self.found,
            "source": self.source,
            "near": list(self.near),
            "place": place or None,
        }

    def text(self, environment: str, place: str) -> str:
        key, where = f"environments.{environment}.{self.key}", f" ({place})" if place else ""
        if self.unread is not None:
            return f"? {key}: not read: {format_unknown(self.unread)}"
        configured = f"configured {quote(self.configured)}"
        if not self.in_words:
            return f"~ {key}: {configured}, {self.source} has {quote(self.found)}{where}"
        near = f"; near it: {', '.join(self.near)}" if self.near else ""
        return f"~ {key}: {configured}, {self.source}{near}{where}"


def format_unknown(unread: Unknown) -> str:
    """Why a value was not read, and the permission that is missing."""
    if unread.denied and unread.denied.action not in unread.why:
        return f"{unread.why} (missing permission: {unread.denied.action})"
    return unread.why


def quote(value: Any) -> str:
    """A value as JSON; a list of one is its item."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return json.dumps(value, ensure_ascii=False)


def compare(key: str, configured: Any, found: Any, source: str) -> KeyComparison:
    """Compare with what was found: a value, or a list that should contain the configured one."""
    choices = list(found) if isinstance(found, list | tuple | frozenset) else [found]
    if configured in choices:
        return KeyComparison(key, configured, "same", configured, source)
    if isinstance(found, frozenset):
        choices = sorted(choices)
    if not choices:
        return absent(key, configured, f"{source} has none")
    return KeyComparison(key, configured, "different", choices, source)


def absent(key: str, configured: Any, source: str, near: Iterable[str] = ()) -> KeyComparison:
    """A configured name of something that does not exist; `source` is a clause that says so."""
    return KeyComparison(key, configured, "different", None, source, True, tuple(near))


def same(key: str, configured: Any, source: str) -> KeyComparison:
    return KeyComparison(key, configured, "same", configured, source)


def not_read(key: str, configured: Any, unread: Unknown) -> KeyComparison:
    return KeyComparison(key, configured, "unknown", unread=unread)


@dataclass(frozen=True)
class WorldRead:
    """A read with its comparisons; `keys` (with their values) are unknown if it fails."""

    keys: Mapping[str, Any]
    run: Callable[[], Iterable[KeyComparison]]


@dataclass(frozen=True)
class ConfigurationCheck:
    """The result of `inv env.check`; `places` maps a key to where it is configured."""

    environment: str
    comparisons: tuple[KeyComparison, ...]
    places: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _by_status(self) -> dict[Status, list[KeyComparison]]:
        found: dict[Status, list[KeyComparison]] = {"different": [], "unknown": [], "same": []}
        for each in self.comparisons:
            found[each.status].append(each)
        return found

    @property
    def document(self) -> Mapping[str, Any]:
        def documents(status: Status) -> list[dict[str, Any]]:
            return [
                each.document(self.environment, self.places.get(each.key, ""))
                for each in self._by_status[status]
            ]

        return {
            "environment": self.environment,
            "differences": documents("different"),
            "unknown": documents("unknown"),
            "same": [
                f"environments.{self.environment}.{each.key}" for each in self._by_status["same"]
            ],
        }

    @property
    def text(self) -> str:
        lines = [
            each.text(self.environment, self.places.get(each.key, ""))
            for each in self._by_status["different"]
        ]
        lines += self._unknown_lines()
        different, unknown, equal = (
            len(self._by_status[status]) for status in ("different", "unknown", "same")
        )
        return "\n".join(
            [*lines, f"{different} different, {unknown} unknown, {equal} as configured"]
        )

    def _unknown_lines(self) -> list[str]:
        """One line for each reason, with all keys that it leaves unknown."""
        by_reason: dict[str, list[str]] = {}
        for each in self._by_status["unknown"]:
            if each.unread:
                by_reason.setdefault(format_unknown(each.unread), []).append(each.key)
        return [
            f"? environments.{self.environment}.{keys[0]}: not read: {why}"
            if len(keys) == 1
            else f"? {len(keys)} keys not read: {why}\n    {', '.join(keys)}"
            for why, keys in by_reason.items()
        ]

    @property
    def exit_code(self) -> int:
        return int(bool(self._by_status["different"] or self._by_status["unknown"]))
