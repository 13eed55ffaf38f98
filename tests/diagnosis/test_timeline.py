"""The timeline: moments of all sources, in their order, within the time that was asked for."""

from __future__ import annotations

from datetime import timedelta

from ops.diagnosis.incident import read_incident
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
