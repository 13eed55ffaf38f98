"""Terraform's files, read without Terraform: which variables a directory declares, and whether
`init` has to run again.

No command of Terraform's lists the declared variables without a plan, and a `TF_VAR_x` that nothing
declares is silently ignored; so the top-level blocks of `*.tf` and `*.tf.json` are scanned here:
comments, strings with templates inside, and heredocs are stepped over."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.core.errors import ConfigError
from ops.terraform.facts import Backend

TOKEN = re.compile(
    r"(?P<comment>\#[^\n]*|//[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<heredoc><<-?[ \t]*(?P<end>[^\W\d][\w-]*)\n.*?^[ \t]*(?P=end)[ \t]*$)"
    r"|(?P<quote>\")|(?P<open>\{)|(?P<close>\})|(?P<word>[^\W\d][\w-]*)|(?P<newline>\n)|(?P<assign>=)",
    re.S | re.M,
)
DATA = ".terraform"
LOCK_FILE = ".terraform.lock.hcl"
LINKED = ("terraform", "module")  # blocks whose change wants another `init`


@dataclass(frozen=True)
class Block:
    """One top-level block: `variable "image" { … }` has kind `variable` and labels `("image",)`."""

    kind: str
    labels: tuple[str, ...]
    body: str


def declared(directory: Path) -> frozenset[str]:
    """Names of the variables that the root module declares. Raises ConfigError for a file that
    can't be read.
    """
    names = {
        block.labels[0]
        for block in all_blocks(directory)
        if block.kind == "variable" and block.labels
    }
    for path in sorted(directory.glob("*.tf.json")):
        variables = json_document(path).get("variable") or {}
        for group in variables if isinstance(variables, list) else [variables]:
            if not isinstance(group, dict):
                raise ConfigError(f"Terraform file {path}", "`variable` is no object", "correct it")
            names.update(group)
    return frozenset(names)


def all_blocks(directory: Path) -> Iterator[Block]:
    for path in sorted(directory.glob("*.tf")):
        yield from blocks(text_of(path))


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Terraform file {path}", str(error), "make it readable, in UTF-8"
        ) from None


def json_document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"Terraform file {path}", f"it is no JSON ({error})", "correct it"
        ) from None
    return found if isinstance(found, dict) else {}


def blocks(text: str) -> Iterator[Block]:
    """The top-level blocks of one file."""
    header: list[str] = []
    position = depth = start = 0
    while token := TOKEN.search(text, position):
        position = token.end()
        kind = token.lastgroup if token.lastgroup != "end" else "heredoc"
        if kind == "quote":
            position = end_of_string(text, token.end())
            header += [text[token.end() : position - 1]] if depth == 0 else []
        elif kind == "open":
            start = position if depth == 0 else start
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
            if depth == 0 and header:
                yield Block(header[0], tuple(header[1:]), text[start : token.start()])
            header = [] if depth == 0 else header
        elif depth == 0:
            header = (
                [*header, token["word"]] if kind == "word" else header if kind == "comment" else []
            )


def end_of_string(text: str, position: int) -> int:
    """Where the string that began before `position` is over; `${ … }` and `%{ … }` inside it may
    hold strings of their own.
    """
    while position < len(text):
        here = text[position]
        if here == '"':
            return position + 1
        if text[position : position + 3] in ("$${", "%%{"):
            position += 3
        elif text[position : position + 2] in ("${", "%{"):
            position = end_of_template(text, position + 2)
        else:
            position += 2 if here == "\\" else 1
    return position


def end_of_template(text: str, position: int) -> int:
    depth = 1
    while position < len(text) and depth:
        here = text[position]
        if here == '"':
            position = end_of_string(text, position + 1)
            continue
        depth += {"{": 1, "}": -1}.get(here, 0)
        position += 1
    return position


def fingerprint(directory: Path, backend_config: str | None, version: str) -> str:
    """Changes whenever another `init` is due: binary, backend, providers, modules, lock file,
    backend configuration.

    A provider that a resource merely implies is not seen here: there Terraform itself asks for
    `init`."""
    linked = [block.body for block in all_blocks(directory) if block.kind in LINKED]
    files = [
        LOCK_FILE,
        *([backend_config] if backend_config else []),
        *(path.name for path in sorted(directory.glob("*.tf.json"))),
    ]
    texts = [
        version,
        *linked,
        *(text_of(directory / name) if (directory / name).is_file() else "" for name in files),
    ]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def backend(directory: Path) -> Backend | None:
    """The backend that `init` wrote down; None before `init`, and for a local state."""
    path = directory / DATA / "terraform.tfstate"
    if not path.is_file():
        return None
    found = json_document(path).get("backend") or {}
    config = found.get("config") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(config, dict | None):
        raise ConfigError(
            f"Terraform file {path}",
            "its backend is no object",
            f"remove {path.parent}, then: inv tf.init",
        )
    return Backend(str(found.get("type", "")), config or {})
