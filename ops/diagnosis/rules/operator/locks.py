"""Causes in locks: on Terraform's state, and of our own deploys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.core.findings import Finding
from ops.diagnosis.facts import Incident, evidence
from ops.diagnosis.model import Candidate
from ops.diagnosis.rules.causes import cause

Lock = Mapping[str, Any]


def _state_locks(incident: Incident) -> list[Lock]:
    return list((incident.content("terraform/locks") or {}).get("locks") or ())


def deploy_in_progress(incident: Incident) -> bool:
    """Whether a deploy holds our own lock and renews it."""
    return any(not each["expired"] for each in incident.content("locks") or ())


def state_lock_is_normal(incident: Incident) -> bool:
    """Whether the state is locked by a run that may live, while a deploy of ours is at work."""
    locks = _state_locks(incident)
    return bool(locks) and all(each["may_live"] for each in locks) and deploy_in_progress(incident)


@cause(
    "state_lock_dead_process",
    layer="lock",
    symptoms="Error acquiring the state lock; the owner is this host, where no Terraform runs.",
    cure="inv tf.unlock --id ID",
    explains=("state_locked",),
)
def state_lock_dead_process(incident: Incident) -> Iterator[Candidate]:
    """A lock taken on this host, whose Terraform is gone."""
    found = incident.content("terraform/locks") or {}
    here = [each for each in found.get("processes") or () if each["in_directory"]]
    for lock in _state_locks(incident):
        if not lock["on_this_host"] or here:
            continue
        young = bool(lock["may_live"])
        finding = Finding(
            "state_lock_dead_process",
            f"Terraform state: {lock['owner']} on this host took the lock, and no Terraform runs "
            f"here any more",
            "likely" if young else "certain",
            (
                evidence(f"state lock {lock['name']} ({lock['store']})", lock["text"]),
                evidence(f"ps on {found.get('host', '')}", "no terraform in this directory"),
            ),
            (f"inv tf.unlock --id {lock['id']}",),
        )
        because = "the lock names this host, so its process would be listed here"
        yield Candidate(finding, because=because)


@cause(
    "state_lock_stale",
    layer="lock",
    symptoms="Error acquiring the state lock; it is older than any apply takes.",
    cure="Make sure that its owner is gone, then: inv tf.unlock --id ID",
    explains=("state_locked",),
)
def state_lock_stale(incident: Incident) -> Iterator[Candidate]:
    """A lock of another host that is older than terraform.lock_limit."""
    for lock in _state_locks(incident):
        if lock["may_live"] or lock["on_this_host"]:
            continue
        finding = Finding(
            "state_lock_stale",
            f"Terraform state: the lock of {lock['owner']} is older than terraform.lock_limit",
            "likely",
            (evidence(f"state lock {lock['name']} ({lock['store']})", lock["text"]),),
            ("inv tf.locks", f"inv tf.unlock --id {lock['id']}"),
        )
        because = "its age; whether its process lives can only be seen on that host"
        yield Candidate(finding, because=because)


@cause(
    "state_lock_alive",
    layer="lock",
    symptoms="Error acquiring the state lock; its owner is at work.",
    cure="Wait for it, or ask its owner.",
    explains=("state_locked",),
)
def state_lock_alive(incident: Incident) -> Iterator[Candidate]:
    """A lock whose owner may be at work."""
    if state_lock_is_normal(incident):
        return
    found = incident.content("terraform/locks") or {}
    here = [each for each in found.get("processes") or () if each["in_directory"]]
    for lock in _state_locks(incident):
        if not lock["may_live"] or (lock["on_this_host"] and not here):
            continue
        certain = lock["on_this_host"] and here
        at_work = "is at work" if certain else "may be at work"
        finding = Finding(
            "state_lock_alive",
            f"Terraform state: {lock['owner']} holds the lock and {at_work}",
            "certain" if certain else "likely",
            (
                evidence(f"state lock {lock['name']} ({lock['store']})", lock["text"]),
                *(
                    evidence("ps", f"pid {each['pid']}", each["command"])
                    for each in (here if certain else ())
                ),
            ),
            ("inv tf.locks",),
        )
        yield Candidate(finding, because=str(lock["may_live"]))


@cause(
    "deploy_lock_left",
    layer="lock",
    symptoms="lock.status lists an expired lock: its run was killed.",
    cure="inv lock.release --name SERVICE; the next run would take it over as well.",
    explains=(),
)
def deploy_lock_left(incident: Incident) -> Iterator[Candidate]:
    """A lock of ours whose run ended without releasing it."""
    for lock in incident.content("locks") or ():
        if not lock["expired"]:
            continue
        finding = Finding(
            "deploy_lock_left",
            f"{lock['name']}: {lock['owner']} on {lock['host']} left a lock behind "
            f"({lock['reason']})",
            "likely",
            (evidence(f"lock {lock['name']}", lock["text"]),),
            (f"inv lock.release --name {lock['name']}",),
        )
        because = (
            "its run renews a lock every 15 s, and it has not; a run that was killed may have "
            "left a change half-done"
        )
        yield Candidate(finding, lock["name"] if incident.service(lock["name"]) else "", because)
