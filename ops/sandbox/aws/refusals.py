"""Error responses in the format of each AWS protocol: JSON, query, EC2's own, and S3's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

SERVICE = "sandbox.service"  # in the WSGI environment: the service that the signature is for
Start = Callable[..., Any]

_XML = {
    "query": "<ErrorResponse><Error><Type>Sender</Type>{error}</Error>"
    "<RequestId>{id}</RequestId></ErrorResponse>",
    "ec2": "<Response><Errors><Error>{error}</Error></Errors>"
    "<RequestID>{id}</RequestID></Response>",
    "s3": "<Error>{error}<RequestId>{id}</RequestId></Error>",
}


def target(environ: dict[str, Any]) -> str:
    """Return the `X-Amz-Target` header of JSON protocols, or an empty string."""
    return str(environ.get("HTTP_X_AMZ_TARGET", ""))


def protocol(environ: dict[str, Any]) -> str:
    """Return `json`, `query`, `ec2` or `s3`; CloudFront's REST errors use the query format."""
    if target(environ):
        return "json"
    service = environ.get(SERVICE)
    if service in ("s3", "ec2"):
        return str(service)
    form = str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")
    return "query" if service or form else "s3"


def refuse(
    environ: dict[str, Any], start_response: Start, status: int, code: str, message: str
) -> list[bytes]:
    """Answer the call with an AWS error."""
    kind, identifier = protocol(environ), str(uuid.uuid4())
    if kind == "json":
        content_type = "application/x-amz-json-1.1"
        body = json.dumps({"__type": code, "message": message}).encode()
    else:
        content_type = "text/xml"
        error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
        body = _XML[kind].format(error=error, id=identifier).encode()
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("x-amzn-errortype", code),
        ("x-amzn-requestid", identifier),
    ]
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
