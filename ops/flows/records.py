"""Release records: written at the end of every release, whatever its end; kept here and sent later where the bucket says no.

One JSON object each, in the Terraform state's bucket under a prefix. A record holds no secret: names, digests, verdicts, findings
(which were redacted when they were made).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops import ui
from ops.adapters import bucket, ecr, ecs
from ops.adapters.aws import Cloud
from ops.adapters.concurrent import gather
from ops.errors import OpsError
from ops.flows.gather import Platform
from ops.model import Image, TaskState, Unknown
from ops.rules import records as rules

if TYPE_CHECKING:
    from ops.settings import Settings, State

SHOWN = 20
PENDING = ".ops/pending"


def keep(platform: Platform, record: Mapping[str, Any]) -> None:
    """Write a record, or keep it here for the next chance; never raises: a record must not spoil a release."""
    settings = platform.settings
    state = settings.environment.state
    if state is None:
        ui.say("no release record: the environment names no state bucket (state.bucket)")
        return
    at = datetime.fromisoformat(str(record["at"]))
    key = rules.key(state.prefix, settings.name, str(record["service"]), at, secrets.token_hex(4))
    try:
        send_pending(platform.cloud, state, settings)
        bucket.create(platform.cloud, state.bucket, key, record)
    except OpsError as problem:
        path = keep_here(settings, key, record)
        ui.say(f"the release record could not be written ({problem.why}); kept in {path}, sent at the next chance")


def keep_here(settings: Settings, key: str, record: Mapping[str, Any]) -> Path:
    path = settings.root / PENDING / key.replace("/", "__")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, default=str), encoding="utf-8")
    return path


def send_pending(cloud: Cloud, state: State, settings: Settings) -> None:
    """Send what an earlier run could not, of this environment only. A record that is there already is not written twice."""
    mine = f"{state.prefix}/releases/{settings.name}/".replace("/", "__")
    for path in sorted((settings.root / PENDING).glob("*.json")):
        if path.name.startswith(mine):
            bucket.create(cloud, state.bucket, path.name.replace("__", "/"), json.loads(path.read_text(encoding="utf-8")))
            path.unlink()


def releases(platform: Platform, service: str) -> tuple[rules.Row, ...]:
    """The newest records, with what ECR and ECS know beside them. Raises OpsError only where nothing at all could be read."""
    environment, configured = platform.settings.environment, platform.settings.service(service)
    looks: dict[str, Any] = gather(
        records=lambda: read(platform, service),
        images=lambda: ecr.images(platform.cloud, configured.repository),
        tasks=lambda: ecs.tasks(platform.cloud, environment.cluster, configured.ecs_service),
    )
    for name, found in looks.items():
        if isinstance(found, Unknown):
            ui.say(f"unknown: {name}: {found.why}")
    if all(isinstance(found, Unknown) for found in looks.values()):
        raise OpsError(f"releases of {service}", looks["records"].why, "inv preflight")
    records = () if isinstance(looks["records"], Unknown) else looks["records"]
    images: tuple[Image, ...] | None = None if isinstance(looks["images"], Unknown) else looks["images"]
    tasks: tuple[TaskState, ...] = () if isinstance(looks["tasks"], Unknown) else looks["tasks"]
    return rules.rows(records, images, running_digest(tasks, configured.container))


def running_digest(tasks: tuple[TaskState, ...], container: str) -> str | None:
    """The digest that every running task has; None where they differ, or nothing runs."""
    found = {state.digest for task in tasks if task.status == "RUNNING" and (state := task.container(container))}
    return found.pop() if len(found) == 1 else None


def read(platform: Platform, service: str) -> tuple[Mapping[str, Any], ...]:
    """The newest records of a service, newest first."""
    settings, state = platform.settings, platform.settings.environment.state
    if state is None:
        return ()
    keys = bucket.keys(platform.cloud, state.bucket, rules.folder(state.prefix, settings.name, service), SHOWN)
    found: dict[str, Any] = gather(**{key: lambda key=key: bucket.read(platform.cloud, state.bucket, key) for key in keys})
    return tuple(stored.document for stored in found.values() if isinstance(stored, bucket.Stored))


def as_text(rows: tuple[rules.Row, ...]) -> str:
    if not rows:
        return "no releases: no record, and no image in ECR"
    return "\n".join(line(row) for row in rows)


def line(row: rules.Row) -> str:
    gone = "  (no longer in ECR)" if row.in_ecr is False else ""
    return f"{'*' if row.current else ' '} {row.at[:19]}  {row.tag:<12} {row.verdict:<12} {row.by:<14} {row.digest[:19]}{gone}"


def as_document(rows: tuple[rules.Row, ...]) -> dict[str, Any]:
    return {"releases": [vars(row) for row in rows]}
