"""Reading what Terraform prints: `-json` lines where a command has them, else its text, into
diagnostics and a lock's owner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ops.core.redaction.redact import redacted
from ops.terraform.facts import Diagnostic, StateLock

ANSI = re.compile(r"\x1b\[[0-9;]*m")
BOX = re.compile(r"^[│╷╵|] ?", re.M)
HEAD = re.compile(r"^(?P<severity>Error|Warning): (?P<summary>.+)$", re.M)
FAILURE = re.compile(r"(failed|error)\b", re.I)
CODE = re.compile(r"^\s*on .+ line \d+.*:\n\s*\d+:\s*(?P<code>.+)$", re.M)
LOCK_INFO = re.compile(r"^\s*(ID|Path|Operation|Who|Version|Created|Info):[ \t]*(.*?)[ \t]*$", re.M)
REPORTED = frozenset(
    {"apply_start", "apply_progress", "apply_complete", "apply_errored", "change_summary"}
)


def message(line: str) -> dict[str, Any] | None:
    """One line of `-json` output; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def diagnostics(output: str) -> tuple[Diagnostic, ...]:
    """Every error and warning in what a command printed, redacted, errors first."""
    found = [*of_lines(output), *of_text(output)]
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.severity != "error"))


def of_lines(output: str) -> Iterator[Diagnostic]:
    for line in output.splitlines():
        said = message(line)
        if said is None or said.get("type") != "diagnostic":
            continue
        found = said.get("diagnostic")
        if not isinstance(found, dict):
            found = {"severity": said.get("@level"), "summary": said.get("@message") or found}
        snippet = found.get("snippet")
        code = str((snippet.get("code") if isinstance(snippet, dict) else None) or "").strip()
        yield Diagnostic(
            str(found.get("severity")),
            clean(found.get("summary")),
            clean(found.get("detail")),
            clean(code),
        )


def of_text(output: str) -> Iterator[Diagnostic]:
    """`Error: …` and `Warning: …`, each up to the next; lines of `-json` are left out."""
    text = plain(output)
    heads = list(HEAD.finditer(text))
    for position, head in enumerate(heads):
        until = heads[position + 1].start() if position + 1 < len(heads) else len(text)
        detail = text[head.end() : until].strip()
        code = CODE.search(detail)
        yield Diagnostic(
            head["severity"].lower(),
            clean(head["summary"]),
            clean(detail),
            clean(code["code"]) if code else "",
        )


def plain(output: str) -> str:
    """What it printed as text: without the lines of `-json`, colours and boxes."""
    return "\n".join(
        line for line in BOX.sub("", ANSI.sub("", output)).splitlines() if message(line) is None
    )


def clean(value: object) -> str:
    return redacted("" if value is None else value).strip()


def own_words(output: str) -> str:
    """What a command says that has no diagnostic: its line of failure (`Failed to unlock state:
    …`), else its last one.
    """
    lines = [line.strip() for line in plain(output).splitlines() if line.strip()]
    return clean(next((line for line in lines if FAILURE.match(line)), lines[-1] if lines else ""))


def progress(line: str) -> str | None:
    """What a person wants to see of a `-json` line of `apply` or `plan`; None for the rest."""
    said = message(line)
    if said is None:
        return None
    if said.get("type") == "diagnostic" and said.get("@level") == "warn":
        return clean(said.get("@message"))
    return clean(said.get("@message")) if str(said.get("type")) in REPORTED else None


def lock_in(text: str) -> StateLock | None:
    """The owner that a refused lock names (`Lock Info:`); None where there is none."""
    _, mark, info = text.partition("Lock Info:")
    found = dict(LOCK_INFO.findall(info)) if mark else {}
    return lock_of(found, "terraform") if found.get("ID") else None


def lock_of(info: dict[str, Any], store: str) -> StateLock:
    """A lock from Terraform's own record of it (the same fields in S3, DynamoDB, a local file and
    error texts).
    """
    named = {key.lower(): str(value or "") for key, value in info.items()}
    return StateLock(
        id=named.get("id", ""),
        who=named.get("who", ""),
        operation=named.get("operation", ""),
        created=moment(named.get("created", "")),
        version=named.get("version", ""),
        path=named.get("path", ""),
        store=store,
    )


def moment(text: str) -> datetime | None:
    """`2026-11-22T23:00:00.123456789Z` or `2026-11-22 23:00:00.12 +0000 UTC`, as Go writes a time
    in JSON and in text.

    None for anything else, an impossible date included: the age is unknown then.
    """
    found = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?", text)
    if not found:
        return None
    day, clock, _, zone = found.groups()
    try:
        return datetime.fromisoformat(
            f"{day}T{clock}{'+00:00' if zone in (None, 'Z') else zone}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
