"""Faults of the account: a stale Terraform lock, errors in the logs, a wrong or limited key.

Emulates Terraform's S3 lock file (`use_lockfile`), the log lines of a failing application, and
IAM's answers. Differs from AWS: a key of another account sees that account empty, and a denial
depends on the action alone, not on the resource.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ops.core.errors import Refused
from ops.sandbox.faults.base import FaultInjector, FaultState, SandboxHandles

if TYPE_CHECKING:
    from ops.sandbox.seed import Clients

_HELD_FOR = timedelta(minutes=25)  # longer than any apply here takes: its owner is gone
_EVERY = 3.0  # seconds between two errors, while the application is in trouble


@dataclass(frozen=True)
class StateLock(FaultInjector):
    """A `terraform apply` on `host` took the lock next to the state, some time ago."""

    host: str = "build-7"
    held_for_s: float = _HELD_FOR.total_seconds()

    def prepare(self, handles: SandboxHandles) -> FaultState:
        found = _state_key()
        if read_lock(handles, f"{found}.tflock") is not None:
            raise Refused("fault state-lock", "the state is locked already", "inv tf.locks")
        return {"key": f"{found}.tflock", "id": str(uuid.uuid4())}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        from ops.sandbox.seed.names import STATE_BUCKET

        created = (datetime.now(UTC) - timedelta(seconds=self.held_for_s)).strftime(
            "%Y-%m-%dT%H:%M:%S.%f000Z"
        )
        lock = {
            "ID": state["id"],
            "Operation": "OperationTypeApply",
            "Info": "",
            "Who": f"sam@{self.host}",
            "Version": "1.13.4",
            "Created": created,
            "Path": f"{STATE_BUCKET}/{state['key'].removesuffix('.tflock')}",
        }
        handles.clients.s3.put_object(
            Bucket=STATE_BUCKET,
            Key=state["key"],
            Body=json.dumps(lock),
            ContentType="application/json",
        )
        return {}

    def is_present(self, handles: SandboxHandles, state: FaultState) -> bool:
        return self.is_visible(handles, state)

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = read_lock(handles, state["key"]) or {}
        return bool(found.get("ID") == state["id"])

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        from ops.sandbox.seed.names import STATE_BUCKET

        if self.is_visible(handles, state):
            handles.clients.s3.delete_object(Bucket=STATE_BUCKET, Key=state["key"])


def _state_key() -> str:
    """Return the S3 key of the sample's Terraform state."""
    from ops.sandbox.terraform import SOURCES

    text = (SOURCES / "environments/dev/backend-config.tfvars").read_text()
    found = re.search(r'^key\s*=\s*"(.+)"', text, re.MULTILINE)
    assert found is not None
    return found[1]


def read_lock(handles: SandboxHandles, key: str) -> dict[str, Any] | None:
    """Return the content of a lock in the state bucket; None if it does not exist."""
    from ops.sandbox.seed.names import STATE_BUCKET

    s3 = handles.clients.s3
    try:
        body = s3.get_object(Bucket=STATE_BUCKET, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    found: dict[str, Any] = json.loads(body)
    return found


class LogErrors(FaultInjector):
    """The backend logs five errors of one kind and a warning, then an error every three seconds."""

    def prepare(self, handles: SandboxHandles) -> FaultState:
        from ops.sandbox.seed.names import BACKEND

        return {"group": BACKEND.log_group, "stream": f"ecs/backend/{secrets.token_hex(16)}"}

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.clients.logs.create_log_stream(
            logGroupName=state["group"], logStreamName=state["stream"]
        )
        _write_lines(
            handles,
            state,
            [_error_line() for _ in range(5)]
            + [_log_line("warn", "connection pool is nearly used up", used=9, most=10)],
        )
        over = handles.stop_events[state["stream"]] = threading.Event()
        threading.Thread(
            target=_log_until, args=(handles, state, over), name="log-errors", daemon=True
        ).start()
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        found = handles.clients.logs.filter_log_events(
            logGroupName=state["group"], logStreamNames=[state["stream"]]
        )["events"]
        return len(found) >= 6

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.stop_events.pop(state["stream"], threading.Event()).set()
        handles.clients.logs.delete_log_stream(
            logGroupName=state["group"], logStreamName=state["stream"]
        )

    def is_healthy(self, handles: SandboxHandles, state: FaultState) -> bool:
        streams = handles.clients.logs.describe_log_streams(
            logGroupName=state["group"], logStreamNamePrefix=state["stream"]
        )["logStreams"]
        return not streams


def _log_until(handles: SandboxHandles, state: FaultState, over: threading.Event) -> None:
    while not over.wait(_EVERY):
        _write_lines(handles, state, [_error_line()])


def _write_lines(handles: SandboxHandles, state: FaultState, lines: list[str]) -> None:
    """Write the lines with PutLogEvents, timestamped now; do nothing if the stream is gone."""
    from ops.sandbox.aws import lookups

    for each in lines:
        lookups.write_log(state["group"], state["stream"], each)


def _error_line() -> str:
    """Return an error line with random ids, so that the lines form one group."""
    number, request = random.randint(1000, 99_999), uuid.uuid4()  # noqa: S311 - ids in a log line
    return _log_line(
        "error",
        f"order {number} can't be charged: payments.example answered 503 (request {request})",
    )


def _log_line(level: str, message: str, **more: Any) -> str:
    """Return a log line in the format of the sample's services."""
    return json.dumps(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "level": level,
            "message": message,
            **more,
        }
    )


@dataclass(frozen=True)
class OtherAccount(FaultInjector):
    """The operator's key belongs to another account.

    GetCallerIdentity reports that account, and every lookup happens there.
    """

    account: str

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.aws.gate.move(handles.aws.keys.operator.access_key, self.account)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        return bool(as_operator(handles).sts.get_caller_identity()["Account"] == self.account)

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.aws.gate.move(handles.aws.keys.operator.access_key, None)


@dataclass(frozen=True)
class DeniedAction(FaultInjector):
    """IAM denies one action (`elasticloadbalancing:DescribeTargetHealth`) to the operator's key."""

    action: str

    def inject(self, handles: SandboxHandles, state: FaultState) -> FaultState:
        handles.aws.gate.deny(handles.aws.keys.operator.access_key, self.action)
        return {}

    def is_visible(self, handles: SandboxHandles, state: FaultState) -> bool:
        from botocore.exceptions import ClientError

        from ops.sandbox.faults import probes
        from ops.sandbox.seed.names import BACKEND

        arn = probes.target_group(handles, BACKEND)["TargetGroupArn"]
        try:
            as_operator(handles).elb.describe_target_health(TargetGroupArn=arn)
        except ClientError as refused:
            return str(refused.response["Error"]["Code"]).startswith("AccessDenied")
        return False

    def remove(self, handles: SandboxHandles, state: FaultState) -> None:
        handles.aws.gate.allow(handles.aws.keys.operator.access_key, self.action)


def as_operator(handles: SandboxHandles) -> Clients:
    """Return clients that use the operator's key."""
    from ops.sandbox.seed import Clients

    return Clients(handles.aws.url, handles.aws.keys.operator)
