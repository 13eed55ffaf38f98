"""Incidents as folders of evidence: the rules over each give the cause that it is known to have.

Each folder was written by `inv troubleshoot.all --save` while one of the incidents of live
platforms was made in the sandbox. `expected.json` has the names of its root causes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.diagnosis import archive
from ops.diagnosis.diagnose import diagnose

REPLAYS = sorted(path for path in Path(__file__).with_name("replays").iterdir() if path.is_dir())


def test_there_are_ten_incidents() -> None:
    assert len(REPLAYS) >= 10


@pytest.mark.parametrize("folder", REPLAYS, ids=lambda path: path.name)
def test_the_incident_has_its_cause(folder: Path) -> None:
    found = diagnose(archive.load(folder))
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    assert not found.broken_rules, found.broken_rules
    assert [each.cause for each in found.roots] == expected["causes"]
    assert all(each.candidate.finding.evidence for each in found.roots)
