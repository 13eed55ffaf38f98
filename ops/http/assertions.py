"""Compare an endpoint's response with its expectations and list every difference."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ops.core.errors import ConfigError
from ops.core.redaction.redact import one_line

if TYPE_CHECKING:
    from ops.core.config.settings import Endpoint


_OK = 200


def check_expressions(endpoint: Endpoint) -> None:
    """Check the JMESPath expressions of an endpoint before any request. Raises ConfigError."""
    import jmespath

    for expression in endpoint.expect:
        try:
            jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            raise ConfigError(
                f"expectation {expression!r} of endpoint {endpoint.path}",
                f"it is not a JMESPath expression: {one_line(error)}",
                "correct it in invoke.yaml (https://jmespath.org)",
            ) from None


def cause(endpoint: Endpoint, status: int, content_type: str) -> str:
    """The first difference as a single word, for findings: status, then content type, then body."""
    if status != endpoint.status:
        return "page_failing" if status >= 500 else "wrong_status"
    return (
        "wrong_content_type"
        if endpoint.content_type and content_type != endpoint.content_type.lower()
        else "wrong_body"
    )


def differences(
    endpoint: Endpoint, status: int, content_type: str, body: str, whole: bool = True
) -> list[str]:
    """List the differences between a response and the expected one; empty if it is as expected.

    `whole` is false if the body was longer than the part that was read.
    """
    found = []
    if status != endpoint.status:
        found.append(f"status: {status}, expected {endpoint.status}")
    if endpoint.content_type and content_type != endpoint.content_type.lower():
        found.append(f"content type: {content_type or 'none'}, expected {endpoint.content_type}")
    if endpoint.text and not _contains_text(body, endpoint.text):
        found.append(f"text: {endpoint.text!r} is not in the body")
    elif (
        status == endpoint.status == _OK
        and not body.strip()
        and not (endpoint.expect or endpoint.empty or endpoint.method == "HEAD")
    ):
        found.append("body: empty, expected something")
    return found + (_json_differences(endpoint.expect, body, whole) if endpoint.expect else [])


def _contains_text(body: str, text: str) -> bool:
    """Whether `body` contains `text`; a `{tag}` that is still in `text` matches any word."""
    return re.search(_text_pattern(text, r"[\w.-]+"), body) is not None


def find_tag(body: str, text: str) -> str | None:
    """The word in `body` in the place of the first `{tag}` of `text`, or None."""
    if "{tag}" not in text:
        return None
    before, after = text.split("{tag}", 1)
    pattern = _text_pattern(before, "") + r"([\w.-]+)" + _text_pattern(after, r"[\w.-]+")
    found = re.search(pattern, body)
    return found[1] if found else None


def _text_pattern(text: str, tag: str) -> str:
    return tag.join(re.escape(part) for part in text.split("{tag}"))


def _json_differences(expect: dict[str, Any], body: str, whole: bool) -> list[str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # deeply nested brackets
        start = one_line(body, limit=60)
        return [
            "body: too long to be read as JSON"
            if not whole
            else f"body: no JSON, it starts with {start!r}"
            if start
            else "body: empty, expected JSON"
        ]
    return [
        difference
        for expression, value in expect.items()
        if (difference := _compare_values(expression, value, document))
    ]


def _compare_values(expression: str, expected: Any, document: Any) -> str:
    """The difference between the value at a JMESPath and the expected one, or "".

    A path without a value never passes, whatever is expected: JMESPath can't distinguish null from
    a missing key.
    """
    import jmespath

    try:
        actual = jmespath.search(expression, document)
    except jmespath.exceptions.JMESPathError as error:
        return f"{expression}: {one_line(error)}, expected {_format_value(expected)}"
    if actual is None:
        return f"{expression}: nothing there, expected {_format_value(expected)}"
    same = actual == expected and isinstance(actual, bool) == isinstance(
        expected, bool
    )  # in Python, true == 1
    return (
        "" if same else f"{expression}: {_format_value(actual)}, expected {_format_value(expected)}"
    )


def _format_value(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), limit=120)
