"""What to do next after an error of a database task."""

from __future__ import annotations

from collections.abc import Mapping

from ops.database_task.rules.requirements import ObjectPlace

_PASSWORD_ERRORS = ("password authentication failed", "no password supplied")
_PASSWORD_SOURCES = ("password", "url", "secret")  # keys of `database.task.variables`


def after_loader_error(error: str, place: ObjectPlace) -> str:
    """The next step after an error that the task printed before it could begin."""
    if "CERTIFICATE_VERIFY_FAILED" in error:
        return "install ca-certificates in the image"
    if _is_denied(error):
        return _allow_access(place)
    if "urlopen error" in error or "timed out" in error:
        return "give the task's subnets a way to S3: a gateway endpoint, or a NAT gateway"
    if "digest" in error:
        return "see who can write to the bucket, then run it again"
    if "too old" in error:
        return "set database.task.python, or database.task.task_definition to a newer image"
    return "correct the image, or set database.task.task_definition to another one"


def after_install_error(error: str, place: ObjectPlace, libraries: str) -> str:
    """The next step after an error of the bundles' installation in the task."""
    if _is_denied(error):
        return _allow_access(place)
    if "digest" in error:
        return f"see who can write to {place}, then run it again"
    if "No space left" in error:
        return "give the task more ephemeral storage, or a larger volume at /tmp"
    if "No module named" in error and libraries == "image":
        return "set database.task.libraries: bundle, or add the package to the image"
    return "set database.task.task_definition to another image, or database.task.libraries: image"


def after_connection_error(why: str, advice: str, variables: Mapping[str, str]) -> str:
    """The next step after a failed connection; `advice` unless the password is wrong.

    The password comes from the container, so `database.secret` has nothing to do with it.
    """
    if not any(each in why for each in _PASSWORD_ERRORS):
        return advice
    kind = next(each for each in _PASSWORD_SOURCES if each in variables)
    return (
        f"correct the value of {variables[kind]} in the task definition, or "
        f"database.task.variables.{kind}"
    )


def _is_denied(error: str) -> bool:
    return "HTTP Error 403" in error or "AccessDenied" in error


def _allow_access(place: ObjectPlace) -> str:
    """S3 checks a presigned URL as a call of the one who signed it, by the task's way to S3."""
    return (
        f"allow s3:GetObject and s3:PutObject below {place} in the bucket's policy, in the policy "
        "of the VPC's S3 endpoint, and for your own credentials, which sign the task's URLs"
    )
