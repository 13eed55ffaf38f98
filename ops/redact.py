"""Secrets taken out of text from outside (logs, stop reasons) before it is shown, stored or put into a document.

Only the secret's own characters are replaced, so that what remains can still be read. Shapes, not entropy: a line that merely looks random
(a digest, a commit id) stays as it is, since that is what a diagnosis needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"
NAMES = (
    r"(?:[\w.-]*(?:passw(?:or)?d|passphrase|secret(?:[_-]?access)?[_-]?key|client[_-]?secret|api[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token"
    r"|session[_-]?token|security[_-]?token|private[_-]?key|credentials?)|[\w.-]*[_-](?:secret|token|pwd|pass)|secret|token|pwd)"
)
NAMED = rf"(?<![\w.:/-])(?:--)?{NAMES}\\*[\"']?\s*(?:=>|[:=])\s*(?!arn:)"   # NAME=x, NAME: x, JSON
PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<hide>.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        r"\bX-Amz-(?:Signature|Security-Token|Credential)=(?P<hide>[^&\s\"'<>]+)",   # presigned URLs (AWS Signature Version 4)
        r"[?&](?:sig|signature|AWSAccessKeyId)=(?P<hide>[^&\s\"'<>]+)",   # and their older forms
        r"\b[a-z][a-z0-9+.-]*://[^\s:/@\"']*:(?P<hide>[^\s\"']+)@[\w.\[-]",   # DSNs; greedy: a password may hold @ and /
        r"\b(?:Proxy-)?Authorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?(?P<hide>[^\s\"',]+)",
        r"\b(?:Bearer|Basic)\s+(?P<hide>[\w.~+/=-]{8,})",
        r"\b(?:Set-)?Cookie:\s*(?P<hide>[^\r\n]+)",
        r"(?P<hide>\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?)",   # JSON Web Tokens
        r"(?P<hide>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)",
        r"(?P<hide>\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abprs]-[\w-]{10,}|sk-[\w-]{20,})\b)",
        NAMED + r"(?P<hide>\"(?:[^\"\\]|\\.)*\"|\\+\".*?\\+\"|'(?:[^'\\]|\\.)*'|[\"'][^\"'\s]+|[^\s,;&})\"']+)",
        rf"(?<!\S)--{NAMES}\s+(?P<hide>[^\s-][^\s]*)",   # --password x
        r"\bIDENTIFIED BY\s+(?P<hide>'[^']*')|\bPASSWORD\s+(?P<sql>'[^']*')",   # SQL
    )
)


def redact(text: str) -> str:
    """`text` with every known shape of secret replaced by `***`."""
    for pattern in PATTERNS:
        text = pattern.sub(hide, text)
    return text


def redacted(text: object, secrets: Iterable[str] = ()) -> str:
    """`text` without what has the shape of a secret, and without the values in `secrets`: a shape can be missed, a value can't."""
    result = str(text)
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        result = result.replace(secret, HIDDEN)
    return redact(result)


def one_line(text: object, secrets: Iterable[str] = (), limit: int = 400) -> str:
    """`text` redacted, on one line, at most `limit` characters."""
    line = " ".join(redacted(text, secrets).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def hide(match: re.Match[str]) -> str:
    """The match with its group `hide` (or `sql`) hidden; quotes stay, so that JSON stays JSON."""
    group = "hide" if match["hide"] is not None else "sql"
    whole, secret = match[0], match[group]
    quotes = re.match(r"\\*[\"']", secret)
    kept = f"{quotes[0]}{HIDDEN}{quotes[0]}" if quotes and len(secret) > len(quotes[0]) else HIDDEN
    start = match.start(group) - match.start()
    return whole[:start] + kept + whole[start + len(secret):]


def redact_lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Lines redacted together, so that a secret over several of them (a private key) goes too; their number stays."""
    kept = tuple(lines)
    if not any("PRIVATE KEY" in line for line in kept):
        return tuple(redact(line) for line in kept)
    result, inside = [], False
    for line in kept:
        begins, ends = "-----BEGIN" in line, "-----END" in line
        result.append(HIDDEN if inside and not ends else redact(line))
        inside = (inside or begins) and not ends
    return tuple(result)
