"""The registry's errors, worded as Amazon ECR words them; `docker push` prints them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from werkzeug.wrappers import Response

from ops.sandbox.contracts import ACCOUNT


@dataclass
class RefusalError(Exception):
    """An error response of the distribution API: `{"errors": [{"code", "message"}]}`."""

    status: int
    code: str
    message: str

    def response(self) -> Response:
        body = json.dumps({"errors": [{"code": self.code, "message": self.message}]})
        return Response(body, status=self.status, content_type="application/json; charset=utf-8")


def token_expired() -> RefusalError:
    return RefusalError(
        403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."
    )


def no_repository(name: str) -> RefusalError:
    return RefusalError(
        404,
        "NAME_UNKNOWN",
        f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'",
    )


def bad_repository_name(name: str) -> RefusalError:
    return RefusalError(
        400,
        "NAME_INVALID",
        f"Invalid parameter at 'repositoryName' failed to satisfy constraint: {name!r}",
    )


def tag_exists(name: str, tag: str) -> RefusalError:
    stands = f"The image tag '{tag}' already exists in the '{name}' repository"
    return RefusalError(
        400, "TAG_INVALID", f"{stands} and cannot be overwritten because the tag is immutable."
    )


def bad_tag(tag: str) -> RefusalError:
    return RefusalError(
        400, "TAG_INVALID", f"Invalid parameter at 'imageTag' failed to satisfy constraint: {tag!r}"
    )


def no_image() -> RefusalError:
    return RefusalError(404, "MANIFEST_UNKNOWN", "Requested image not found")


def no_blob(digest: str) -> RefusalError:
    return RefusalError(404, "BLOB_UNKNOWN", f"blob unknown to registry: {digest}")


def no_upload() -> RefusalError:
    return RefusalError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")


def wrong_range(offset: int) -> RefusalError:
    return RefusalError(416, "BLOB_UPLOAD_INVALID", f"the next chunk has to start at byte {offset}")


def wrong_digest(detail: str) -> RefusalError:
    return RefusalError(
        400, "DIGEST_INVALID", f"provided digest did not match uploaded content: {detail}"
    )


def bad_manifest(detail: str) -> RefusalError:
    return RefusalError(400, "MANIFEST_INVALID", detail)


def blob_missing(digest: str) -> RefusalError:
    return RefusalError(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {digest}")


def too_large(detail: str) -> RefusalError:
    return RefusalError(413, "SIZE_INVALID", detail)


def not_offered() -> RefusalError:
    return RefusalError(405, "UNSUPPORTED", "The operation is unsupported.")


def broken(detail: str) -> RefusalError:
    return RefusalError(500, "UNKNOWN", detail)
