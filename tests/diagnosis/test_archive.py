"""Snapshots as files: what is saved is diagnosed alike; a damaged folder is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.core.errors import ConfigError
from ops.core.redaction.redact import known
from ops.diagnosis import archive
from ops.diagnosis.diagnose import diagnose
from tests.diagnosis.incidents import GROUP, causes, snapshot, target, world


def test_a_saved_incident_is_diagnosed_as_the_live_one(tmp_path: Path) -> None:
    documents = world()
    text = "Health checks failed with these codes: [404]"
    documents["elb/targets"][GROUP] = [
        target("10.0.1.2", "unhealthy", "Target.ResponseCodeMismatch", text)
    ]
    live = snapshot(documents, {"rds/instance": "AccessDenied"})
    archive.save(live, tmp_path / "incident")
    replayed = diagnose(archive.load(tmp_path / "incident"))
    assert replayed.found == diagnose(live).found and causes(replayed) == ["health_path_wrong"]
    assert [each.key for each in replayed.snapshot.unread] == ["rds/instance"]


def test_secrets_are_hidden(tmp_path: Path) -> None:
    known.add("correct-horse-battery")
    documents = world()
    documents["logs/stopped"]["dev-backend"]["a"] = ["login with correct-horse-battery failed"]
    archive.save(snapshot(documents), tmp_path / "incident")
    text = "".join(path.read_text() for path in (tmp_path / "incident").iterdir())
    assert "correct-horse-battery" not in text and "login with" in text
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "incident").iterdir())


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        archive.save(snapshot(world()), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ("{", "manifest.json"),
        ("[]", "expected the manifest"),
        ('{"version": 1}', "missing or wrong field"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, manifest: str, why: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ConfigError, match=why):
        archive.load(tmp_path)


def test_a_file_outside_the_folder_is_refused(tmp_path: Path) -> None:
    archive.save(snapshot(world()), tmp_path / "incident")
    manifest = tmp_path / "incident" / "manifest.json"
    document = json.loads(manifest.read_text())
    document["documents"][0]["file"] = "../elsewhere.json"
    manifest.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="outside the folder"):
        archive.load(tmp_path / "incident")


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(ConfigError, match="--save"):
        archive.save(snapshot(world()), Path("/proc/none/incident"))
