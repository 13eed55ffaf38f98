"""The state of a build, and the image configuration that it produces."""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.sandbox.engine.image_store import Image, ImageStore
from ops.sandbox.engine.layers import Layer, Tree, write_layer

_CREATED_LABEL = "org.opencontainers.image.created"
_SCRATCH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class BuildError(Exception):
    """A step failed; the text is the builder's output."""


@dataclass
class State:
    """The state of a build after each step.

    `settings` is the configuration's `config`; `paths` are the image's paths, `folders` those that
    are folders.
    """

    library: ImageStore
    platform: str
    escape: str
    buildargs: Mapping[str, str]
    settings: dict[str, Any] = field(
        default_factory=lambda: {"Env": [_SCRATCH_ENV], "WorkingDir": "", "Labels": {}}
    )
    layers: list[Layer] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    arguments: dict[str, str] = field(default_factory=dict)
    global_arguments: dict[str, str] = field(default_factory=dict)
    consumed: set[str] = field(default_factory=set)
    based_on: str = "scratch"
    command_set: bool = False
    changed: bool = False
    untouched: bool = False  # only FROM has run

    @property
    def environment(self) -> dict[str, str]:
        return dict(each.partition("=")[::2] for each in self.settings["Env"])

    @property
    def variables(self) -> dict[str, str]:
        """Return the values for $NAME: ARG, overridden by ENV."""
        return {**self.arguments, **self.environment}

    def note(self, what: str, layer: Layer | None = None) -> None:
        """Add an entry to the image's history, worded as the legacy builder does."""
        entry: dict[str, Any] = {"created_by": f"/bin/sh -c #(nop) {what}"}
        if layer is None:
            entry["empty_layer"] = True
        else:
            self.layers.append(layer)
        self.history.append(entry)
        self.changed, self.untouched = True, False

    def add_layer(self, what: str, tree: Tree) -> None:
        """Store a tree as the next layer."""
        self.note(what, write_layer(tree, self.library.blobs))
        self.folders |= {path for path, entry in tree.entries.items() if entry.kind == "dir"}

    def key(self) -> str:
        """Return a digest of everything but the time; equal keys mean equal images."""
        parts = [
            self.platform,
            self.based_on,
            self.settings,
            [layer.digest for layer in self.layers],
            self.history,
        ]
        return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def config(self, created: str) -> dict[str, Any]:
        """Return the image configuration, created at `created` (RFC 3339)."""
        system, _, architecture = self.platform.partition("/")
        settings = {
            name: value for name, value in self.settings.items() if value not in (None, {}, "")
        }
        return {
            "architecture": architecture,
            "os": system,
            "created": created,
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
            "history": [{"created": created, **entry} for entry in self.history],
        }

    def finish(self, fresh: bool) -> Image:
        """Store the image.

        Without a `created` label it retains the time of the first such build, unless `fresh`
        (nocache) is set.
        """
        labelled, key = self.settings["Labels"].get(_CREATED_LABEL), self.key()
        earlier = None if labelled or fresh else self.library.built_from(key)
        created = labelled or (self.library.config(earlier)["created"] if earlier else _now())
        return self.library.keep(self.config(created), tuple(self.layers), key)


def start_from(state: State, image: Image) -> None:
    """Continue from a stored image."""
    config = state.library.config(image)
    state.settings = {
        "Env": [_SCRATCH_ENV],
        "WorkingDir": "",
        "Labels": {},
        **copy.deepcopy(config.get("config") or {}),
    }
    state.settings["Labels"] = state.settings.get("Labels") or {}
    state.layers, state.based_on, state.changed = list(image.layers), image.id, True
    state.untouched = True
    state.history = [
        {name: value for name, value in entry.items() if name != "created"}
        for entry in config.get("history", [])
    ]
    for layer in image.layers:
        with tarfile.open(state.library.blobs.path(layer.digest), mode="r:*") as archive:
            state.folders |= {
                member.name.strip("/").removeprefix("./") for member in archive if member.isdir()
            }


def _now() -> str:
    return (
        datetime.datetime.now(datetime.UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )
