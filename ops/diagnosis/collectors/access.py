"""Evidence of the operator's access to AWS: identity, or AWS's refusal, and both clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ops.diagnosis.collectors.registry import Reader, collector


@collector("aws/identity", "sts:GetCallerIdentity")
def identity(reader: Reader) -> Any:
    """The account of the credentials, or the error in AWS's words; with AWS's `Date` header.

    An error is content, not a missing document: it is what the rules need.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = reader.client("sts").get_caller_identity()
    except ClientError as error:
        said = error.response.get("Error", {})
        refusal = {"code": said.get("Code", ""), "message": str(said.get("Message", ""))[:500]}
        return {"refused": refusal, **_clocks(error.response)}
    except BotoCoreError as error:
        return {"refused": {"code": type(error).__name__, "message": str(error)[:500]}}
    return {"account": answer["Account"], "arn": answer["Arn"], **_clocks(answer)}


def _clocks(response: Any) -> dict[str, str]:
    headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    return {
        "aws_clock": str(headers.get("date", "")),
        "machine_clock": datetime.now(UTC).isoformat(timespec="seconds"),
    }
