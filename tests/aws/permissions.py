"""The IAM permissions of the calls that the product makes."""

from __future__ import annotations

from tests.aws.api_calls import api_calls

_PREFIX = {"elbv2": "elasticloadbalancing"}
_NAMES = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket"}
_READS = ("BatchGet", "Describe", "Filter", "Get", "List", "Lookup", "Simulate", "StartLiveTail")
# by the registry's own API (OCI), not by an SDK's call
READ_BY_HTTP = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
PUSH = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
}
CHANGES_LESS = {"iam:PassRole"}  # which IAM asks for at RegisterTaskDefinition and RunTask


def calls() -> set[str]:
    """The permission of every call in the source."""
    return {
        f"{_PREFIX.get(each.service, each.service)}:{_NAMES.get(each.operation, each.operation)}"
        for each in api_calls()
    }


def is_read(permission: str) -> bool:
    return permission.partition(":")[2].startswith(_READS)
