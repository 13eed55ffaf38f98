"""What a deploy may do by Terraform without asking, by table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.aws.facts import TaskDefinition
from ops.core.config.settings import Service
from ops.core.plan import Plan
from ops.deploy.rules.steps import (
    ContinueRollout,
    LastHealthy,
    PlanTerraformRollout,
    PushImage,
    RegisterTaskDefinition,
    UpdateService,
    VerifyRelease,
    WatchDeployment,
)
from ops.deploy.rules.terraform_plan import by_terraform
from ops.terraform.rules.plan_diff import changes
from ops.terraform.rules.scope import (
    DeployScope,
    never_allowed,
    out_of_scope,
    undeclared_variables,
    variable_value,
)
from tests.terraform.terraform_plans import definitions, parsed, resource, revision, service, uri

TARGET = DeployScope("dev-backend", "dev-backend", "backend", uri("def"))
SIDECAR = {"name": "log", "image": "fluent:1"}
MOVE = revision(definitions(uri("abc")), definitions(uri("def")))

NEW = resource(
    "aws_ecs_task_definition.backend",
    ["create"],
    None,
    {"family": "dev-backend", "container_definitions": definitions(uri("def"))},
)
LATER = resource(
    "aws_ecs_task_definition.backend",
    ["delete", "create"],
    {"family": "dev-backend", "container_definitions": definitions(uri("abc"))},
    {"family": "dev-backend"},
    after_unknown={"container_definitions": True},
    replace_paths=[["container_definitions"]],
)
MOVED_AWAY = resource(
    "aws_ecs_service.backend",
    ["update"],
    {"name": "dev-backend", "task_definition": "dev-backend:1"},
    {"name": "dev-backend", "task_definition": "dev-other:1"},
)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (MOVE, None),
        (service(), None),
        (NEW, None),
        (
            resource(
                "aws_ecs_task_definition.backend", ["create"], None, {"family": "dev-backend"}
            ),
            "all containers (known after apply)",
        ),
        (LATER, "changes all containers (known after apply)"),
        (resource("aws_lb.main", ["no-op"], {"name": "a"}, {"name": "a"}, importing="a"), None),
        (
            revision(definitions(uri("abc")), definitions(uri("xyz"))),
            "moves backend from abc to xyz",
        ),
        (
            revision(definitions(uri("abc")), definitions(uri("def"), cpu=256)),
            "changes backend.cpu",
        ),
        (
            revision(
                definitions(uri("abc"), SIDECAR),
                definitions(uri("def"), {**SIDECAR, "image": "fluent:2"}),
            ),
            "moves log from 1 to 2",
        ),
        (
            revision(
                definitions(uri("abc")),
                definitions(uri("def")),
                paths=[["cpu"], ["container_definitions"]],
            ),
            "changes cpu",
        ),
        (
            resource(
                "aws_ecs_task_definition.backend", ["delete"], {"family": "dev-backend"}, None
            ),
            "removes the service's task definition",
        ),
        (
            resource(
                "aws_ecs_task_definition.backend", ["forget"], {"family": "dev-backend"}, None
            ),
            "removes the service's task definition",
        ),
        (
            resource(
                "aws_ecs_task_definition.backend",
                ["x"],
                {"family": "dev-backend"},
                {"family": "dev-backend"},
            ),
            "not known here",
        ),
        (service(actions=("explode",)), "not known here: explode"),
        (service(actions=("create", "forget")), "replace the service itself"),
        (MOVED_AWAY, "task_definition: "),
        (service(desired_count=5), "desired_count: 2 → 5"),
        (
            resource(
                "aws_ecs_service.backend",
                ["delete", "create"],
                {"name": "dev-backend"},
                {"name": "dev-backend"},
            ),
            "replace the service",
        ),
        (
            revision(
                definitions(uri("a")),
                definitions("nginx:latest"),
                family="dev-frontend",
                name="frontend",
            ),
            "not part of this release",
        ),
        (service("frontend"), "not part of this release"),
        (
            resource("aws_lb.main", ["update"], {"name": "a", "idle": 1}, {"name": "a", "idle": 2}),
            "not part of this release",
        ),
    ],
)
def test_only_this_services_new_revision_and_its_move_are_expected(
    row: dict[str, Any], says: str | None
) -> None:
    """Everything beyond them stops the deploy, with the reason."""
    found = out_of_scope(changes(parsed(row)), TARGET)
    assert len(found) == bool(says) and all(str(says) in why for _, why in found)


@pytest.mark.parametrize(
    ("after", "running", "expected"),
    [
        (definitions(uri("def", "frontend")), (uri("def", "frontend"),), True),
        (definitions(uri("def", "frontend")), ("def",), True),
        (definitions(uri("def", "frontend")), ("ghi", ""), False),
        (definitions(uri("def", "frontend")), (), False),
        (definitions(uri("def", "frontend"), memory=512), ("def",), False),
        (definitions(uri("def", "frontend"), SIDECAR), ("def",), False),
    ],
)
def test_another_services_revision_may_follow_what_it_runs(
    after: str, running: tuple[str, ...], expected: bool
) -> None:
    """With ignore_changes the state's task definitions are older than what deploys rolled out. The
    update of another service is never part of it.
    """
    row = revision(
        definitions(uri("abc", "frontend")), after, family="dev-frontend", name="frontend"
    )
    scope = replace(TARGET, running=running)
    assert (out_of_scope(changes(parsed(row)), scope) == ()) is expected
    assert len(out_of_scope(changes(parsed(row, service("frontend"))), scope)) >= 1


def gone(address: str, *, replaced: bool = False) -> dict[str, Any]:
    after = {"name": "b"} if replaced else None
    return resource(address, ["delete", "create"] if replaced else ["delete"], {"name": "a"}, after)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (MOVE, ""),
        (service(), ""),
        (gone("aws_iam_role.task"), ""),
        (gone("aws_lb_target_group.backend", replaced=True), ""),
        (resource("aws_db_instance.main", ["update"], {"name": "a"}, {"name": "b"}), ""),
        (resource("aws_db_instance.main", ["forget"], {"name": "a"}, None), ""),
        (
            gone("module.database[0].aws_db_instance.main"),
            "module.database[0].aws_db_instance.main (database)",
        ),
        (gone("aws_rds_cluster.main", replaced=True), "aws_rds_cluster.main (database)"),
        (gone("aws_dynamodb_table.lock"), "(database)"),
        (gone("aws_elasticache_replication_group.x"), "(cache)"),
        (gone("aws_s3_bucket.assets"), "(bucket)"),
        (gone("aws_efs_file_system.x"), "(file system)"),
        (gone("aws_ecr_repository.backend", replaced=True), "(repository)"),
        (gone("aws_secretsmanager_secret.db"), "(secret or key)"),
        (gone("aws_kms_key.k"), "(secret or key)"),
        (gone("aws_ecs_cluster.main"), "(cluster)"),
        (gone("aws_lb.main"), "(load balancer)"),
        (gone("aws_alb.main"), "(load balancer)"),
        (gone("aws_cloudfront_distribution.main"), "(distribution)"),
        (gone("aws_route53_zone.main"), "(DNS zone)"),
        (gone("aws_vpc.main", replaced=True), "(network)"),
        (
            resource("aws_ecs_service.backend", ["delete"], {"name": "dev-backend"}, None),
            "DESTROYS aws_ecs_service.backend, the service of this deploy",
        ),
        (
            resource("aws_ecs_service.x", ["forget"], {"name": "dev-backend"}, None),
            "the service of this deploy",
        ),
        (resource("aws_ecs_service.frontend", ["delete"], {"name": "dev-frontend"}, None), ""),
        (
            resource("aws_lb.main", ["explode"], {"name": "a"}, {"name": "b"}),
            "action for aws_lb.main is `explode`",
        ),
    ],
)
def test_what_a_deploy_never_allowed_applies(row: dict[str, Any], says: str) -> None:
    """Data stores, entry points and the service itself are not destroyed, whatever is answered."""
    found = never_allowed(changes(parsed(row)), TARGET)
    assert says in found and bool(found) == bool(says)


def test_many_losses_are_counted() -> None:
    """92 destroys are not a line each."""
    rows = [gone(f"aws_s3_bucket.b{number}") for number in range(92)]
    assert never_allowed(changes(parsed(*rows)), TARGET).endswith(
        "aws_s3_bucket.b10 (bucket) and 89 more"
    )


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
    assert variable_value(kind, image) == value


def test_an_undeclared_variable_is_found_by_name() -> None:
    """`backend_image_tag` where the directory declares `backend_container_image`: named, with its
    service.
    """
    wanted = {"backend": "backend_image_tag", "frontend": "frontend_image"}
    assert undeclared_variables(wanted, {"frontend_image", "backend_container_image"}) == (
        ("backend", "backend_image_tag"),
    )


def test_the_deploys_plan_with_terraform_in_the_place_of_ecs() -> None:
    """Terraform is checked before anything is built; register and update become a saved plan and
    its apply; the undo is a second plan.
    """
    configured = Service(ecs_service="s", container="c", repository="r", image_variable="image")
    revision = TaskDefinition("arn:x/dev-backend:7", "ACTIVE", "amd64", {})
    steps = (
        PushImage("r", "abc1234"),
        RegisterTaskDefinition(revision, "c", "r:abc1234"),
        UpdateService("r:abc1234", LastHealthy("arn:x/dev-backend:7"), False, "s", 2),
        WatchDeployment("s", False),
        VerifyRelease("backend", None, 1),
    )
    made = by_terraform(Plan(steps), configured)
    assert [step.verb for step in made.steps] == [
        "tf-check",
        "push",
        "tf-plan",
        "tf-apply",
        "watch",
        "prove",
    ]
    assert made.steps[2] == PlanTerraformRollout("s", "image", "r:abc1234")
    undo = made.steps[3].undo or ""
    assert "second Terraform plan" in undo and "UpdateService to a copy of dev-backend:7" in undo


def test_a_rollout_under_way_is_taken_over_with_terraforms_undo() -> None:
    """Terraform is checked, since the undo may need it; nothing is planned or applied."""
    back = LastHealthy("arn:x/dev-backend:7")
    plan = Plan(
        (ContinueRollout("r:abc1234", back, False, "ecs-svc/1"), WatchDeployment("s", False))
    )
    made = by_terraform(plan, Service(ecs_service="s", container="c", repository="r"))
    assert [step.verb for step in made.steps] == ["tf-check", "tf-apply", "watch"]
    assert "ecs-svc/1" in str(made.steps[1])
    assert "second Terraform plan" in (made.steps[1].undo or "")


def test_a_release_that_needs_no_rollout_needs_no_terraform() -> None:
    """Where the service runs the image already, there is nothing to plan."""
    only = Plan((VerifyRelease("backend", "sha256:1", 1),))
    assert by_terraform(only, Service(ecs_service="s", container="c", repository="r")) == only
