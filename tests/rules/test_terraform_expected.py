"""What a deploy may do by Terraform without asking, by table."""

from __future__ import annotations

from typing import Any

import pytest

from ops.plan import Plan, Step
from ops.rules.terraform import changes
from ops.rules.terraform_expected import Target, undeclared, unexpected, value_for
from ops.rules.terraform_release import by_terraform
from ops.settings import Service
from tests.rules.terraform_plans import definitions, plan, resource, revision, service, uri

TARGET = Target("dev-backend", "dev-backend", "backend", uri("def"))
SIDECAR = {"name": "log", "image": "fluent:1"}
MOVE = revision(definitions(uri("abc")), definitions(uri("def")))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (MOVE, None),
        (service(), None),
        (resource("aws_ecs_task_definition.backend", ["create"], None, {"family": "dev-backend"}), None),
        (resource("aws_lb.main", ["no-op"], {"name": "a"}, {"name": "a"}, importing="a"), None),
        (revision(definitions(uri("abc")), definitions(uri("xyz"))), "moves backend from abc to xyz"),
        (revision(definitions(uri("abc")), definitions(uri("def"), cpu=256)), "changes backend.cpu"),
        (revision(definitions(uri("abc"), SIDECAR), definitions(uri("def"), {**SIDECAR, "image": "fluent:2"})), "moves log from 1 to 2"),
        (revision(definitions(uri("abc")), definitions(uri("def")), paths=[["cpu"], ["container_definitions"]]), "changes cpu"),
        (resource("aws_ecs_task_definition.backend", ["delete"], {"family": "dev-backend"}, None), "takes the service's task definition"),
        (resource("aws_ecs_task_definition.backend", ["forget"], {"family": "dev-backend"}, None), "takes the service's task definition"),
        (resource("aws_ecs_task_definition.backend", ["x"], {"family": "dev-backend"}, {"family": "dev-backend"}), "not known here"),
        (service(actions=("create", "forget")), "not known here"),
        (service(desired_count=5), "desired_count: 2 → 5"),
        (
            resource("aws_ecs_service.backend", ["delete", "create"], {"name": "dev-backend"}, {"name": "dev-backend"}),
            "replace the service",
        ),
        (revision(definitions(uri("a")), definitions("nginx:latest"), family="dev-frontend", name="frontend"), "no part of this deploy"),
        (service("frontend"), "no part of this deploy"),
        (resource("aws_lb.main", ["update"], {"name": "a", "idle": 1}, {"name": "a", "idle": 2}), "no part of this deploy"),
    ],
)
def test_only_this_services_new_revision_and_its_move_are_expected(row: dict[str, Any], says: str | None) -> None:
    """Everything beyond them stops the deploy, with the reason."""
    found = unexpected(changes(plan(row)), TARGET)
    assert [says in why for _, why in found] == ([True] if says else [])


@pytest.mark.parametrize(
    ("kind", "image", "value"),
    [
        ("uri", uri("v1"), uri("v1")),
        ("tag", uri("v1"), "v1"),
        ("tag", "a/b@sha256:01", None),
        ("tag", "a:5000/b", None),
        ("uri", "a@sha256:1", "a@sha256:1"),
    ],
)
def test_an_image_as_its_variable_takes_it(kind: str, image: str, value: str | None) -> None:
    """A tag variable can't say a digest, and that is refused rather than guessed."""
    assert value_for(kind, image) == value


def test_an_undeclared_variable_is_found_by_name() -> None:
    """`backend_image_tag` where the directory declares `backend_container_image`: named, with its service."""
    wanted = {"backend": "backend_image_tag", "frontend": "frontend_image"}
    assert undeclared(wanted, {"frontend_image", "backend_container_image"}) == (("backend", "backend_image_tag"),)


def test_the_deploys_plan_with_terraform_in_the_place_of_ecs() -> None:
    """Terraform is checked before anything is built; register and update become a saved plan and its apply; the undo is a second plan."""
    update = Step("update", "Update", "UpdateService back", {"back": "arn:x/dev-backend:7"})
    steps = (Step("build", "B"), Step("register", "R"), update, Step("watch", "W"), Step("prove", "P"))
    made = by_terraform(Plan(steps), Service(ecs_service="s", container="c", repository="r", image_variable="image"))
    assert [step.verb for step in made.steps] == ["tf-check", "build", "tf-plan", "tf-apply", "watch", "prove"]
    undo = made.steps[3].undo or ""
    assert "second Terraform plan" in undo and "dev-backend:7" in undo
    assert made.steps[3].values["back"] == "arn:x/dev-backend:7"


def test_a_release_that_needs_no_rollout_needs_no_terraform() -> None:
    """Where the service runs the image already, there is nothing to plan."""
    only = Plan((Step("prove", "P"),))
    assert by_terraform(only, Service(ecs_service="s", container="c", repository="r")) == only
