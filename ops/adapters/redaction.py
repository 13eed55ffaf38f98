"""Nothing secret in a sentence that is shown, stored or logged: what foreign error texts carry is struck out here.

Known shapes only (signed URLs, user:password@ in an address, Authorization values, session tokens, password=…); whoever knows the very
secret passes it in `secrets`, since a shape can be missed and a value can't.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "[hidden]"
SHAPES = (
    (re.compile(r"(?i)([?&;]x-amz-[a-z0-9-]+=)[^&\s\"'<>]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(x-amz-security-token\s*[:=]\s*)\S+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)([?&](?:signature|sig|token|access_token|awsaccesskeyid|key-pair-id|policy)=)[^&\s\"'<>]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^/@\s\"']+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(r"(?i)\b(password|passwd|pwd|secret|aws_secret_access_key|aws_session_token)(\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;]+)"),
        rf"\1\2{HIDDEN}",
    ),
)


def redacted(text: object, secrets: Iterable[str] = ()) -> str:
    """`text` without what has the shape of a secret, and without the values in `secrets`."""
    result = str(text)
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        result = result.replace(secret, HIDDEN)
    for shape, replacement in SHAPES:
        result = shape.sub(replacement, result)
    return result


def one_line(text: object, secrets: Iterable[str] = (), limit: int = 400) -> str:
    """`text` redacted, on one line, at most `limit` characters."""
    line = " ".join(redacted(text, secrets).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
