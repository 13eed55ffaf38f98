"""What is recorded of verdicts and runs, and how it is read back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.aws import s3, session
from ops.aws.s3 import S3Object
from ops.core.config.settings import Settings
from ops.core.errors import Cancelled
from ops.migrations import verify_records
from ops.migrations.authoring import revision_file
from ops.migrations.remote import result
from ops.migrations.status import format_run, history
from ops.migrator.remote.messages import RunEnd
from ops.postgres import fingerprint
from tests.migrations.project import PLACE, Here, here, server

__all__ = ["here", "server"]  # fixtures
EARLY, LATE = "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"


def verdict(verified: bool, at: str, **more: Any) -> dict[str, Any]:
    return {"server": 16, "verified": verified, "at": at, "by": "ann", **more}


@pytest.mark.parametrize("verified", [True, False])
def test_the_buckets_verdict_is_dated_by_s3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verified: bool
) -> None:
    """A laptop whose clock is ahead does not make its sent verdict the newest one, nor does one
    whose clock is behind make its later verdict the oldest."""
    state = {"bucket": "b"}
    settings = Settings(name="x", root=tmp_path, environment={**PLACE, "state": state})
    folder = tmp_path / verify_records._FOLDER
    folder.mkdir(parents=True)
    monkeypatch.setattr(fingerprint, "of_folder", lambda _folder: "c")
    monkeypatch.setattr(session, "connect", lambda _settings: None)
    monkeypatch.setattr(s3, "keys", lambda *_given: ("k",))
    now = datetime(2026, 6, 1, tzinfo=UTC)
    stored = S3Object(verdict(verified, EARLY), "e", now, now)
    monkeypatch.setattr(s3, "read", lambda *_given: stored)
    local = folder / verify_records._file_name("c", 16)
    local.write_text(json.dumps(verdict(not verified, LATE, sent=True)))
    assert (verify_records.why_not_verified(settings, tmp_path, 16) is None) is verified
    local.write_text(json.dumps(verdict(not verified, "2026-03-01T00:00:00+00:00")))
    assert (verify_records.why_not_verified(settings, tmp_path, 16) is None) is verified


TORN = {
    "cut off": b'{"server": 16, "verified": tr',
    "empty": b"",
    "not text": b"\xff\xfe",
    "another document": b'["server", 16]',
    "without a server": b'{"verified": true}',
}


@pytest.mark.parametrize("case", TORN)
def test_a_torn_record_counts_as_no_verification(tmp_path: Path, case: str) -> None:
    """A crash during an older version's write must not end a protected upgrade in an error."""
    settings = Settings(name="x", root=tmp_path, environment=PLACE)
    revisions = tmp_path / "alembic"
    revisions.mkdir()
    (revisions / "env.py").touch()
    record = verify_records._file_name(fingerprint.of_folder(revisions), 16)
    folder = tmp_path / verify_records._FOLDER
    folder.mkdir(parents=True)
    (folder / record).write_bytes(TORN[case])
    why = str(verify_records.why_not_verified(settings, revisions, 16))
    assert why == "no db.verify of these revisions is known"


def test_a_verdict_that_cannot_be_stored_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`.ops` is unwritable: the verdict stands, and its loss is a line of progress."""
    settings = Settings(name="x", root=tmp_path, environment=PLACE)
    (tmp_path / ".ops").write_text("not a folder")
    verify_records.store(settings, "c", verdict(True, EARLY))
    err = capsys.readouterr().err
    assert "the verdict could not be stored" in err and "not stored anywhere" in err


def test_a_killed_run_is_lost_in_the_history_and_its_end_unknown(here: Here) -> None:
    """Nobody holds the lock: it does not run, and where it led is not known."""
    here.project.write("0001", "CREATE TABLE t (id int)", "DROP TABLE t")
    here.go()
    here.project.ask(
        "INSERT INTO ops_migrations.runs (id, verb, by, host, from_revision)"
        " VALUES ('dead', 'db.upgrade', 'ann', 'desk', '0001')"
    )
    entry = history(here.target, 1).runs[0]
    assert entry["result"] == "lost" and "lost: 0001 → ?" in format_run(entry)
    with here.project.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [0x6F70736D69677261])
        assert history(here.target, 1).runs[0]["result"] == "running"


@pytest.mark.parametrize(
    "message", ['a""" + __import__("os").abort() + """', "ends in \\", 'says "x"', "\\N{x}", '"']
)
def test_a_message_is_text_in_the_revision_that_it_names(here: Here, message: str) -> None:
    """Whatever is in it: it comes back as it was typed."""
    from ops.migrator.revisions.scripts import Scripts, to_revision

    (path,) = revision_file.write_files(here.project.folder, message)
    scripts = Scripts(str(here.project.folder))
    made = to_revision(scripts.directory.get_revision(scripts.head))  # type: ignore[arg-type]
    assert made.file == path and made.says == f"{message}."


def test_a_revision_that_cannot_be_written_leaves_no_file(here: Here) -> None:
    """A broken file would stop every other command."""
    template = here.project.folder / "script.py.mako"
    template.write_text(template.read_text() + "\nraise RuntimeError('broken')\n")
    with pytest.raises(Exception, match="broken"):
        revision_file.write_files(here.project.folder, "Add tags")
    assert not [*(here.project.folder / "versions").glob("*.py")]


def test_a_run_that_was_ended_by_force_says_so() -> None:
    """With what its runner wrote, and without a look at the database."""
    end: RunEnd = {"state": "cancelled", "forced": "revision 0002 swallowed it"}
    with pytest.raises(Cancelled, match="run r1 was ended") as error:
        result.outcome_of("r1", end, lambda: pytest.fail("asked"))
    assert error.value.why == "revision 0002 swallowed it"
