"""A Terraform lock that nobody gives back, errors in the logs, and an operator's key that is of
another account or may not do one thing.

Emulates Terraform's S3 lock file (`use_lockfile`), the lines of an application in trouble, and
IAM's answers. Differs from AWS: the key of another account sees that account empty, and a denial is
by action alone, whatever the resource."""

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
from ops.sandbox.faults.base import Ground, Kept, Work

if TYPE_CHECKING:
    from ops.sandbox.seed import Clients

HELD_FOR = timedelta(minutes=25)  # longer than any apply here takes: its owner is gone
EVERY = 3.0  # seconds between two errors, while the application is in trouble


class StateLock(Work):
    """An `apply` was killed, and its lock stayed beside the state."""

    def prepare(self, ground: Ground) -> Kept:
        from ops.sandbox.seed.names import STATE_BUCKET

        found = state_key()
        if key_exists(ground.clients, STATE_BUCKET, f"{found}.tflock"):
            raise Refused(
                "fault state-lock", "a Terraform holds this state's lock already", "inv tf.locks"
            )
        return {"key": f"{found}.tflock", "id": str(uuid.uuid4())}

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        from ops.sandbox.seed.names import STATE_BUCKET

        created = (datetime.now(UTC) - HELD_FOR).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        lock = {
            "ID": kept["id"],
            "Operation": "OperationTypeApply",
            "Info": "",
            "Who": "sam@build-7",
            "Version": "1.13.4",
            "Created": created,
            "Path": f"{STATE_BUCKET}/{kept['key'].removesuffix('.tflock')}",
        }
        ground.clients.s3.put_object(
            Bucket=STATE_BUCKET,
            Key=kept["key"],
            Body=json.dumps(lock),
            ContentType="application/json",
        )
        return {}

    def there(self, ground: Ground, kept: Kept) -> bool:
        return self.is_visible(ground, kept)

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        from ops.sandbox.seed.names import STATE_BUCKET

        if not key_exists(ground.clients, STATE_BUCKET, kept["key"]):
            return False
        body = ground.clients.s3.get_object(Bucket=STATE_BUCKET, Key=kept["key"])["Body"].read()
        return bool(json.loads(body)["ID"] == kept["id"])

    def end(self, ground: Ground, kept: Kept) -> None:
        from ops.sandbox.seed.names import STATE_BUCKET

        if self.is_visible(ground, kept):
            ground.clients.s3.delete_object(Bucket=STATE_BUCKET, Key=kept["key"])


def state_key() -> str:
    """Where the sample's Terraform keeps its state."""
    from ops.sandbox.terraform import SOURCES

    text = (SOURCES / "environments/dev/backend-config.tfvars").read_text()
    found = re.search(r'^key\s*=\s*"(.+)"', text, re.MULTILINE)
    assert found is not None
    return found[1]


def key_exists(clients: Clients, bucket: str, key: str) -> bool:
    return any(
        each["Key"] == key
        for each in clients.s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ())
    )


class LogErrors(Work):
    """The backend logs errors, several of one kind, and a warning; as long as the fault stands
    another every three seconds.
    """

    def prepare(self, ground: Ground) -> Kept:
        from ops.sandbox.seed.names import BACKEND

        return {"group": BACKEND.log_group, "stream": f"ecs/backend/{secrets.token_hex(16)}"}

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.clients.logs.create_log_stream(
            logGroupName=kept["group"], logStreamName=kept["stream"]
        )
        write(
            ground,
            kept,
            [failed() for _ in range(5)]
            + [line("warn", "connection pool is nearly used up", used=9, most=10)],
        )
        over = ground.ended[kept["stream"]] = threading.Event()
        threading.Thread(
            target=go_on, args=(ground, kept, over), name="log-errors", daemon=True
        ).start()
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        found = ground.clients.logs.filter_log_events(
            logGroupName=kept["group"], logStreamNames=[kept["stream"]]
        )["events"]
        return len(found) >= 6

    def end(self, ground: Ground, kept: Kept) -> None:
        ground.ended.pop(kept["stream"], threading.Event()).set()
        ground.clients.logs.delete_log_stream(
            logGroupName=kept["group"], logStreamName=kept["stream"]
        )

    def well(self, ground: Ground, kept: Kept) -> bool:
        streams = ground.clients.logs.describe_log_streams(
            logGroupName=kept["group"], logStreamNamePrefix=kept["stream"]
        )["logStreams"]
        return not streams


def go_on(ground: Ground, kept: Kept, over: threading.Event) -> None:
    while not over.wait(EVERY):
        write(ground, kept, [failed()])


def write(ground: Ground, kept: Kept, lines: list[str]) -> None:
    """PutLogEvents, stamped now; nothing where the fault has been mended meanwhile."""
    from ops.sandbox.aws import lookups

    for each in lines:
        lookups.write_log(kept["group"], kept["stream"], each)


def failed() -> str:
    """One of a kind: another order, another request each time."""
    number, request = random.randint(1000, 99_999), uuid.uuid4()  # noqa: S311 - ids in a log line
    return line(
        "error",
        f"order {number} can't be charged: payments.example answered 503 (request {request})",
    )


def line(level: str, message: str, **more: Any) -> str:
    """As the sample's services log."""
    return json.dumps(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "level": level,
            "message": message,
            **more,
        }
    )


@dataclass(frozen=True)
class OtherAccount(Work):
    """The operator's key is of another account: GetCallerIdentity says so, and everything else is
    looked for there.
    """

    account: str

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.aws.gate.move(ground.aws.keys.operator.access_key, self.account)
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        return bool(as_operator(ground).sts.get_caller_identity()["Account"] == self.account)

    def end(self, ground: Ground, kept: Kept) -> None:
        ground.aws.gate.move(ground.aws.keys.operator.access_key, None)


@dataclass(frozen=True)
class Denied(Work):
    """IAM no longer allows the operator's key one action
    (`elasticloadbalancing:DescribeTargetHealth`).
    """

    action: str

    def begin(self, ground: Ground, kept: Kept) -> Kept:
        ground.aws.gate.deny(ground.aws.keys.operator.access_key, self.action)
        return {}

    def is_visible(self, ground: Ground, kept: Kept) -> bool:
        from botocore.exceptions import ClientError

        from ops.sandbox.faults import probes
        from ops.sandbox.seed.names import BACKEND

        arn = probes.group(ground, BACKEND)["TargetGroupArn"]
        try:
            as_operator(ground).elb.describe_target_health(TargetGroupArn=arn)
        except ClientError as refused:
            return str(refused.response["Error"]["Code"]).startswith("AccessDenied")
        return False

    def end(self, ground: Ground, kept: Kept) -> None:
        ground.aws.gate.allow(ground.aws.keys.operator.access_key, self.action)


def as_operator(ground: Ground) -> Clients:
    """With the key that the operator has."""
    from ops.sandbox.seed import Clients

    return Clients(ground.aws.url, ground.aws.keys.operator)
