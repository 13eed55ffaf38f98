"""The registry of collectors, and the reader through which they see the world.

    @collector("rds/instance", "rds:DescribeDBInstances")
    def instance(reader: Reader) -> Any:
        return reader.client("rds").describe_db_instances(…)["DBInstances"]

A collector returns JSON-compatible data (datetimes are converted), None if it does not apply here,
or raises. It may use another collector's document by `reader.content(key)`; each is read once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar

from ops.aws.errors import translate_error
from ops.aws.session import AwsSession
from ops.core.errors import OpsError
from ops.core.findings import Denial, Unknown
from ops.core.parallel import AT_ONCE, Call, NotRead, run_calls, unknown
from ops.core.redaction.redact import known, redact
from ops.diagnosis.model import Document
from ops.health.inputs import Memo
from ops.platform import Platform

Collect = Callable[["Reader"], Any]
T = TypeVar("T")


@dataclass(frozen=True)
class _Collector:
    key: str
    source: str
    collect: Collect


_COLLECTORS: dict[str, _Collector] = {}


def collector(key: str, source: str) -> Callable[[Collect], Collect]:
    """Register a collector. `source` names the calls that it makes, for people."""

    def register(collect: Collect) -> Collect:
        if key in _COLLECTORS:
            raise ValueError(f"the collector {key} is registered twice")
        _COLLECTORS[key] = _Collector(key, source, collect)
        return collect

    return register


def keys() -> tuple[str, ...]:
    """The keys of all registered collectors."""
    return tuple(_COLLECTORS)


def source(key: str) -> str:
    """The calls that a collector makes."""
    return _COLLECTORS[key].source


class Reader:
    """The world as collectors read it. Thread-safe; its AWS session refuses every change."""

    def __init__(self, platform: Platform) -> None:
        self.platform = Platform(platform.settings, platform.cloud.read_only())
        self.environment = platform.settings.environment
        self._documents = {
            key: Memo(partial(self._read, each)) for key, each in _COLLECTORS.items()
        }

    @property
    def cloud(self) -> AwsSession:
        return self.platform.cloud

    def client(self, name: str) -> Any:
        return self.cloud.client(name)

    def pages(self, service: str, operation: str, field: str, **parameters: Any) -> list[Any]:
        """The elements of `field` on every page of an operation."""
        pages = self.client(service).get_paginator(operation).paginate(**parameters)
        return [each for page in pages for each in page[field]]

    def document(self, key: str) -> Document:
        """The document of a collector, read by the first caller."""
        return self._documents[key]()

    def content(self, key: str) -> Any:
        """The content of a document; raises NotRead if it could not be read."""
        found = self.document(key)
        if found.unknown:
            denied = Denial("the caller", found.denied) if found.denied else None
            raise NotRead(key, Unknown(found.unknown, denied))
        return found.content

    def read_each(self, calls: Mapping[str, Callable[[], T | None]]) -> dict[str, T]:
        """Name → result of each call, without results of None and calls that failed.

        Calls run concurrently. Raises NotRead if all of them failed.
        """
        named = [
            Call(partial(self._translated, *each), f"read {each[0]}") for each in calls.items()
        ]
        finished = run_calls(named, AT_ONCE)
        results = dict(zip(calls, finished, strict=True))
        failed = {name: each for name, each in results.items() if isinstance(each, Unknown)}
        if failed and len(failed) == len(results):
            raise NotRead(*next(iter(failed.items())))
        return {
            name: each
            for name, each in results.items()
            if each is not None and not isinstance(each, Unknown)
        }

    def _translated(self, name: str, call: Callable[[], T]) -> T:
        with self.cloud.translated(name):
            return call()

    def _read(self, each: _Collector) -> Document:
        from botocore.exceptions import BotoCoreError, ClientError

        at, what = now(), f"{each.key} ({each.source})"
        try:
            content = each.collect(self)
        except (BotoCoreError, ClientError) as error:
            cloud = self.cloud
            return _unread(each, at, translate_error(what, error, cloud.profile, cloud.endpoint))
        except (OpsError, OSError) as error:
            return _unread(each, at, error)
        return Document(each.key, each.source, at, as_json(content))


def chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of at most `size`: many operations take only so many ids."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _unread(each: _Collector, at: str, error: Exception) -> Document:
    fact = unknown(error)
    denied = fact.denied.action if fact.denied else ""
    return Document(each.key, each.source, at, None, redact(fact.why), denied)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def as_json(content: Any) -> Any:
    """Content as it will be read back: JSON types only, times in UTC, secrets hidden.

    AWS's `ResponseMetadata` is dropped.
    """
    return redacted(json.loads(json.dumps(content, default=_convert)))


def _convert(value: Any) -> Any:
    if isinstance(value, datetime):  # botocore returns some in this machine's time zone
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return sorted(value)
    return str(value)


def redacted(content: Any) -> Any:
    """JSON content with the secrets in its texts hidden."""
    if isinstance(content, dict):
        return {
            key: redacted(_hide_named(key, value, content))
            for key, value in content.items()
            if key != "ResponseMetadata"
        }
    if isinstance(content, list):
        return [redacted(each) for each in content]
    return redact(content) if isinstance(content, str) else content


def _hide_named(key: str, value: Any, beside: Mapping[str, Any]) -> Any:
    """Hide the value of an environment variable whose name says that it is secret."""
    name = beside.get("name")
    if key == "value" and isinstance(value, str) and isinstance(name, str):
        known.add_variables({name: value})
        return known.hide(value)
    return value
