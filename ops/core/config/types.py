"""Value types of the settings: durations, paths, account numbers, the frozen model."""

from __future__ import annotations

import re
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[smh]?)")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_MAX_SECONDS = 8760 * 3600  # a longer wait is a typing error, and timers overflow at some length


def seconds(value: Any) -> float:
    """`300`, `"300"`, `"5m"`, `"1h"` or `"30s"` in seconds, at most a year.

    Raises ValueError naming the forms.
    """
    text = "" if isinstance(value, bool) else str(value).strip()
    found = _DURATION.fullmatch(text)
    if not found and _DURATION.fullmatch(text.removeprefix("-")):
        raise ValueError("allowed: no negative time (30s, 5m, 1h)")
    if not found:
        raise ValueError(
            "allowed: a number of seconds, or a number with s, m or h (300, 30s, 5m, 1h)"
        )
    result = float(found["number"]) * _UNIT_SECONDS[found["unit"]]
    if result > _MAX_SECONDS:
        raise ValueError("allowed: at most a year (8760h)")
    return result


def positive_seconds(value: Any) -> float:
    """As `seconds`, for a limit or an interval, which cannot be zero."""
    result = seconds(value)
    if not result:
        raise ValueError("allowed: more than 0 seconds (30s, 5m, 1h)")
    return result


def _relative_web_path(value: str) -> str:
    """A path on the site, not a URL: the CDN and the load balancer get the same path."""
    if not value.startswith("/"):
        raise ValueError("allowed: a path that starts with / (the site's address is `site`)")
    return value


Port = Annotated[int, Field(ge=1, le=65535)]
# RFC 1738's unsafe characters and those outside ASCII must be percent-encoded
_SAFE_IN_PATTERN = r"[!$&'()+,\-./0-9:;=?@A-Z_a-z]"
_PATTERN = re.compile(rf"/(?:{_SAFE_IN_PATTERN}|%[0-9A-Fa-f]{{2}})*\*?")
_LONGEST_PATTERN = 4000  # characters, CloudFront's limit


def path_pattern(value: str) -> str:
    """A path to invalidate, by CloudFront's rules. Raises ValueError for an invalid one.

    CloudFront takes a `*` anywhere but at the end literally. It refuses non-ASCII and unsafe
    characters only when the invalidation is created, at the end of a deploy.
    """
    if len(value) > _LONGEST_PATTERN:
        raise ValueError(f"allowed: at most {_LONGEST_PATTERN} characters")
    if _PATTERN.fullmatch(value):
        return value
    encoded = _encoded(value)
    if encoded != value and _PATTERN.fullmatch(encoded):
        raise ValueError(f"allowed: percent-encoded characters only, so write it as {encoded}")
    raise ValueError(
        "allowed: a path that starts with /, with a * only as its last character (/*, "
        "/about, /static/*)"
    )


def _encoded(value: str) -> str:
    """`value` with each character that CloudFront refuses percent-encoded."""
    from urllib.parse import quote

    safe = "!$&'()+,-./:;=?@*" + ("" if re.search("%(?![0-9A-Fa-f]{2})", value) else "%")
    return quote(value, safe=safe).replace("~", "%7E")


def _account(value: str) -> str:
    if not _ACCOUNT.fullmatch(value):
        raise ValueError("allowed: 12 digits, in quotes")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError("allowed: the name of a Terraform variable (letters, digits, _ and -)")
    return value


_ACCOUNT = re.compile(r"[0-9]{12}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DURATION_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?[smh]?\s*$"},
        ]
    }
)


def _text_schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


_DURATIONS = (BeforeValidator(seconds), BeforeValidator(positive_seconds))
Seconds = Annotated[float, _DURATIONS[0], _DURATION_SCHEMA]
PositiveSeconds = Annotated[float, _DURATIONS[1], _DURATION_SCHEMA]
WebPath = Annotated[str, AfterValidator(_relative_web_path), _text_schema("^/")]
PathPattern = Annotated[str, AfterValidator(path_pattern), _text_schema(f"^{_PATTERN.pattern}$")]
_Strict = StringConstraints(strict=True)
Account = Annotated[str, _Strict, AfterValidator(_account), _text_schema(f"^{_ACCOUNT.pattern}$")]
Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Variable = Annotated[
    str, _Strict, AfterValidator(_variable), _text_schema(f"^{_VARIABLE.pattern}$")
]


def is_duration(field: Any) -> bool:
    """Whether a field of a model is a duration, also one that may be None."""
    inside = (getattr(each, "__metadata__", ()) for each in get_args(field.annotation))
    return any(each in part for part in (field.metadata, *inside) for each in _DURATIONS)


class Model(BaseModel):
    """A frozen model; an unknown key is an error (the reader suggests the nearest known one)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
