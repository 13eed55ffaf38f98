"""The plan of a rollback to a revision, by table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.aws.facts import Deployment, Image, TaskDefinition
from ops.deploy.rollback.planned import revision_checks
from ops.deploy.rules.plan import plan_release
from ops.deploy.rules.steps import PlanTerraformRollout, Rollout
from ops.deploy.rules.terraform_plan import by_terraform
from ops.preflight.facts import ReleaseFacts
from tests.deploy.test_plan import ARN, FACTS, SERVICE, URI, deployment, service

OLD_IMAGE = Image("sha256:old", "old", 10, None)


def revision(number: int, tag: str, status: str = "ACTIVE") -> TaskDefinition:
    container = {"name": "backend", "image": f"{URI}:{tag}"}
    return TaskDefinition(f"{ARN}:{number}", status, "amd64", {"containerDefinitions": [container]})


WANTED, GONE = revision(6, "old"), revision(6, "old", "INACTIVE")
RUNS = revision(7, "new")
AT_NEW = replace(FACTS, requested_tag="old", image=OLD_IMAGE, revision=RUNS)
MOVING = replace(
    AT_NEW,
    state=service(
        deployment("ecs-svc/2", "PRIMARY", 7, 1, "IN_PROGRESS"),
        deployment("ecs-svc/1", "ACTIVE", 6, 2, "COMPLETED"),
    ),
)


@pytest.mark.parametrize(
    ("goes_to", "copied"), [(WANTED, False), (GONE, True), (None, True)], ids=str
)
def test_a_copy_must_have_every_field(goes_to: TaskDefinition | None, copied: bool) -> None:
    """Where the plan registers a revision, a field that the SDK does not know would be lost."""
    steps = [step.verb for step in plan_release(AT_NEW, SERVICE, wanted=goes_to).steps]
    assert ("register" in steps) is copied
    assert ("fields" in revision_checks(goes_to)) is copied
    assert revision_checks(goes_to) >= {"secrets", "log-group"}


def on_wanted(*deployments: Deployment) -> ReleaseFacts:
    return replace(AT_NEW, revision=WANTED, state=service(*deployments))


@pytest.mark.parametrize(
    ("facts", "wanted", "expected", "undo"),
    [
        (AT_NEW, WANTED, ["update", "watch", "prove"], f"{ARN}:7"),
        (AT_NEW, GONE, ["register", "update", "watch", "prove"], f"{ARN}:7"),
        (AT_NEW, None, ["register", "update", "watch", "prove"], f"{ARN}:7"),
        # in flight from the wanted revision: ECS rolls it back, and to undo that means nothing
        (MOVING, WANTED, ["stop", "watch", "prove"], None),
        (MOVING, revision(5, "older"), ["update", "watch", "prove"], f"{ARN}:6"),
        (on_wanted(deployment(revision=6)), WANTED, ["prove"], None),
        (
            on_wanted(
                deployment("ecs-svc/2", "PRIMARY", 6, 1, "IN_PROGRESS"),
                deployment("ecs-svc/1", "ACTIVE", 7, 2, "COMPLETED"),
            ),
            WANTED,
            ["update", "watch", "prove"],  # a killed rollback is taken over
            f"{ARN}:7",
        ),
    ],
)
def test_steps_and_undo(
    facts: ReleaseFacts, wanted: TaskDefinition | None, expected: list[str], undo: str | None
) -> None:
    plan = plan_release(facts, SERVICE, wanted=wanted)
    assert [step.verb for step in plan.steps] == expected
    rollout = next((step for step in plan.steps if isinstance(step, Rollout)), None)
    back = rollout.rollback_to if rollout else None
    assert (back.arn if back else None) == undo


def test_the_plan_shows_what_changes_in_the_task_definition() -> None:
    """Of a rollback, and of a deploy; nothing where nothing is updated."""
    plan = plan_release(AT_NEW, SERVICE, wanted=WANTED)
    line = f"backend image: {URI}:new → {URI}:old"
    assert "task definition backend:7 → backend:6:" in plan.text and line in plan.text
    assert plan.document["task_definition"]["after"] == "backend:6"
    deploy = plan_release(AT_NEW, SERVICE)
    assert "task definition backend:7 → a new revision:" in deploy.text and line in deploy.text
    unchanged = plan_release(on_wanted(deployment(revision=6)), SERVICE, wanted=WANTED)
    assert unchanged.document["task_definition"] is None


def test_why_a_stopped_deployment_has_no_undo() -> None:
    plan = plan_release(MOVING, SERVICE, wanted=WANTED)
    assert "backend:6 is itself the last revision seen healthy" in plan.text


def test_terraform_rolls_back_by_a_plan_with_the_old_image() -> None:
    """The steps of a deploy by Terraform; the revision's other content is Terraform's."""
    by_variable = SERVICE.model_copy(update={"image_variable": "backend_image_tag"})
    plan = by_terraform(plan_release(AT_NEW, by_variable), by_variable)
    assert [step.verb for step in plan.steps] == [
        "tf-check",
        "tf-plan",
        "tf-apply",
        "watch",
        "prove",
    ]
    images = {step.image for step in plan.steps if isinstance(step, PlanTerraformRollout | Rollout)}
    assert images == {f"{URI}:old"}
