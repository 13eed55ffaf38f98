"""The timeline: moments of all sources, in their order, within the time that was asked for."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ops.diagnosis.collectors.registry import as_json
from ops.diagnosis.diagnose import diagnose
from ops.diagnosis.incident import read_incident
from ops.diagnosis.result import DiagnosisResult
from ops.diagnosis.rules import topics
from ops.diagnosis.rules.timeline import timeline
from tests.diagnosis.incidents import snapshot, stopped, world


def test_sources_are_merged_by_time() -> None:
    documents = world()
    documents["releases"] = {
        "backend": [
            {"at": "2026-11-28T02:50:00+00:00", "tag": "abc1234", "verdict": "rolled_back"},
            {"at": "2026-11-27T02:50:00+00:00", "tag": "old0000", "verdict": "succeeded"},
            {"tag": "without-time"},
        ]
    }
    task = stopped("t1", "Essential container in task exited") | {
        "stoppedAt": "2026-11-28T02:51:00+00:00"
    }
    documents["ecs/tasks"]["dev-backend"]["stopped"] = [task]
    documents["rds/events"] = [
        {"Date": "2026-11-28T02:49:00+00:00", "Message": "DB instance shutdown"}
    ]
    documents["cloudtrail/updates"] = [
        {
            "EventTime": "2026-11-28T02:50:30+00:00",
            "EventName": "UpdateService",
            "Username": "pipeline",
        }
    ]
    documents["database/activity"] = {
        "history": [
            {
                "run": "r1",
                "verb": "db.upgrade",
                "by": "ada",
                "began_at": "2026-11-28T02:52:00+00:00",
                "ended_at": "2026-11-28T02:53:00+00:00",
                "result": "failed",
            }
        ]
    }
    documents["logs/database"] = {
        "backend": [{"at": "2026-11-28T02:54:00+00:00", "task": "t2", "message": "refused"}]
    }
    found = timeline(read_incident(snapshot(documents)), timedelta(minutes=30))
    assert [(each.source, each.text) for each in found] == [
        ("RDS", "DB instance shutdown"),
        ("release", "deploy abc1234: rolled_back"),
        ("CloudTrail", "UpdateService by pipeline"),
        ("ECS task", "task t1 stopped: Essential container in task exited"),
        ("migration", "db.upgrade r1 began, by ada"),
        ("migration", "db.upgrade r1 failed, by ada"),
        ("log of t2", "refused"),
        ("ECS deployment", "deployment ecs-svc/1 of dev-backend:7 began"),
    ]


def test_documents_that_were_not_read_have_no_moments() -> None:
    found = timeline(read_incident(snapshot({}, {"releases": "denied"})), timedelta(hours=1))
    assert found == ()


def test_equal_lines_in_a_row_are_one() -> None:
    """Only in the text: the document has every moment."""
    documents = world()
    documents["logs/database"] = {
        "backend": [
            {"at": f"2026-11-28T02:5{minute}:00+00:00", "task": "t2", "message": text}
            for minute, text in enumerate(["refused", "refused", "refused", "other", "refused"])
        ]
    }
    result = DiagnosisResult(diagnose(snapshot(documents)), topics.ALL, timedelta(minutes=30))
    lines = [line for line in result.text.splitlines() if "log of t2" in line]
    assert [line.partition("backend: ")[2] for line in lines] == [
        "refused (× 3, until 2026-11-28T02:52:00Z)",
        "other",
        "refused",
    ]
    assert len([each for each in result.document["timeline"] if each["source"] == "log of t2"]) == 5


def test_times_of_another_zone_are_converted_to_utc() -> None:
    """botocore returns some times in the zone of the operator's machine."""
    at = datetime(2026, 11, 28, 11, 50, tzinfo=timezone(timedelta(hours=9)))
    documents = world()
    documents["rds/events"] = as_json([{"Date": at, "Message": "DB instance shutdown"}])
    assert documents["rds/events"][0]["Date"] == "2026-11-28T02:50:00+00:00"
    documents["releases"] = {"backend": [{"at": at.isoformat(), "tag": "a", "verdict": "b"}]}
    result = DiagnosisResult(diagnose(snapshot(documents)), topics.ALL, timedelta(minutes=30))
    assert [line[:20] for line in result.text.splitlines() if "2026" in line[:4]] == [
        "2026-11-28T02:50:00Z",
        "2026-11-28T02:50:00Z",
        "2026-11-28T03:00:00Z",
    ]
