"""The Dockerfile parser, with dockerd's errors (moby's dockerfile/parser and instructions)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Every instruction that dockerd knows: whatever else stands there is its parse error, not our
# refusal.
_KNOWN = frozenset(
    {
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    }
)
_ONE = frozenset({"FROM", "WORKDIR", "USER"})
_SOME = frozenset({"ENV", "LABEL", "EXPOSE", "ARG"})
_FLAGS = {"COPY": {"chown", "from", "chmod"}, "FROM": {"platform"}}
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z")
_COMMENT = re.compile(r"\s*#")
_FLAG = re.compile(r"--([a-zA-Z0-9-]+)(?:=(\S*))?(?:\s+|\Z)")


class ParseError(Exception):
    """The Dockerfile is invalid; dockerd answers 400 with this text before any step."""


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile.

    `line` is its first line (from 1), `text` as the builder shows it, `rest` the text after name
    and flags.
    """

    line: int
    name: str
    text: str
    rest: str
    flags: tuple[tuple[str, str], ...] = ()

    def flag(self, name: str) -> str | None:
        return dict(self.flags).get(name)


@dataclass(frozen=True)
class Dockerfile:
    """A parsed Dockerfile; `escape` is its escape character."""

    instructions: tuple[Instruction, ...]
    escape: str


def parse(source: str, name: str = "Dockerfile") -> Dockerfile:
    """Parse a Dockerfile. Raises ParseError."""
    lines = source.removeprefix("\ufeff").splitlines()
    escape = _escape(lines)
    instructions = tuple(_instruction(number, text) for number, text in _logical(lines, escape))
    if not source.strip():
        raise ParseError(f"the Dockerfile ({name}) cannot be empty")
    if not instructions:
        raise ParseError("failed to parse Dockerfile: file with no instructions")
    _in_a_stage(instructions)
    return Dockerfile(instructions, escape)


def _escape(lines: list[str]) -> str:
    """Return the escape character of the directive, which must precede everything else."""
    for line in lines:
        found = _DIRECTIVE.match(line)
        if not found:
            return "\\"
        if found[1].lower() == "escape":
            if found[2] not in ("\\", "`"):
                raise ParseError(f"invalid ESCAPE '{found[2]}'. Must be ` or \\")
            return found[2]
    return "\\"


def _logical(lines: list[str], escape: str) -> list[tuple[int, str]]:
    """Yield (line number, text) of each instruction.

    Continuations are joined; comments and empty lines are dropped.
    """
    continues = re.compile(re.escape(escape) + r"[ \t]*\Z")
    found: list[tuple[int, str]] = []
    start, text = 0, ""
    for number, line in enumerate(lines, 1):
        if _COMMENT.match(line) or not line.strip():
            continue
        start = start or number
        if continues.search(line):
            text += continues.sub("", line)
            continue
        found.append((start, (text + line).strip()))
        start, text = 0, ""
    return [*found, (start, text.strip())] if text.strip() else found


def _instruction(line: int, text: str) -> Instruction:
    word, _, rest = text.partition(" ") if " " in text else text.partition("\t")
    name, rest = word.upper(), rest.strip()
    if name not in _KNOWN:
        raise ParseError(f"dockerfile parse error line {line}: unknown instruction: {name}")
    flags: list[tuple[str, str]] = []
    while name in _FLAGS and (found := _FLAG.match(rest)):
        if found[1] not in _FLAGS[name]:
            raise ParseError(f"dockerfile parse error line {line}: Unknown flag: {found[1]}")
        flags.append((found[1], found[2] or ""))
        rest = rest[found.end() :]
    _arguments(line, name, rest)
    return Instruction(line, name, text, rest, tuple(flags))


def _arguments(line: int, name: str, rest: str) -> None:
    """Check the number of arguments, as dockerd does while parsing."""
    count = len(rest.split())
    where = f"dockerfile parse error line {line}: {name}"
    if name in _ONE and not rest:
        raise ParseError(
            f"{where} requires "
            f"{'either one or three arguments' if name == 'FROM' else 'exactly one argument'}"
        )
    if name in _SOME and not rest:
        raise ParseError(f"{where} requires at least one argument")
    if name == "COPY" and not rest.startswith("[") and count < 2:
        given = "no arguments were provided" if not count else "only one was provided"
        raise ParseError(
            f"{where} requires at least two arguments, but {given}. Destination could not "
            f"be determined"
        )
    if name == "FROM" and count not in (1, 3):
        raise ParseError(f"{where} requires either one or three arguments")
    if name in ("ENV", "LABEL") and "=" not in rest.split()[0] and count < 2:
        raise ParseError(f"failed to parse Dockerfile: {name} must have two arguments")


def _in_a_stage(instructions: tuple[Instruction, ...]) -> None:
    """Require FROM before any instruction but ARG."""
    for each in instructions:
        if each.name == "FROM":
            return
        if each.name != "ARG":
            break
    raise ParseError("no build stage in current context")
