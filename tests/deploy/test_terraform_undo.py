"""How a rollout by Terraform is taken back: by a second plan, or by ECS where that plan would do
more. Services on moto.
"""

from __future__ import annotations

from typing import Any

import pytest

from ops.core.findings import Finding
from ops.deploy.rules.steps import CheckTerraform, PlanTerraformRollout
from ops.deploy.terraform_rollback import TerraformRollback
from ops.deploy.terraform_rollout import TerraformRollout
from ops.terraform import plan_files
from tests.deploy.test_plan import URI
from tests.terraform.fake_terraform import FAMILY, Scene, error
from tests.terraform.terraform_plans import resource

PENDING = resource("aws_db_instance.main", ["update"], {"tier": "a"}, {"tier": "b"})
OLD = f"{URI}:old"
NEW = f"{URI}:abc1234"
DENIED = error("reading RDS DB Instance", "AccessDenied")


def rolled_out(scene: Scene, **request: Any) -> TerraformRollback:
    """As after Terraform's apply: the service on a new revision, the one before INACTIVE."""
    rollback = TerraformRollback(TerraformRollout(scene.release(**request)))
    rollback.rollout.check(CheckTerraform("image", NEW))
    rollback.rollout.make_plan(PlanTerraformRollout(FAMILY, "image", NEW))
    assert rollback.rollout.planned is not None
    plan_files.discard(rollback.rollout.planned.saved)  # as its apply does
    client = scene.platform.cloud.client("ecs")
    container = {"name": FAMILY, "image": NEW, "memory": 64}
    new = client.register_task_definition(family=FAMILY, containerDefinitions=[container])
    client.update_service(
        cluster="main", service=FAMILY, taskDefinition=new["taskDefinition"]["taskDefinitionArn"]
    )
    client.deregister_task_definition(taskDefinition=scene.old)
    rollback.rollout.start_rollback()
    return rollback


def running(scene: Scene) -> dict[str, Any]:
    """The revision that the service is on."""
    client = scene.platform.cloud.client("ecs")
    (service,) = client.describe_services(cluster="main", services=[FAMILY])["services"]
    found: dict[str, Any] = client.describe_task_definition(
        taskDefinition=service["taskDefinition"]
    )["taskDefinition"]
    return found


def test_a_second_plan_of_this_service_alone_is_applied(scene: Scene) -> None:
    """One plan, by the addresses of the first one; nobody is asked."""
    rollback = rolled_out(scene)
    planned = rollback.plan_rollback(OLD)
    assert planned is not None and [row.address for row in planned.changes] == [
        "aws_ecs_task_definition.backend"
    ]
    assert [word for word in scene.calls("plan")[-1] if word.startswith("-target")] == [
        "-target=aws_ecs_task_definition.backend"
    ]


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (
            lambda scene: scene.planned(PENDING, targeted=True),
            "not applied, since it also changes aws_db_instance.main",
        ),
        (
            lambda scene: scene.planned(targeted=True, new_key=[]),
            "not applied, since it also changes the plan holds `new_key`",
        ),
        (
            lambda scene: scene.script(plan=[[DENIED]]),
            "no plan by Terraform: terraform plan: reading RDS DB Instance",
        ),
    ],
)
def test_a_plan_that_would_change_more_is_not_applied(
    scene: Scene, prepare: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dependency with a pending change comes along with -target; a plan that fails is no way back
    either.
    """
    rollback = rolled_out(scene)
    prepare(scene)
    assert rollback.plan_rollback(OLD) is None
    assert says in capsys.readouterr().err and scene.calls("apply") == [] and scene.saved() == []


def test_the_content_of_the_last_healthy_revision_runs_again(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Registered again, since ECS takes no service to an INACTIVE revision; Terraform's state then
    differs, and that is reported.
    """
    rollback = rolled_out(scene)
    assert running(scene)["revision"] == 2
    sent = rollback.rollback_by_ecs(scene.old)
    assert sent is not None and sent.to == f"{FAMILY}:3", "the copy, not the revision before"
    assert rollback.running_label(OLD) == sent.to
    found = running(scene)
    assert found["revision"] == 3 and found["status"] == "ACTIVE"
    assert found["containerDefinitions"][0]["image"] == OLD
    (finding,) = rollback.rollout.context.findings
    assert finding.cause == "terraform_state_differs" and finding.fix == (
        "inv tf.plan",
        "inv tf.apply",
    )
    assert "its state differs until the next apply" in capsys.readouterr().err
    rollback.rollback_by_ecs(scene.old)
    assert running(scene)["revision"] == 3, "the copy is used, not made again"


def test_where_terraform_ignores_the_task_definition_it_is_not_asked(scene: Scene) -> None:
    """`ignore_changes`: a second plan would not move the service."""
    rollback = rolled_out(scene)
    rollback.rollout.context.findings.append(Finding("task_definition_ignored", "", "certain", ()))
    before = len(scene.calls("plan"))
    assert rollback.plan_rollback(OLD) is None and len(scene.calls("plan")) == before


def test_a_rollout_of_an_earlier_run_goes_back_by_ecs(scene: Scene) -> None:
    """Its plan is gone, and with it the addresses."""
    rollback = rolled_out(scene)
    rollback.rollout.planned = None
    assert rollback.plan_rollback(OLD) is None


def test_a_rollback_does_not_wait_for_terraform(scene: Scene) -> None:
    """However long --lock-wait is: half a minute for a state lock, three minutes for a plan."""
    rollback = rolled_out(scene, lock_wait_s=600.0)
    assert rollback.rollout.lock_wait_s == 30.0
    rollback.rollout.rolling_back = False
    assert rollback.rollout.lock_wait_s == 600.0
