"""What an endpoint should say against what it said: every difference with the expected and the
actual value.
"""

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
    """Refuse a JMESPath expression that is none, before anything is asked. Raises ConfigError."""
    import jmespath

    for expression in endpoint.expect:
        try:
            jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            raise ConfigError(
                f"expectation {expression!r} of endpoint {endpoint.path}",
                f"it is no JMESPath expression: {one_line(error)}",
                "correct it in invoke.yaml (https://jmespath.org)",
            ) from None


def cause(endpoint: Endpoint, status: int, content_type: str) -> str:
    """The first difference in one word, for findings: by status, then content type, then body."""
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
    """Every way in which an answer is not the expected one; none: it is. `whole` false: the body
    was longer than what was read.
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
        and not (endpoint.expect or endpoint.empty)
    ):
        found.append("body: empty, expected something")
    return found + (_json_differences(endpoint.expect, body, whole) if endpoint.expect else [])


def _contains_text(body: str, text: str) -> bool:
    """Whether the text is there; where no release says what `{tag}` is, with any word in its
    place.
    """
    return (
        re.search(r"[\w.-]+".join(re.escape(part) for part in text.split("{tag}")), body)
        is not None
    )


def _json_differences(expect: dict[str, Any], body: str, whole: bool) -> list[str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # a million brackets are too deep for any parser
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
    """A path that leads to nothing never passes, whatever is expected there (JMESPath can't tell a
    null from a missing key).
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
