"""Snapshots as files: `--save DIR` writes them, `--from DIR` reads them.

A folder holds `manifest.json` and one JSON file for each document. It contains no secret: documents
are redacted when they are collected, and again when they are written.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ops.core import files
from ops.core.errors import ConfigError
from ops.diagnosis.collectors.registry import redacted
from ops.diagnosis.model import Document, EvidenceSnapshot

_MANIFEST = "manifest.json"
_VERSION = 1


def save(snapshot: EvidenceSnapshot, folder: Path) -> None:
    """Write a snapshot into a new or empty folder. Raises ConfigError for another one."""
    check_target(folder)
    try:
        _write(snapshot, folder)
    except OSError as error:
        why = f"{error.strerror}: {error.filename or folder}"
        raise ConfigError(f"--save {folder}", why, "name a folder that can be written") from None


def _write(snapshot: EvidenceSnapshot, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    documents = []
    for each in snapshot.documents.values():
        name = f"{each.key.replace('/', '-')}.json"
        entry = {name: value for name, value in asdict(each).items() if name != "content"}
        documents.append({**entry, "file": "" if each.unknown else name})
        if not each.unknown:
            files.write_json(folder / name, redacted(each.content), mode=0o600)
    manifest = {
        "version": _VERSION,
        "environment": snapshot.environment,
        "at": snapshot.at,
        "took_s": round(snapshot.took_s, 3),
        "aws": snapshot.aws,
        "subject": dict(snapshot.subject),
        "documents": documents,
    }
    files.write_json(folder / _MANIFEST, redacted(manifest), mode=0o600)


def check_target(folder: Path) -> None:
    """Raise ConfigError unless the folder is new or empty."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        why = "it exists and is not an empty folder"
        raise ConfigError(f"--save {folder}", why, "name a new folder")


def load(folder: Path) -> EvidenceSnapshot:
    """Read a saved snapshot. Raises ConfigError, which names the file and its mistake."""
    if not (folder / _MANIFEST).is_file():
        raise _invalid(folder, f"it has no {_MANIFEST}")
    manifest = _read(folder, _MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("version") != _VERSION:
        raise _invalid(folder / _MANIFEST, f"expected the manifest of version {_VERSION}")
    try:
        documents = {each["key"]: _document(folder, each) for each in manifest["documents"]}
        return EvidenceSnapshot(
            manifest["environment"],
            manifest["at"],
            float(manifest["took_s"]),
            manifest["subject"],
            documents,
            manifest["aws"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(folder / _MANIFEST, f"missing or wrong field {error}") from None
    except OSError as error:
        raise _invalid(folder, f"{error.strerror}: {error.filename}") from None


def _document(folder: Path, entry: dict[str, Any]) -> Document:
    name = entry["file"]
    if name and Path(name).name != name:
        raise _invalid(folder / _MANIFEST, f"the file {name} is outside the folder")
    content = _read(folder, name) if name else None
    return Document(
        entry["key"], entry["source"], entry["at"], content, entry["unknown"], entry["denied"]
    )


def _read(folder: Path, name: str) -> Any:
    content = files.read_json(folder / name)
    if content is None and (folder / name).read_bytes().strip() != b"null":
        raise _invalid(folder / name, "it is not JSON")
    return content


def _invalid(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"--from {path}", why, "name a folder that inv troubleshoot.all --save wrote"
    )
