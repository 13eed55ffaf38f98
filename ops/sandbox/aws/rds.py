"""RDS: instance and snapshot states that take time, which moto reaches at once.

A snapshot is `creating`, with its percentage, for `Timing.snapshot` seconds, while its instance is
`backing-up`; an instance is `starting` or `stopping` for `Timing.database` seconds; the PostgreSQL
behind it really stops and starts (the supervisor follows `wanted`). Differs from RDS: PostgreSQL is
stopped as soon as its instance is `stopping`, a snapshot contains nothing, and a stopped instance
does not start by itself after seven days.
"""

from __future__ import annotations

import time
from typing import Any

from moto.rds.models import DBInstance, DBSnapshot, Event, RDSBackend, rds_backends

from ops.sandbox.aws.overrides import computed, original, replace
from ops.sandbox.contracts import ACCOUNT, REGION, Timing

_ON_THE_WAY = {"available": "starting", "stopped": "stopping"}


def install(timing: Timing) -> None:
    """Replace moto's answers by these."""
    computed(
        DBSnapshot,
        "status",
        lambda each: "available" if _progress(each, timing) >= 1 else "creating",
    )
    computed(DBSnapshot, "percent_progress", lambda each: int(100 * _progress(each, timing)))
    replace(DBInstance, "status", property(lambda each: _state(each, timing), _set_state))
    replace(RDSBackend, "create_db_snapshot", _create_db_snapshot)
    replace(RDSBackend, "modify_db_instance", _modify_db_instance)


def _create_db_snapshot(self: Any, *words: Any, **more: Any) -> Any:
    made = original(RDSBackend, "create_db_snapshot")(self, *words, **more)
    made.began = time.monotonic()
    self.describe_db_instances(made.db_instance_identifier)[0].last_snapshot = made
    return made


def _progress(snapshot: Any, timing: Timing) -> float:
    """Return the snapshot's progress, 0 to 1; one created by moto itself is complete."""
    began = getattr(snapshot, "began", None)
    return (
        1.0 if began is None else min(1.0, (time.monotonic() - began) / max(timing.snapshot, 0.001))
    )


def set_condition(identifier: str, status: str) -> None:
    """Give an instance a status in which PostgreSQL is down; an empty one ends it."""
    instance = rds_backends[ACCOUNT][REGION].databases[identifier]
    instance.__dict__["condition"] = status


def add_event(identifier: str, message: str, category: str) -> None:
    """Add an event of an instance, as DescribeEvents lists them."""
    backend = rds_backends[ACCOUNT][REGION]
    event = Event("DB_INSTANCE_CREATE", backend.databases[identifier])
    event.message, event.event_categories = message, [category]
    backend.events.append(event)


def _modify_db_instance(self: Any, identifier: str, kwargs: dict[str, Any]) -> Any:
    """End `storage-full` when more storage is allocated."""
    before = int(self.databases[identifier].allocated_storage or 0)
    changed = original(RDSBackend, "modify_db_instance")(self, identifier, kwargs)
    if int(changed.allocated_storage or 0) > before and _condition(changed) == "storage-full":
        changed.__dict__["condition"] = ""
        add_event(identifier, "Finished applying modification to allocated storage", "notification")
    return changed


def _condition(instance: Any) -> str:
    return str(instance.__dict__.get("condition", ""))


def _set_state(instance: Any, value: str) -> None:
    before = instance.__dict__.get("settled")
    instance.__dict__["settled"] = value
    if before in _ON_THE_WAY and before != value:
        instance.__dict__["changed_at"] = time.monotonic()


def _state(instance: Any, timing: Timing) -> str:
    if _condition(instance):
        return _condition(instance)
    settled = str(instance.__dict__.get("settled"))
    if time.monotonic() - instance.__dict__.get("changed_at", float("-inf")) < timing.database:
        return _ON_THE_WAY.get(settled, settled)
    latest = instance.__dict__.get("last_snapshot")
    return (
        "backing-up"
        if settled == "available" and latest is not None and _progress(latest, timing) < 1
        else settled
    )


def wanted(identifier: str) -> bool:
    """Whether the PostgreSQL of this instance should run, that is, the instance is not stopped."""
    found = rds_backends[ACCOUNT][REGION].databases.get(identifier)
    return found is None or (found.__dict__.get("settled") != "stopped" and not _condition(found))
