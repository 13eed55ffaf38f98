"""Remove secrets from text before it is printed, stored or put into a document.

First by value: what this process has read as a secret (`known`) is hidden in every encoding. Then
by shape, for secrets that were not read here. Only the secret's own characters are replaced, so
that the rest stays readable. `ops.core.ui`, errors and the modules that store documents hide known
values in everything; text from outside also goes through `redact`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ops.core.redaction.shapes import HIDDEN, hide_shapes
from ops.core.redaction.values import KnownSecrets

LONGEST_LINE = 16_000  # characters of a line; the rest is cut
CUT = "… cut"

known = KnownSecrets()  # of this process: modules that read secrets add them


def redact(text: str) -> str:
    """`text` without known secrets and text in the shape of one; very long lines are cut."""
    return hide_shapes(_cut(known.hide(text)))


def redacted(text: object, secrets: Iterable[str] = ()) -> str:
    """`redact` of any object's text, also without the values in `secrets`."""
    result = str(text)
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        result = result.replace(secret, HIDDEN)
    return redact(result)


def one_line(text: object, secrets: Iterable[str] = (), limit: int = 400) -> str:
    """`text` redacted, on one line, at most `limit` characters."""
    line = " ".join(redacted(text, secrets).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def redact_lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Redact lines together, so that a secret that spans several is hidden; their number stays."""
    originals = tuple(lines)
    rest = iter(redact("\n".join(originals)).split("\n"))
    return tuple("\n".join(next(rest) for _ in range(line.count("\n") + 1)) for line in originals)


def _cut(text: str) -> str:
    """`text` with each line of more than `LONGEST_LINE` characters cut and marked."""
    if len(text) <= LONGEST_LINE:
        return text
    return "\n".join(_cut_line(line) for line in text.split("\n"))


def _cut_line(line: str) -> str:
    is_cut = (
        line.endswith(CUT) and len(line) <= 2 * LONGEST_LINE
    )  # hiding may have made it longer since
    return line if len(line) <= LONGEST_LINE or is_cut else f"{line[:LONGEST_LINE]}{CUT}"
