"""Evidence of the operator's access to AWS: identity, or AWS's refusal, and both clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ops.core.errors import OpsError
from ops.diagnosis.collectors.registry import Reader, collector


@collector("aws/identity", "sts:GetCallerIdentity")
def identity(reader: Reader) -> Any:
    """The account of the credentials, or the error in AWS's words; with AWS's `Date` header.

    An error is content, not a missing document: it is what the rules need.
    """
    from botocore.exceptions import ClientError

    failure: BaseException | None = None
    try:
        with reader.cloud.translated("AWS identity (sts:GetCallerIdentity)"):
            try:
                answer = reader.client("sts").get_caller_identity()
            except Exception as error:
                failure = error
                raise
    except OpsError as problem:
        if isinstance(failure, ClientError):
            found = failure.response.get("Error", {})
            refusal = _refused(found.get("Code", ""), found.get("Message", ""), problem)
            return {"refused": refusal, **_clocks(failure.response)}
        if not problem.login:
            raise
        code = "CredentialsNotLoaded" if isinstance(failure, OpsError) else type(failure).__name__
        return {"refused": _refused(code, problem.why, problem)}
    return {"account": answer["Account"], "arn": answer["Arn"], **_clocks(answer)}


def _refused(code: str, message: object, problem: OpsError) -> dict[str, str]:
    """The refusal, with what to do about the credentials (`login`), if that is the reason."""
    return {"code": code, "message": str(message)[:500], "login": problem.login}


def _clocks(response: Any) -> dict[str, str]:
    headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    return {
        "aws_clock": str(headers.get("date", "")),
        "machine_clock": datetime.now(UTC).isoformat(timespec="seconds"),
    }
