"""Parse what Terraform prints: diagnostics, progress, and the owner of a lock.

The source is the `-json` lines of a command that has them, or else its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ops.core.redaction.redact import redacted
from ops.terraform.facts import Diagnostic, StateLock

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_BOX = re.compile(r"^[│╷╵|] ?", re.M)
_HEAD = re.compile(r"^(?P<severity>Error|Warning): (?P<summary>.+)$", re.M)
_FAILURE = re.compile(r"(failed|error)\b", re.I)
_CODE = re.compile(r"^\s*on .+ line \d+.*:\n\s*\d+:\s*(?P<code>.+)$", re.M)
_LOCK_INFO = re.compile(
    r"^\s*(ID|Path|Operation|Who|Version|Created|Info):[ \t]*(.*?)[ \t]*$", re.M
)
_PROGRESS_TYPES = frozenset(
    f"{kind}_{event}"
    for kind in ("apply", "action")  # changes of resources; invocations of Terraform 1.14's actions
    for event in ("start", "progress", "complete", "errored")
) | {"change_summary"}


def _json_line(line: str) -> dict[str, Any] | None:
    """Parse a line of `-json` output; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def diagnostics(output: str) -> tuple[Diagnostic, ...]:
    """Return every error and warning that a command printed, redacted, errors first."""
    found = [_redacted(each) for each in (*_json_diagnostics(output), *_text_diagnostics(output))]
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.severity != "error"))


def _redacted(found: Diagnostic) -> Diagnostic:
    return replace(
        found,
        summary=_clean(found.summary),
        detail=_clean(found.detail),
        code=_clean(found.code.strip()),
    )


def _json_diagnostics(output: str) -> Iterator[Diagnostic]:
    for line in output.splitlines():
        found = _json_line(line)
        if found is not None and found.get("type") == "diagnostic":
            yield Diagnostic.from_document(found)


def _text_diagnostics(output: str) -> Iterator[Diagnostic]:
    """Yield each `Error: …` and `Warning: …` of the text, up to the next one."""
    text = plain_text(output)
    heads = list(_HEAD.finditer(text))
    for position, head in enumerate(heads):
        end = heads[position + 1].start() if position + 1 < len(heads) else len(text)
        detail = text[head.end() : end].strip()
        code = _CODE.search(detail)
        yield Diagnostic(
            head["severity"].lower(), head["summary"], detail, code["code"] if code else ""
        )


def plain_text(output: str) -> str:
    """Return the text without lines of `-json`, colours and boxes."""
    lines = _BOX.sub("", _ANSI.sub("", output)).splitlines()
    return "\n".join(line for line in lines if _json_line(line) is None)


def _clean(value: object) -> str:
    return redacted("" if value is None else value).strip()


def failure_line(output: str) -> str:
    """Return the line of a failure without diagnostic, or else the last line.

    Sample: `Failed to unlock state: …`.
    """
    lines = [line.strip() for line in plain_text(output).splitlines() if line.strip()]
    return _clean(
        next((line for line in lines if _FAILURE.match(line)), lines[-1] if lines else "")
    )


def progress_text(line: str) -> str | None:
    """Return the text of a progress line of `plan -json` or `apply -json`; None for others.

    A warning is printed with its detail and the block that it is about: a failed `check` names
    neither itself nor its `error_message` in its summary.
    """
    found = _json_line(line)
    if found is None:
        return None
    if found.get("type") == "diagnostic" and found.get("@level") == "warn":
        return _warning_text(found)
    if str(found.get("type")) in _PROGRESS_TYPES:
        return _clean(found.get("@message"))
    return None


def _warning_text(line: Mapping[str, Any]) -> str:
    """Return a warning in one line: summary, detail, and its place in the configuration."""
    warning = _redacted(Diagnostic.from_document(line))
    block = Diagnostic.block(line)
    place = f" (in {_clean(block)})" if block else ""
    return f"Warning: {' '.join(warning.text.split())}{place}"


def lock_from_error(text: str) -> StateLock | None:
    """Return the lock that an error names after `Lock Info:`, or None."""
    _, mark, info = text.partition("Lock Info:")
    found = dict(_LOCK_INFO.findall(info)) if mark else {}
    return StateLock.from_document(found, "terraform") if found.get("ID") else None


_WRAPPED = re.compile(r"\A\[command\]|^::(?:debug|set-output|error)\b.*::", re.M)


def is_wrapped(stdout: str) -> bool:
    """Whether hashicorp/setup-terraform's wrapper (or setup-opentofu's) printed this."""
    return bool(_WRAPPED.search(stdout))
