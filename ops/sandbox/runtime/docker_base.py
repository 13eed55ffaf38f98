"""The base image `sandbox/python:3` for a real engine, assembled without pulling anything.

The interpreter that runs the sandbox, its standard library, psycopg, a shell, a few programs for
RUN and the shared libraries that they load go into one tar for `docker import`. Paths are the same
as on this machine, because an interpreter finds its library by its own location. Linux only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.sandbox.engine.base import NAME, PASSWD, PATH

_LABEL = "ops.sandbox.base"
_PACKAGES = ("psycopg", "psycopg-binary", "typing-extensions")
_FORM = "2"  # to be raised whenever this module packs something else
_PROGRAMS = ("cat", "chmod", "cp", "env", "id", "ln", "ls", "mkdir", "mv", "rm", "sleep")
_LEFT_OUT = frozenset(
    {
        "__pycache__",
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "turtledemo",
        "ensurepip",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "dist-packages",
    }
)
_LIBRARY = re.compile(r"(?:=>\s+)?(/\S+)\s+\(0x")


class NoBaseError(Exception):
    """The base can't be created on this machine; the text is the reason."""


def ensure_base(client: Any, say: Callable[[str], None] = lambda line: None) -> str:
    """Create `sandbox/python:3` of this Python in the engine if missing; return its id.

    Raises NoBaseError, docker's DockerException.
    """
    if not sys.platform.startswith("linux"):
        raise NoBaseError(
            "a real engine needs Linux here: this Python cannot run in a Linux container"
        )
    key = _key()
    # Rows, not `images.list`: that looks at each image built on the base once more, and another
    # sandbox may have removed one meanwhile.
    for image in client.api.images(filters={"label": f"{_LABEL}={key}"}):
        if NAME in (image["RepoTags"] or ()):
            return str(image["Id"])
    say(f"building {NAME} for the Docker engine, once, from {sys.executable}")
    repository, _, tag = NAME.partition(":")
    changes = [f"ENV PATH={PATH}", 'CMD ["python3"]', f"LABEL {_LABEL}={key}"]
    with tempfile.NamedTemporaryFile(suffix=".tar") as out:
        try:
            with tarfile.open(fileobj=out, mode="w") as archive:
                _fill(archive)
        except (OSError, subprocess.SubprocessError) as error:
            raise NoBaseError(f"{NAME} can't be made of {sys.executable}: {error}") from error
        out.flush()
        client.api.import_image_from_file(out.name, repository=repository, tag=tag, changes=changes)
    return str(client.images.get(NAME).id)


def _key() -> str:
    """Return a key of the image's contents: Python, psycopg and packing."""
    parts = [
        platform.python_version(),
        platform.machine(),
        sys.base_prefix,
        importlib.metadata.version("psycopg"),
        _FORM,
    ]
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "-".join(parts))


def _fill(archive: tarfile.TarFile) -> None:
    python, shell = Path(sys.executable).resolve(), Path("/bin/sh").resolve()
    standard = Path(sysconfig.get_path("stdlib"))
    files = {path: path for path in (python, *_tree(standard))}
    site = _site_packages(python)
    files |= {site / relative: path for relative, path in _packages()}
    tools = {
        Path("/bin") / name: Path(found).resolve()
        for name in _PROGRAMS
        if (found := shutil.which(name))
    }
    files |= {Path("/bin/sh"): shell, **tools, **dict(_compiled(files))}
    programs = {
        path
        for path in files.values()
        if ".so" in path.name or path in (python, shell, *tools.values())
    }
    brought = {
        path.resolve() for path in files.values()
    }  # a wheel's own libraries are found beside it
    files |= {
        library: library for library in _libraries(programs) if library.resolve() not in brought
    }
    for name, path in sorted(files.items()):
        archive.add(path.resolve(), str(name).lstrip("/"), recursive=False)
    for link in ("python", "python3", f"python3.{sys.version_info.minor}"):
        _link(archive, f"usr/local/bin/{link}", str(python))
    _text(archive, "etc/passwd", PASSWD)
    _text(archive, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    _folder(archive, "tmp", 0o1777)


def _tree(root: Path) -> Iterator[Path]:
    """Yield every file below `root` except development files."""
    for path in sorted(root.iterdir()):
        if (
            path.name in _LEFT_OUT
            or path.suffix == ".a"
            or path.name.startswith(("config-", "_tkinter"))
        ):
            continue
        if path.is_dir():
            yield from _tree(path)
        elif path.is_file():
            yield path


def _compiled(files: Mapping[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """Yield the existing bytecode of these files.

    Without it, each container would compile its imports again, which takes seconds.
    """
    for name, path in files.items():
        if (
            path.suffix == ".py"
            and (cache := Path(importlib.util.cache_from_source(path))).is_file()
        ):
            yield name.parent / "__pycache__" / cache.name, cache


def _packages() -> Iterator[tuple[str, Path]]:
    """Yield (path below site-packages, file) of psycopg and its dependencies."""
    for name in _PACKAGES:
        try:
            listed = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError:
            raise NoBaseError(f"the package {name} is not installed next to this Python") from None
        for each in listed:
            path = Path(str(each.locate()))
            if path.is_file() and ".." not in each.parts and "__pycache__" not in each.parts:
                yield str(each), path


def _site_packages(python: Path) -> Path:
    """Return the site-packages of the interpreter outside its virtual environment."""
    script = "import site; print(site.getsitepackages()[0])"
    return Path(
        subprocess.run(
            [python, "-I", "-c", script], check=True, capture_output=True, text=True, timeout=30
        ).stdout.strip()
    )


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that the loader would load, including the loader."""
    found: set[Path] = set()
    for program in programs:
        answer = subprocess.run(
            ["ldd", program], check=False, capture_output=True, text=True, timeout=30
        )
        found |= {Path(place) for place in _LIBRARY.findall(answer.stdout)}
    return found


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    archive.addfile(info)


def _text(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def _folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    archive.addfile(info)
