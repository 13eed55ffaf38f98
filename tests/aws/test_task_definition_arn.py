"""The identity of a task definition's revision, by its ARN or its short form."""

import pytest

from ops.aws.facts import TaskDefinitionArn

ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/"


@pytest.mark.parametrize(
    ("text", "label", "family", "revision"),
    [
        (f"{ARN}dev-backend:7", "dev-backend:7", "dev-backend", 7),
        ("dev-backend:12", "dev-backend:12", "dev-backend", 12),
        ("dev-backend", "dev-backend", "dev-backend", None),
        ("", "", "", None),
    ],
)
def test_an_arn_and_its_short_form_name_the_same_revision(text, label, family, revision):
    """`family:7` is what the console shows of an ARN; a family alone has no revision."""
    found = TaskDefinitionArn(text)
    assert (found.label, found.family, found.revision) == (label, family, revision)
