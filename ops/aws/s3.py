"""JSON objects in S3 with conditional writes, for release records and locks.

`create` sends If-None-Match: *, `replace` sends If-Match (S3 "conditional writes"), so exactly one
of two concurrent writers succeeds. Ages are measured by S3's clock (Date − Last-Modified of one
response), since the clocks of laptops differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ops.aws.session import AwsSession, code
from ops.core.errors import OpsError, Refused, Unreachable
from ops.core.redaction.redact import known

_PRECONDITION_FAILED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_ABSENT = ("NoSuchKey", "404")
_DELETED = 204  # HTTP status


@dataclass(frozen=True)
class S3Object:
    """An object: its document, its version (`etag`), and when it was written and read.

    Both times are by S3's clock.
    """

    document: Mapping[str, Any]
    etag: str
    written: datetime
    read: datetime

    @property
    def age_s(self) -> float:
        """Seconds since it was written."""
        return max(0.0, (self.read - self.written).total_seconds())


def read(cloud: AwsSession, bucket: str, key: str) -> S3Object | None:
    """Read an object (s3:GetObject); None if it does not exist.

    Raises OpsError if the body is not a JSON object.
    """
    what = f"s3://{bucket}/{key} (s3:GetObject)"
    with cloud.translated(what, _no_bucket(bucket)):
        answer = _unless_absent(lambda: cloud.client("s3").get_object(Bucket=bucket, Key=key))
        if answer is None:
            return None
        body, etag, written = answer["Body"].read(1 << 20), answer["ETag"], answer["LastModified"]
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise OpsError(
            what,
            "its body is not a JSON object",
            f"inspect it: {cloud.program} s3 cp s3://{bucket}/{key} -",
        )
    return S3Object(document, etag, written, _server_time(date))


def _server_time(header: str) -> datetime:
    """The `Date` header of a response; this machine's clock if a proxy made it unreadable."""
    try:
        found = parsedate_to_datetime(header)
        return found if found.tzinfo else found.replace(tzinfo=UTC)  # RFC 9110: always GMT
    except (TypeError, ValueError):
        return datetime.now(UTC)


def create(cloud: AwsSession, bucket: str, key: str, document: Mapping[str, Any]) -> str | None:
    """Create an object only if it does not exist (s3:PutObject, If-None-Match).

    Returns the new version, or None if the object exists.
    """
    return put(cloud, bucket, key, document, {"IfNoneMatch": "*"})


def replace(
    cloud: AwsSession, bucket: str, key: str, document: Mapping[str, Any], etag: str
) -> str | None:
    """Replace version `etag` of an object, and no other (s3:PutObject, If-Match).

    Returns the new version, or None if the object has changed since.
    """
    return put(cloud, bucket, key, document, {"IfMatch": etag})


def put(
    cloud: AwsSession,
    bucket: str,
    key: str,
    document: Mapping[str, Any],
    condition: Mapping[str, str],
) -> str | None:
    from botocore.exceptions import ClientError

    body = json.dumps(known.hide_in(document), ensure_ascii=False, default=str).encode()
    with cloud.translated(f"s3://{bucket}/{key} (s3:PutObject)", _no_bucket(bucket)):
        try:
            answer = cloud.client("s3").put_object(
                Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition
            )
        except ClientError as error:
            if code(error) in (*_PRECONDITION_FAILED, *_ABSENT):
                return None
            raise
        return str(answer["ETag"])


def put_bytes(cloud: AwsSession, bucket: str, key: str, body: bytes) -> None:
    """Write an object (s3:PutObject), encrypted as the bucket's default says."""
    with cloud.translated(f"s3://{bucket}/{key} (s3:PutObject)", _no_bucket(bucket)):
        answer = cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        str(answer["ETag"])  # which every answer of S3 has


def get_bytes(cloud: AwsSession, bucket: str, key: str) -> bytes | None:
    """The content of an object (s3:GetObject); None if it does not exist."""
    with cloud.translated(f"s3://{bucket}/{key} (s3:GetObject)", _no_bucket(bucket)):
        answer = _unless_absent(lambda: cloud.client("s3").get_object(Bucket=bucket, Key=key))
        if answer is None:
            return None
        str(answer["ETag"])
        content: bytes = answer["Body"].read()
        return content


def _unless_absent(call: Callable[[], Any]) -> Any:
    """The answer of a call about an object; None if it does not exist."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if code(error) in _ABSENT:
            return None
        raise


def delete(cloud: AwsSession, bucket: str, key: str) -> None:
    """Delete an object (s3:DeleteObject), if it exists."""
    what = f"s3://{bucket}/{key} (s3:DeleteObject)"
    with cloud.translated(what, _no_bucket(bucket)):
        answer = cloud.client("s3").delete_object(Bucket=bucket, Key=key)
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
    if status != _DELETED:
        why = f"the answer has status {status}, and not {_DELETED}"
        raise Unreachable(what, why, f"{cloud.program} s3 rm s3://{bucket}/{key}")


def presigned_url(
    cloud: AwsSession, bucket: str, key: str, seconds: int, *, put: bool = False
) -> str:
    """A URL that reads (or writes) one object without credentials, for so many seconds.

    It ends earlier with temporary credentials. Nothing is sent to S3.
    """
    operation = "put_object" if put else "get_object"
    with cloud.translated(f"s3://{bucket}/{key} (presigned URL)", _no_bucket(bucket)):
        place = {"Bucket": bucket, "Key": key}
        return str(cloud.presigner().generate_presigned_url(operation, place, seconds))


def exists(cloud: AwsSession, arn: str) -> bool:
    """Whether an object exists, by its ARN `arn:aws:s3:::bucket/key` (s3:GetObject).

    Without s3:ListBucket, S3 answers 403 for a missing object too: Unreachable is raised then.
    """
    bucket, _, key = arn.rpartition(":::")[2].partition("/")
    with cloud.translated(f"s3://{bucket}/{key} (s3:GetObject)", _no_bucket(bucket)):
        answer = _unless_absent(lambda: cloud.client("s3").head_object(Bucket=bucket, Key=key))
        return answer is not None and bool(answer["ETag"])  # which every object has


def keys(cloud: AwsSession, bucket: str, prefix: str, limit: int) -> tuple[str, ...]:
    """The first `limit` keys with `prefix`, in S3's order (ListObjectsV2)."""
    with cloud.translated(f"s3://{bucket}/{prefix} (s3:ListBucket)", _no_bucket(bucket)):
        pages = (
            cloud.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"MaxItems": limit})
        )
        return tuple(entry["Key"] for page in pages for entry in _contents(page))


def _contents(page: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The objects of a page. S3 omits `Contents` on an empty page, but never `IsTruncated`."""
    found: Sequence[Mapping[str, Any]] = (
        page["Contents"] if page["IsTruncated"] else page.get("Contents", ())
    )
    return found


@dataclass(frozen=True)
class Entry:
    """A key of a listing, and when S3 last wrote it, by S3's clock (whole seconds)."""

    key: str
    written: datetime


def entries(cloud: AwsSession, bucket: str, prefix: str) -> tuple[Entry, ...]:
    """Every key with `prefix`, in S3's order (ListObjectsV2, 1000 per call)."""
    found: list[Entry] = []
    with cloud.translated(f"s3://{bucket}/{prefix} (s3:ListBucket)", _no_bucket(bucket)):
        for page in (
            cloud.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=prefix)
        ):
            found += [Entry(each["Key"], each["LastModified"]) for each in _contents(page)]
    return tuple(found)


def _no_bucket(bucket: str) -> dict[str, OpsError]:
    return {
        "NoSuchBucket": Refused(
            f"bucket {bucket}",
            "there is no such bucket in this account",
            "correct it in invoke.yaml: state.bucket, or database.task.bundle",
        )
    }
