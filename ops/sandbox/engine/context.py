"""The build context: the client's tar, and the files that COPY finds in it.

The client leaves out what `.dockerignore` excludes, but always sends the Dockerfile, so an excluded
Dockerfile is removed here, as dockerd does.
"""

from __future__ import annotations

import posixpath
import re
import tarfile
import tempfile
from collections.abc import Iterator
from typing import IO

from docker.utils.build import PatternMatcher

from ops.sandbox.engine.layers import Entry

_LARGEST_CONTEXT = 512 << 20


class ContextError(Exception):
    """The context can't be used; the text is dockerd's."""


class Context:
    """An open context, holding a temporary file until it is closed."""

    def __init__(self, body: IO[bytes]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            self._receive(body)
            self._archive = tarfile.open(fileobj=self._file, mode="r:*")  # noqa: SIM115
            self._members = {_clean(each.name): each for each in self._archive if _clean(each.name)}
        except tarfile.TarError as error:
            self.close()
            raise ContextError(f"unable to read the build context: {error}") from error
        except BaseException:
            self.close()
            raise

    def _receive(self, body: IO[bytes]) -> None:
        while chunk := body.read(1 << 20):
            if self._file.tell() + len(chunk) > _LARGEST_CONTEXT:
                raise ContextError(f"a build context may have {_LARGEST_CONTEXT} bytes at most")
            self._file.write(chunk)
        self._file.seek(0)

    def close(self) -> None:
        self._file.close()

    def dockerfile(self, name: str) -> str:
        """Return the Dockerfile's text.

        Raises ContextError.

        Afterwards the context no longer contains it if `.dockerignore` excludes it.
        """
        member = self._members.get(_clean(name))
        if member is None or not member.isfile():
            raise ContextError(f"Cannot locate specified Dockerfile: {name}")
        text = self._read(member).decode("utf-8", "replace")
        ignored = self._members.get(".dockerignore")
        if ignored is not None:
            lines = self._read(ignored).decode("utf-8", "replace").splitlines()
            matcher = PatternMatcher(
                [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            )
            for each in (".dockerignore", _clean(name)):
                if matcher.matches(each):
                    self._members.pop(each, None)
        return text

    def find(self, source: str) -> tuple[str, ...]:
        """Return the paths that match a COPY source; a glob may match several or none.

        Raises ContextError for a missing plain name.
        """
        path = _clean(source)
        if posixpath.normpath(source.lstrip("/")).startswith(".."):
            raise ContextError(
                f"COPY failed: forbidden path outside the build context: {source} ()"
            )
        if not set("*?[") & set(source):
            if path and path not in self._members and not any(self.below(path)):
                missing = f"stat {path}: file does not exist"
                raise ContextError(
                    f"COPY failed: file not found in build context or excluded by "
                    f".dockerignore: {missing}"
                )
            return (path,)
        pattern = _glob(path)
        return tuple(sorted(each for each in self._members if pattern.match(each)))

    def is_dir(self, path: str) -> bool:
        member = self._members.get(path)
        return not path or member is None or member.isdir()

    def below(self, folder: str) -> Iterator[str]:
        """Return every path below `folder` ("" for the whole context), sorted."""
        prefix = f"{folder}/" if folder else ""
        return (
            path for path in sorted(self._members) if path.startswith(prefix) and path != folder
        )

    def entry(self, path: str, destination: str, owner: tuple[int, int]) -> Entry:
        """Return the file at `path` as a layer entry at `destination`."""
        member = self._members[path]
        if member.isdir():
            return Entry(destination, owner=owner)
        if member.issym():
            return Entry(destination, "link", target=member.linkname, owner=owner)
        if not (member.isfile() or member.islnk()):
            raise ContextError(f"COPY failed: {path} is neither a file nor a folder")
        return Entry(
            destination,
            "file",
            self._read(member),
            executable=bool(member.mode & 0o111),
            owner=owner,
        )

    def _read(self, member: tarfile.TarInfo) -> bytes:
        stream = self._archive.extractfile(member)
        if stream is None:
            raise ContextError(f"COPY failed: {member.name} cannot be read")
        return stream.read()


def _clean(name: str) -> str:
    """Normalise a path of the context: no `./`, leading slashes or `..`."""
    path = posixpath.normpath("/" + name).lstrip("/")
    return "" if path == "." else path


def _glob(pattern: str) -> re.Pattern[str]:
    """Translate Go's filepath.Match to a regular expression; `*` and `?` stop at a slash."""
    text = "".join(
        {"*": "[^/]*", "?": "[^/]"}.get(sign, sign if sign in "[]^-" else re.escape(sign))
        for sign in pattern
    )
    try:
        return re.compile(text + r"\Z")
    except re.error as error:
        raise ContextError("COPY failed: syntax error in pattern") from error
