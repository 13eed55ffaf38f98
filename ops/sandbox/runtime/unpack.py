"""Safe unpacking of layers into a folder (OCI image-spec, layer.md).

Nothing is written outside the folder, whatever names and links a layer contains. Symbolic links are
followed as in the container, with the folder as root; absolute ones are rewritten to stay inside.
Whiteouts (`.wh.name`, `.wh..wh..opq`) delete files of lower layers. Devices and pipes are skipped,
setuid bits and owners dropped.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from pathlib import Path

_MOST_BYTES = 8 << 30
_MOST_LINKS = 40
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


class UnpackError(Exception):
    """A layer can't be unpacked: it is invalid, too large, or reaches outside."""


def unpack(layer: Path, root: Path) -> None:
    """Unpack one layer over `root`. Raises UnpackError."""
    written = 0
    try:
        with tarfile.open(layer, mode="r:*") as archive:
            for member in archive:
                written += member.size
                if written > _MOST_BYTES:
                    raise UnpackError(f"a layer may unpack to {_MOST_BYTES} bytes at most")
                _place(archive, member, root)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UnpackError(f"failed to extract layer: {error}") from error


def inside(root: Path, name: str) -> Path:
    """Return the path of `name` below `root`, following links as in a container.

    `..` stops at the root.
    """
    parts, place, links = _parts(name), root, 0
    while len(parts) > 1:
        part = parts.pop(0)
        if part == "..":
            place = place.parent if place != root else root
            continue
        step = place / part
        if step.is_symlink():
            links += 1
            if links > _MOST_LINKS:
                raise UnpackError(f"too many levels of symbolic links: {name}")
            target = str(step.readlink())
            place = root if target.startswith("/") else place
            parts = [*_parts(target), *parts]
            continue
        place = step
    return place / parts[0] if parts and parts[0] != ".." else place


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    parts = _parts(member.name)
    if not parts:
        return
    if ".." in parts:
        raise UnpackError(f"failed to extract layer: {member.name!r} reaches outside the image")
    path = inside(root, member.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if parts[-1].startswith(_WHITEOUT):
        _white_out(path)
    elif member.isdir():
        _clear(path, keep_folder=True)
        path.mkdir(exist_ok=True)
    elif member.isfile():
        _clear(path)
        _write(archive, member, path)
    elif member.issym():
        _clear(path)
        path.symlink_to(_kept_inside(root, path, member.linkname))
    elif member.islnk():
        source = inside(root, member.linkname)
        if source.is_symlink() or not source.is_file():
            raise UnpackError(
                f"failed to extract layer: hard link {member.name!r} to "
                f"{member.linkname!r}, which is not a file"
            )
        _clear(path)
        os.link(source, path)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    stream = archive.extractfile(member)
    if stream is None:
        raise UnpackError(f"failed to extract layer: {member.name!r} cannot be read")
    with path.open("xb") as out:
        shutil.copyfileobj(stream, out, 1 << 20)
    path.chmod(member.mode & 0o755 | 0o400)
    os.utime(path, (member.mtime, member.mtime))


def _white_out(path: Path) -> None:
    if path.name == _OPAQUE:
        for each in list(path.parent.iterdir()):
            _clear(each)
    else:
        _clear(path.with_name(path.name.removeprefix(_WHITEOUT)))


def _clear(path: Path, keep_folder: bool = False) -> None:
    if path.is_dir() and not path.is_symlink():
        if not keep_folder:
            shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


def _kept_inside(root: Path, link: Path, target: str) -> str:
    """Return a link's target, relative and never above the root (where `/..` is `/`)."""
    here = link.parent.relative_to(root).as_posix()
    landing = posixpath.normpath(
        posixpath.join("/", "" if target.startswith("/") else here, target)
    ).lstrip("/")
    return posixpath.relpath("/" + landing, "/" + here)
