"""Image references (`host:port/repository:tag@digest`), parsed by distribution's grammar.

Splitting at the last colon breaks `repo@sha256:…` and `host:5000/repo`; the sandbox parses every
reference with this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Reference:
    """A parsed reference. `registry` is None for a name without a host (`sandbox/python:3`)."""

    registry: str | None
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Return the reference without tag and digest, as `docker images` shows a repository."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def tagged(self) -> str:
        """Return `name:tag`, with `latest` as the default tag."""
        return f"{self.name}:{self.tag or 'latest'}"


def is_tag(text: str) -> bool:
    """Whether `text` is a valid tag: at most 128 characters, all safe in a shell."""
    return bool(_TAG.match(text))


def is_digest(text: str) -> bool:
    """Whether `text` is a sha256 digest, the only algorithm that ECR knows."""
    return bool(_DIGEST.match(text))


def is_repository(text: str) -> bool:
    """Whether `text` is a valid repository name."""
    return len(text) <= _LONGEST_NAME and bool(_NAME.match(text))


def parse(text: str) -> Reference:
    """Parse a reference. Raises ValueError with dockerd's message (`invalid reference format`)."""
    rest, _, digest = text.partition("@")
    host, slash, tail = rest.partition("/")
    registry = host if slash and (host == "localhost" or set(".:") & set(host)) else None
    path = tail if registry else rest
    repository, colon, tag = path.partition(":")
    if repository != repository.lower():
        raise ValueError("invalid reference format: repository name must be lowercase")
    wrong = (
        not is_repository(repository)
        or (registry is not None and not _HOST.match(registry))
        or (bool(colon) and not is_tag(tag))
        or ("@" in text and not is_digest(digest))
    )
    if wrong:
        raise ValueError("invalid reference format")
    return Reference(registry, repository, tag or None, digest or None)
