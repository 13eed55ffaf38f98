"""The shipped base image `sandbox/python:3`.

With the process runtime it *means* "the Python that runs the sandbox, with psycopg": the image
itself holds only a marker that tells the runtime that `python3` is available
(ops/sandbox/runtime/runtime.py). With a real engine an image of the same name is built from that
Python (ops/sandbox/runtime/docker_base.py). Its bytes are constant, so that images built on it have
the same digest on every machine.
"""

from __future__ import annotations

from typing import Any

from ops.sandbox.engine.image_store import Image, ImageStore
from ops.sandbox.engine.layers import Entry, Tree, plain_tar, write_layer
from ops.sandbox.registry.store import digest_of

NAME = "sandbox/python:3"
_CREATED = "1970-01-01T00:00:00Z"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
USERS = {"root": (0, 0), "nobody": (65534, 65534)}
_MARKER = b"The Python that runs the sandbox, with psycopg (ops/sandbox/engine/base.py).\n"


def _marker() -> Tree:
    tree = Tree()
    tree.add(Entry("etc/passwd", "file", PASSWD))
    tree.add(Entry("etc/sandbox-python", "file", _MARKER))
    tree.add(Entry("tmp"))
    return tree


def marker_diff_id() -> str:
    """Return the diff_id of the base's only layer, which identifies images built on the base."""
    return digest_of(plain_tar(_marker()))


def ensure_base(library: ImageStore) -> Image:
    """Add the base image to the store if missing."""
    layer = write_layer(_marker(), library.blobs)
    settings: dict[str, Any] = {
        "Env": [f"PATH={PATH}"],
        "Cmd": ["python3"],
        "WorkingDir": "/",
        "Labels": {},
    }
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": _CREATED,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": _CREATED, "created_by": "the Python that runs the sandbox"}],
    }
    image = library.keep(config, (layer,), key=NAME)
    if library.names().get(NAME) != image.id:
        library.tag(image, NAME)
    return image
