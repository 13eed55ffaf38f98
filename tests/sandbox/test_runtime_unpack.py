"""Layers that try to write where they should not, and whiteouts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from ops.sandbox.runtime.unpack import UnpackError, inside, unpack


def layer(folder: Path, *members: tuple[str, bytes, str | bytes]) -> Path:
    """A layer of (name, tar type, content or link target)."""
    path = folder / f"layer-{len(list(folder.iterdir()))}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if isinstance(content, bytes):
                info.size = len(content)
            else:
                info.linkname = content
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/../outside"])
def test_names_that_climb_are_refused(tmp_path: Path, root: Path, name: str) -> None:
    """A member named with `..` stops the pull."""
    with pytest.raises(UnpackError, match="outside"):
        unpack(layer(tmp_path, (name, tarfile.REGTYPE, b"x")), root)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("target", ["/", "..", "../..", "/etc", "../../../.."])
def test_links_lead_nowhere_outside(tmp_path: Path, root: Path, target: str) -> None:
    """A file written through a symbolic link lands in the image, whatever the link says."""
    unpack(
        layer(tmp_path, ("link", tarfile.SYMTYPE, target), ("link/escaped", tarfile.REGTYPE, b"x")),
        root,
    )
    written = list(tmp_path.rglob("escaped"))
    assert written and all(path.resolve().is_relative_to(root) for path in written)
    assert (root / "link").resolve().is_relative_to(root)


def test_hard_links_stay_inside(tmp_path: Path, root: Path) -> None:
    """A hard link to a file of the image works; one to this machine's files is refused."""
    unpack(layer(tmp_path, ("a", tarfile.REGTYPE, b"x"), ("b", tarfile.LNKTYPE, "a")), root)
    assert (root / "b").read_bytes() == b"x"
    with pytest.raises(UnpackError, match="hard link"):
        unpack(layer(tmp_path, ("c", tarfile.LNKTYPE, "/etc/passwd")), root)


def test_a_loop_of_links_ends(tmp_path: Path, root: Path) -> None:
    """Links in a circle are an error, not a hang."""
    with pytest.raises(UnpackError):
        unpack(
            layer(
                tmp_path,
                ("a", tarfile.SYMTYPE, "b"),
                ("b", tarfile.SYMTYPE, "a"),
                ("a/x", tarfile.REGTYPE, b"x"),
            ),
            root,
        )


def test_upper_layers_replace_and_delete(tmp_path: Path, root: Path) -> None:
    """A file replaces a folder, a whiteout deletes, an opaque folder hides what was below."""
    unpack(
        layer(
            tmp_path,
            ("d/old", tarfile.REGTYPE, b"1"),
            ("gone", tarfile.REGTYPE, b"1"),
            ("kind/x", tarfile.REGTYPE, b"1"),
        ),
        root,
    )
    upper = (
        ("d/.wh..wh..opq", tarfile.REGTYPE, b""),
        ("d/new", tarfile.REGTYPE, b"2"),
        (".wh.gone", tarfile.REGTYPE, b""),
        ("kind", tarfile.REGTYPE, b"now a file"),
    )
    unpack(layer(tmp_path, *upper), root)
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == [
        "d",
        "d/new",
        "kind",
    ]


def test_devices_are_left_out(tmp_path: Path, root: Path) -> None:
    """Nothing but files, folders and links is made."""
    unpack(layer(tmp_path, ("null", tarfile.CHRTYPE, b""), ("pipe", tarfile.FIFOTYPE, b"")), root)
    assert list(root.iterdir()) == []


def test_a_broken_layer_is_an_error(tmp_path: Path, root: Path) -> None:
    """Half a layer does not become half an image."""
    whole = layer(tmp_path, ("a", tarfile.REGTYPE, b"x" * 100000))
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(UnpackError):
        unpack(whole, root)


def test_paths_are_found_as_the_container_would(root: Path) -> None:
    """Absolute links and `..` are read with the image as the root."""
    (root / "real").mkdir()
    (root / "abs").symlink_to("/real")
    assert inside(root, "/abs/file") == root / "real" / "file"
    assert inside(root, "/../../real/file") == root / "real" / "file"
