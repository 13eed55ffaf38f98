"""What a deploy by Terraform asks about, and what it refuses whatever is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import ConfigError, OpsError, Refused
from ops.deploy import deploy
from ops.deploy.context import DeployRequest
from ops.ecs import live_display
from ops.platform import Platform
from ops.state import records
from tests.real.terraform_ground import Ground
from tests.terraform.fake_terraform import FAMILY, Scene
from tests.terraform.terraform_plans import plan, resource, revision
from tests.terraform.test_plan_json import PURGE

ROLE = resource("aws_iam_role.old", ["delete"], {"name": "old"}, None)
DATABASE = resource("module.db[0].aws_db_instance.main", ["delete"], {"identifier": "x"}, None)
SIBLING = resource("aws_lb_listener.web", ["update"], {"port": 80}, {"port": 81})
SERVICE_GONE = resource("aws_ecs_service.backend[0]", ["delete"], {"name": FAMILY}, None)
ODD = resource("aws_lb.main", ["explode"], {"name": "a"}, {"name": "b"})
EVERYTHING = frozenset(row["address"] for row in (ROLE, DATABASE, SERVICE_GONE, ODD))


def refused(scene: Scene, **changes: Any) -> Refused:
    """The refusal of a deploy that has changed nothing and has left no plan behind."""
    with pytest.raises(Refused) as found:
        scene.run(scene.release(**changes))
    assert scene.calls("apply") == [] and scene.saved() == [] and found.value.exit_code == 3
    return found.value


def applied(scene: Scene, **changes: Any) -> bool:
    """Whether the deploy got as far as its apply."""
    scene.run(scene.release(**changes))
    return len(scene.calls("apply")) > 0


def test_yes_does_not_answer_a_destroy(scene: Scene) -> None:
    """Each destroy needs its own address; the refusal names the option to add."""
    scene.planned(ROLE)
    why = refused(scene)
    assert why.what == "Terraform DESTROYS aws_iam_role.old"
    assert why.next == "add --allow-destroy aws_iam_role.old"
    why = refused(scene, allow_destroy=frozenset({"aws_*"}))
    assert why.why == (
        "aws_* is no address that this plan destroys or replaces (exact addresses: "
        "aws_iam_role.old)"
    )
    assert why.next == "add --allow-destroy aws_iam_role.old"
    assert applied(scene, allow_destroy=frozenset({"aws_iam_role.old"}))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (DATABASE, "it destroys or replaces module.db[0].aws_db_instance.main (database)"),
        (
            SERVICE_GONE,
            "it DESTROYS aws_ecs_service.backend[0], the service of this deploy",
        ),
    ],
)
def test_what_no_answer_lets_a_deploy_do(scene: Scene, row: dict[str, Any], says: str) -> None:
    """With --yes and with each address allowed: refused, with the way by tf.plan and tf.apply."""
    scene.planned(row)
    why = refused(scene, allow_destroy=EVERYTHING)
    assert why.what == "a deploy does not apply this plan" and why.why == says
    assert "inv tf.plan" in why.next and "inv tf.apply" in why.next


def test_an_action_that_is_not_known_is_refused_by_name(scene: Scene) -> None:
    """A later Terraform may do what nobody here can judge."""
    scene.planned(ODD)
    why = refused(scene, allow_destroy=EVERYTHING)
    assert why.why == "Terraform's action for aws_lb.main is `explode`, which is not known here"


def test_a_plan_without_the_task_definition_is_refused(scene: Scene) -> None:
    """A variable file that switches the platform off takes away what the deploy is about."""
    gone = resource("aws_ecs_task_definition.backend", ["delete"], {"family": FAMILY}, None)
    scene.planned(resource_changes=plan(gone)["resource_changes"])
    why = refused(scene, allow_destroy=EVERYTHING | {gone["address"]})
    assert why.what == "the plan takes away what this deploy is about"
    assert "it leaves no task definition backend" in why.why


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"action_invocations": [PURGE]}, "also invokes action.aws_lambda_invoke.purge"),
        (
            {"deferred_changes": [{"reason": "x", "resource_change": DATABASE}]},
            "also defers to a later plan module.db[0]",
        ),
        ({"complete": False}, "the plan is incomplete"),
        ({"ephemeral_invocations": []}, "the plan holds `ephemeral_invocations`"),
    ],
)
def test_what_a_plan_does_beyond_resources_is_asked_about(
    scene: Scene, keys: dict[str, Any], says: str
) -> None:
    """A question like any other: refused without a terminal, answered by --yes."""
    scene.planned(**keys)
    why = refused(scene, yes=False)
    assert says in why.what and why.next == "add --yes to answer it"
    assert applied(scene)


def test_a_question_names_three_changes_and_counts_the_rest(scene: Scene) -> None:
    """All of them are printed above it, each with its reason."""
    rows = [
        resource(f"aws_iam_role.r{number}", ["update"], {"path": "/a"}, {"path": "/b"})
        for number in range(5)
    ]
    scene.planned(*rows)
    why = refused(scene, yes=False)
    assert why.what.count("changes aws_iam_role.") == 3 and "and 2 more" in why.what


def test_a_container_that_only_the_apply_will_tell(scene: Scene) -> None:
    """The image is not known beforehand, so nobody can say that it is the right one: asked."""
    row = revision("", "", family=FAMILY)
    del row["change"]["after"]["container_definitions"]
    scene.planned(resource_changes=[row])
    assert (
        "makes a new revision of aws_ecs_task_definition.backend" in refused(scene, yes=False).what
    )
    assert applied(scene)


def test_the_option_has_no_effect_without_terraform(moto_address: str, tmp_path: Path) -> None:
    """An option that would do nothing is refused, exit 2, before anything is read."""
    service = {"ecs_service": FAMILY, "container": FAMILY, "repository": "backend"}
    ground = Ground(tmp_path, moto_address)
    platform = Platform.of(ground.settings(services={FAMILY: service}, rollout="ecs"))
    request = DeployRequest(allow_destroy=frozenset({"aws_iam_role.old"}))
    with pytest.raises(ConfigError, match="--allow-destroy") as found:
        deploy.PlannedDeploy(platform, FAMILY, request, live_display.create_display).confirm(
            yes=False
        )
    assert found.value.exit_code == 2 and "rollout: ecs" in found.value.why


def test_a_plan_that_is_malformed_is_not_applied(scene: Scene) -> None:
    """Three lines instead of a traceback, and nothing is changed."""
    scene.planned(resource_changes=[7])
    with pytest.raises(OpsError, match="Terraform's plan could not be read"):
        scene.run(scene.release())
    assert scene.calls("apply") == [] and scene.saved() == []


def ignored(scene: Scene, text: str) -> None:
    """`terraform.tfvars` with this text, which git does not have."""
    file = scene.ground.root / ".gitignore"
    if "*.tfvars" not in file.read_text():
        file.write_text(file.read_text() + "*.tfvars\n")
        scene.ground.commit()
    (scene.ground.directory / "terraform.tfvars").write_text(text)


def released(scene: Scene) -> dict[str, Any]:
    """The newest record, made a success (the program here cannot roll anything out)."""
    found = vars(records.read(scene.platform, FAMILY)[0])
    records.store(
        scene.platform, {**found, "verdict": "succeeded", "at": "2026-01-02T00:00:00+00:00"}
    )
    return found


def test_variable_files_without_a_commit_are_part_of_the_record(scene: Scene) -> None:
    """A digest each, no value; the committed backend-config.tfvars is not among them."""
    ignored(scene, 'active = true\npassword = "hunter2"\n')
    assert applied(scene)
    found = released(scene)["terraform_inputs"]
    assert list(found) == ["terraform.tfvars"] and len(found["terraform.tfvars"]) == 16
    assert "hunter2" not in str(found)


def test_a_changed_variable_file_is_a_question_before_anything(scene: Scene) -> None:
    """`terraform.tfvars has changed since the last release`: before the plan; --yes answers it."""
    ignored(scene, "active = true\n")
    assert applied(scene)
    then = released(scene)["terraform_inputs"]
    planned = len(scene.calls("plan"))
    ignored(scene, "active = false\n")
    with pytest.raises(
        Refused, match=r"terraform\.tfvars has changed since the last release \(backend abc1234"
    ):
        scene.run(scene.release(yes=False))
    assert len(scene.calls("plan")) == planned
    scene.run(scene.release())
    assert records.read(scene.platform, FAMILY)[0].terraform_inputs != then
    ignored(scene, "active = true\n")
    scene.run(scene.release(yes=False))  # as at the last success: no question


def test_a_refused_plan_names_the_changed_variable_file(scene: Scene) -> None:
    """A plan that deletes the service because of it: correcting the file comes first."""
    ignored(scene, "active = true\n")
    assert applied(scene)
    released(scene)
    scene.planned(SERVICE_GONE)
    ignored(scene, "active = false\n")
    with pytest.raises(Refused) as found:
        scene.run(scene.release())
    assert found.value.what == "a deploy does not apply this plan"
    assert found.value.next.startswith(
        "terraform.tfvars has changed since the last release: correct it, then deploy"
    )


def test_a_variable_file_that_is_gone_or_new_is_a_question_too(scene: Scene) -> None:
    """Terraform falls back to defaults, or takes values that nobody has released."""
    ignored(scene, "active = true\n")
    assert applied(scene)
    released(scene)
    (scene.ground.directory / "terraform.tfvars").unlink()
    assert "terraform.tfvars was removed" in refuse_question(scene)
    ignored(scene, "active = true\n")
    (scene.ground.directory / "more.auto.tfvars").write_text("")
    assert "more.auto.tfvars was added" in refuse_question(scene)


def test_an_ignored_configuration_file_is_a_question_too(scene: Scene) -> None:
    """`override.tf` in .gitignore changes a plan without a commit."""
    file = scene.ground.root / ".gitignore"
    file.write_text(file.read_text() + "override.tf\n")
    scene.ground.commit()
    assert applied(scene)
    assert "override.tf" not in released(scene)["terraform_inputs"]
    (scene.ground.directory / "override.tf").write_text("# nothing yet\n")
    assert "override.tf was added since the last release" in refuse_question(scene)


def test_records_that_cannot_be_read_are_a_question(scene: Scene) -> None:
    """Unknown is not the same as unchanged."""
    client = scene.platform.cloud.client("s3")
    client.delete_bucket(Bucket="states")
    assert "it is unknown whether Terraform's input files have changed" in refuse_question(scene)


def refuse_question(scene: Scene) -> str:
    with pytest.raises(Refused) as found:
        scene.run(scene.release(yes=False))
    return found.value.what
