"""Hide secret values that this process has read, in every encoding a log is likely to show.

The modules that read secrets add the values. A value is found raw, URL-quoted, JSON-escaped,
HTML-escaped, as base64 or as hexadecimal digits.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Any
from urllib.parse import unquote

from ops.core.redaction.shapes import is_secret_name, mask

_SHORTEST = 6  # characters; a shorter value is part of too many harmless words
_CUT_SHORTEST = 8  # characters of a value cut off at the start or end of a text
_HARMLESS_KEY = re.compile(
    r"(?:user|username|login|email|host|hostname|address|endpoint|port|dbname|database|db|schema"
    r"|engine|driver|identifier|arn|region|sslmode|environment|env|level|version)$"
)
_ORDINARY = re.compile(
    r"[A-Za-z]{1,24}|[\d.:]{1,7}"  # a word; a number, a version
    r"|[a-z][a-z0-9-]{0,40}(?:\.[a-z0-9-]{1,40}){0,8}\.[a-z]{2,24}(?::\d+)?"  # a host
    r"|arn:\S+|(?:/[a-z0-9._-]*)+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an ARN, a path, an e-mail address
    r"|[a-z][a-z0-9+.-]{1,20}://[^\s@?]*"  # a URL without user and query
)
_FOLDERS = ("PWD", "OLDPWD")  # the shell's, not passwords
_VARIABLE = re.compile(r"(?:export )?([A-Za-z_]\w*)=(.*)")
_URL_PASSWORD = re.compile(r"://[^\s:/@]*:([^\s]+)@")
_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", '"': '"', "'": "'", "/": "/"}
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;|&#34;|&#x22;",
    "'": "&#39;|&#x27;|&apos;|''|'\\\\''|'\"'\"'",
}


@dataclass(frozen=True)
class _Form:
    """One way to write a value: `needle` is a fast test for whether `pattern` can match."""

    needle: str
    pattern: re.Pattern[str]


class KnownSecrets:
    """A set of secret values. Thread-safe: reads run concurrently."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._forms: dict[str, tuple[_Form, ...]] = {}

    def add(self, value: str) -> None:
        """Add one value; short ones are ignored.

        Each line of a multi-line value is added too, since logs split at line breaks.
        """
        for each in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
            if len(each) >= _SHORTEST and each not in self._forms and not each.startswith("-----"):
                forms = tuple(_forms(each))
                with self._lock:  # longest first: a value may contain another one
                    self._forms = dict(
                        sorted({**self._forms, each: forms}.items(), key=lambda item: -len(item[0]))
                    )

    def add_named(self, name: str, value: str) -> None:
        """Add the value of a variable or key if its name or its form says that it is secret."""
        for password in _URL_PASSWORD.findall(value):
            self.add(password)
            self.add(unquote(password))
        if is_secret_name(name) or not (
            _HARMLESS_KEY.search(_plain(name)) or _ORDINARY.fullmatch(value)
        ):
            self.add(value)

    def add_variables(self, variables: Mapping[str, str]) -> None:
        """Add environment variables whose name says that they are secret, but no ordinary words."""
        for name, value in variables.items():
            if name in _FOLDERS or not is_secret_name(name):
                continue
            if not _ORDINARY.fullmatch(value):
                self.add(value)

    def add_secret(self, text: str) -> None:
        """Add what a secret store returned: by key where it is JSON, else the whole text.

        A value that a harmless key has too (a password equal to the user name) is not added.
        """
        document = _parsed(text)
        if document is None:
            document = _variables(text)
        if document is None:
            self.add_named("secret", text)
            return
        leaves = tuple(_leaves(document))
        harmless = {
            value
            for name, value in leaves
            if not is_secret_name(name) and _HARMLESS_KEY.search(_plain(name))
        }
        for name, value in leaves:
            if value not in harmless:
                self.add_named(name, value)

    def hide(self, text: str) -> str:
        """`text` with every known value replaced by `***`; line breaks stay."""
        for value, forms in self._forms.items():
            for form in forms:
                if form.needle in text:
                    text = form.pattern.sub(lambda match: mask(match[0]), text)
            text = _hide_cut(text, value)
        return text

    def hide_in(self, document: Any) -> Any:
        """`document` (dicts, lists, scalars) with the known values hidden in its strings."""
        if not self._forms:
            return document
        if isinstance(document, str):
            return self.hide(document)
        if isinstance(document, Mapping):
            return {
                self.hide(key) if isinstance(key, str) else key: self.hide_in(value)
                for key, value in document.items()
            }
        if isinstance(document, list | tuple | set | frozenset):
            return [self.hide_in(value) for value in document]
        return document

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._forms = {}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _parsed(text: str) -> Any:
    """A JSON object or list; None for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _variables(text: str) -> dict[str, str] | None:
    """The variables of a text that consists of NAME=value lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [_VARIABLE.fullmatch(line) for line in lines]
    return (
        {match[1]: match[2].strip("\"'") for match in found if match}
        if lines and all(found)
        else None
    )


def _leaves(document: Any, name: str = "secret") -> Iterator[tuple[str, str]]:
    """Yield (key, text) of every scalar, also of JSON inside a string.

    An item of a list has the list's key.
    """
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _leaves(value, str(key))
    elif isinstance(document, list):
        for value in document:
            yield from _leaves(value, name)
    elif isinstance(document, str):
        nested = _parsed(document)
        if nested is not None:
            yield from _leaves(nested, name)
        yield name, document
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield name, str(document)


def _forms(value: str) -> Iterator[_Form]:
    yield _form(value)
    data = value.encode("utf-8", "surrogatepass")
    for offset in range(3):  # base64 of a text that contains the value: three alignments
        encoded = b64encode(bytes(offset) + data).decode()
        whole = encoded[
            -(-offset * 8 // 6) : (offset + len(data)) * 8 // 6
        ]  # the characters that the value alone decides
        yield _form(whole, tail="[A-Za-z0-9+/_-]?={0,2}" if offset + len(data) else "")
    yield _Form("", re.compile(data.hex(), re.IGNORECASE))


def _form(value: str, tail: str = "") -> _Form:
    runs = re.findall(r"[A-Za-z0-9]+", value)
    base64 = bool(tail)
    pattern = "".join(
        _any_encoding(character, len(tuple(run)), base64) for character, run in groupby(value)
    )
    return _Form(max(runs, key=len, default=""), re.compile(pattern + tail))


def _any_encoding(character: str, times: int, base64: bool) -> str:
    """A pattern for `times` of a character in a URL, JSON, HTML, a shell or a Python literal."""
    if character.isascii() and character.isalnum():
        return character * times
    if character == "\\":  # each level of JSON doubles it
        return rf"(?:\\{{{times},{16 * times}}}|(?:%(?:25)*5[cC]){{{times}}})"
    data = character.encode("utf-8", "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass")
    forms = [
        re.escape(character),
        "".join(f"%(?:25){{0,2}}{_hex(byte)}" for byte in data),
        "".join(rf"\\{{1,8}}x{_hex(byte)}" for byte in data),
    ]
    forms.append(
        "".join(
            rf"\\{{1,8}}u{_hex(units[at])}{_hex(units[at + 1])}" for at in range(0, len(units), 2)
        )
    )
    if character in _ESCAPES:
        forms.append(rf"\\{{1,16}}{_ESCAPES[character]}")
    if character in _ENTITIES:
        forms.append(_ENTITIES[character])
    forms += {
        "\n": [r"\r\n", "%0[dD]%0[aA]"],
        " ": [r"\+"],
        "+": ["-"] if base64 else [],
        "/": ["_"] if base64 else [],
    }.get(character, [])
    one = f"(?:{'|'.join(forms)})"
    return one if times == 1 else f"{one}{{{times}}}"


def _hex(byte: int) -> str:
    return "".join(
        f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{byte:02x}"
    )


def _hide_cut(text: str, value: str) -> str:
    """Hide a large part of the value at the start or end of the text, where a log cut it."""
    if len(value) < _CUT_SHORTEST or len(text) < _CUT_SHORTEST:
        return text
    shortest = max(_CUT_SHORTEST, len(value) // 2)
    if value[:_CUT_SHORTEST] in text[-len(value) :]:
        length = next(
            (
                size
                for size in range(len(value) - 1, shortest - 1, -1)
                if text.endswith(value[:size])
            ),
            0,
        )
        text = text[: len(text) - length] + mask(text[len(text) - length :]) if length else text
    if value[-_CUT_SHORTEST:] in text[: len(value)]:
        length = next(
            (
                size
                for size in range(len(value) - 1, shortest - 1, -1)
                if text.startswith(value[-size:])
            ),
            0,
        )
        text = mask(text[:length]) + text[length:]
    return text
