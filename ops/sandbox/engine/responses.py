"""The engine's JSON answers, with the field names of the Docker Engine API 1.41."""

from __future__ import annotations

import datetime
import platform
from typing import Any

from ops.sandbox.engine.image_store import Image, ImageStore

API_VERSION = "1.41"
_MIN_API_VERSION = "1.12"
ENGINE_VERSION = "20.10.24+sandbox"
_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def machine() -> str:
    """Return this machine's architecture in Docker's notation."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def version() -> dict[str, Any]:
    """Answer GET /version."""
    details = {
        "ApiVersion": API_VERSION,
        "Arch": machine(),
        "MinAPIVersion": _MIN_API_VERSION,
        "Os": "linux",
        "Experimental": "false",
    }
    return {
        "Platform": {"Name": "ops sandbox engine (emulated)"},
        "Components": [{"Name": "Engine", "Version": ENGINE_VERSION, "Details": details}],
        "Version": ENGINE_VERSION,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": _MIN_API_VERSION,
        "GitCommit": "sandbox",
        "GoVersion": "",
        "Os": "linux",
        "Arch": machine(),
        "KernelVersion": platform.release(),
    }


def info(library: ImageStore) -> dict[str, Any]:
    """Answer GET /info."""
    return {
        "ID": "sandbox",
        "Name": "sandbox",
        "Images": len(library.every()),
        "Containers": 0,
        "ContainersRunning": 0,
        "Driver": "sandbox",
        "OperatingSystem": "ops sandbox engine (emulated)",
        "OSType": "linux",
        "Architecture": platform.machine(),
        "ServerVersion": ENGINE_VERSION,
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {},
            "Mirrors": [],
        },
        "Labels": ["sandbox=emulated"],
        "Warnings": None,
    }


def _tags(library: ImageStore, image: Image) -> list[str]:
    return sorted(name for name, identity in library.names().items() if identity == image.id)


def inspected(library: ImageStore, image: Image) -> dict[str, Any]:
    """Answer GET /images/{name}/json."""
    config = library.config(image)
    settings = config.get("config") or {}
    return {
        "Id": image.id,
        "RepoTags": _tags(library, image),
        "RepoDigests": list(image.digests),
        "Parent": "",
        "Comment": "",
        "Created": config.get("created"),
        "DockerVersion": ENGINE_VERSION,
        "Author": config.get("author", ""),
        "Config": {
            "User": settings.get("User", ""),
            "ExposedPorts": settings.get("ExposedPorts"),
            "Env": settings.get("Env"),
            "Cmd": settings.get("Cmd"),
            "WorkingDir": settings.get("WorkingDir", ""),
            "Entrypoint": settings.get("Entrypoint"),
            "Labels": settings.get("Labels"),
        },
        "Architecture": config["architecture"],
        "Os": config["os"],
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Name": "sandbox", "Data": None},
        "RootFS": {"Type": "layers", "Layers": config["rootfs"]["diff_ids"]},
        "Metadata": {"LastTagTime": None},
    }


def listed(library: ImageStore, image: Image) -> dict[str, Any]:
    """Return one entry of GET /images/json."""
    config = library.config(image)
    return {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": _tags(library, image) or ["<none>:<none>"],
        "RepoDigests": list(image.digests) or None,
        "Created": _epoch(str(config.get("created", ""))),
        "Size": image.size,
        "VirtualSize": image.size,
        "SharedSize": -1,
        "Labels": (config.get("config") or {}).get("Labels"),
        "Containers": -1,
    }


def history(library: ImageStore, image: Image) -> list[dict[str, Any]]:
    """Answer GET /images/{name}/history, newest first."""
    entries = library.config(image).get("history", [])
    sizes = iter([layer.content for layer in image.layers])
    lines = [
        {
            "Id": "<missing>",
            "Created": _epoch(entry.get("created", "")),
            "CreatedBy": entry.get("created_by", ""),
            "Size": 0 if entry.get("empty_layer") else next(sizes, 0),
            "Tags": None,
            "Comment": entry.get("comment", ""),
        }
        for entry in entries
    ]
    if lines:
        lines[-1].update({"Id": image.id, "Tags": _tags(library, image)})
    return lines[::-1]


def _epoch(created: str) -> int:
    try:
        return int(datetime.datetime.fromisoformat(created).timestamp())
    except ValueError:
        return 0
