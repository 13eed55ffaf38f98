"""Deterministic layers as tar.gz: entries sorted, time 0, modes 0755 and 0644.

The gzip is written here with stored blocks (RFC 1951, 3.2.4): zlib and its successors compress the
same bytes differently, so the same commit would have another digest on another machine.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ops.sandbox.registry.store import Blobs, digest_of

_BLOCK = 0xFFFF


@dataclass(frozen=True)
class Entry:
    """One file, folder or symbolic link of a layer.

    `path` has no leading slash; `data` is for files only.
    """

    path: str
    kind: str = "dir"  # dir | file | link
    data: bytes = b""
    target: str = ""
    executable: bool = False
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Layer:
    """A finished layer; sizes in bytes.

    `digest` is of the tar.gz, `diff_id` of the tar, `content` the size of the files.
    """

    digest: str
    diff_id: str
    size: int
    content: int


@dataclass
class Tree:
    """The entries that one instruction adds; a later entry replaces an earlier one."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, entry: Entry, known: frozenset[str] | set[str] = frozenset()) -> None:
        """Add an entry, and its parents unless this layer or the image (`known`) has them."""
        parent = Path(entry.path).parent.as_posix()
        if parent != "." and parent not in known and parent not in self.entries:
            self.add(Entry(parent), known)
        self.entries[entry.path] = entry


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.path)
    info.uid, info.gid = entry.owner
    info.mode = 0o755 if entry.kind == "dir" or entry.executable else 0o644
    if entry.kind == "dir":
        info.type = tarfile.DIRTYPE
    elif entry.kind == "link":
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
    else:
        info.size = len(entry.data)
    return info


def plain_tar(tree: Tree) -> bytes:
    """Return the tar of a tree; its digest is the layer's diff_id."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree.entries):
            entry = tree.entries[path]
            archive.addfile(_info(entry), io.BytesIO(entry.data) if entry.kind == "file" else None)
    return out.getvalue()


def _gzip(plain: bytes) -> Iterator[bytes]:
    """Return a gzip member (RFC 1952) without name, time or compression."""
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    for start in range(0, len(plain), _BLOCK):
        block = plain[start : start + _BLOCK]
        last = start + _BLOCK >= len(plain)
        yield struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block
    yield struct.pack("<II", zlib.crc32(plain), len(plain) & 0xFFFFFFFF)


def write_layer(tree: Tree, blobs: Blobs) -> Layer:
    """Store `tree` as a layer blob."""
    plain = plain_tar(tree)
    packed = b"".join(_gzip(plain))
    diff_id = digest_of(plain)
    return Layer(
        blobs.put(packed),
        diff_id,
        len(packed),
        sum(len(entry.data) for entry in tree.entries.values()),
    )
