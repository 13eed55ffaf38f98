"""`rollout: terraform` on the sandbox, with a real terraform and the AWS provider: deployed,
undone, stopped, killed, finished.

One sandbox for all, in this order: what one test leaves moved the next one meets. CI leaves out
what is LONG unless it is asked for."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from tests.deploy import deploying as world
from tests.real.terraform_team import FRONTEND, LONG, Team, owned, step_names
from tests.relay import before_aws

__all__ = ["owned"]  # a fixture

pytestmark = [pytest.mark.xdist_group("terraform"), pytest.mark.timeout(300)]
FAMILY = "dev-davidshaevel-backend"
PENDING = 'resource "terraform_data" "pending" {\n  input = timestamp()\n}\n'
ONE_REVISION = '"${var.backend.family}:${one(aws_ecs_task_definition.backend[*].revision)}"'
STEPS = {
    "preflight": "tests of backend",
    "build": "Step 2/",
    "push": "Pushing",
    "plan": "terraform plan in",
    "apply": "terraform apply of",
    "applied": "Creation complete",
    "service changed": "  deployment ecs-svc/",
    "watching": "event:",
    "rolled out": "== completed",
}


def revision_of(owned: Team) -> int:
    """The backend's, as the service has it."""
    return int(world.service(owned.checkout)["taskDefinition"].rsplit(":", 1)[1])


def scale_frontend(owned: Team, count: int) -> None:
    world.aws(owned.checkout, "ecs").update_service(
        cluster="dev-davidshaevel-cluster", service=FRONTEND, desiredCount=count
    )


def terraform_pid(parent: int) -> int:
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    found = [line.split(None, 2) for line in listed.splitlines()]
    return next(
        int(pid)
        for pid, above, words in found
        if above == str(parent) and words.startswith("terraform ")
    )


def killed_in_mid_apply(owned: Team, *words: str) -> dict[str, Any]:
    """A deploy and its Terraform, both killed with -9 while the apply waits for UpdateService; the
    state's lock that they leave.
    """
    with before_aws(owned.checkout, b"UpdateService") as way:
        process = owned.start("backend.deploy", *words)
        said = world.read_until(process, "terraform apply of", 200)
        assert way.held.wait(120), said
        pid = terraform_pid(process.pid)
        process.kill()
        os.killpg(pid, signal.SIGKILL)  # with its provider, which would outlive it
        process.communicate()
    (held,) = owned.document("tf.locks")["locks"]
    return dict(held)


def test_a_first_plan_adopts_the_platform_and_changes_nothing(owned: Team) -> None:
    """`tf.plan` of the sandbox: two services and their task definitions would come into the state
    as they stand.
    """
    document = owned.document("tf.plan")
    assert {row["action"] for row in document["changes"]} == {"adopt"} and len(
        document["changes"]
    ) == 4
    assert document["images"]["frontend_container_image"].endswith(
        f"davidshaevel/frontend:{world.version(owned.checkout)}"
    )


@LONG
def test_the_first_apply_only_adopts(owned: Team) -> None:
    """That plan, applied: the state has all four, nothing drifts, no lock is left. (Without it the
    first deploy adopts them.)
    """
    assert owned.document("tf.apply")["applied"] is True
    assert owned.document("tf.drift") == {
        "environment": "sandbox",
        "state_empty": False,
        "drifted": False,
        "drift": [],
    }
    assert owned.document("tf.output")["outputs"]["backend_task_definition"].endswith(f"{FAMILY}:1")
    assert owned.document("tf.locks") == {"environment": "sandbox", "locks": []}


def test_an_undeclared_variable_is_found_before_anything_is_built(owned: Team) -> None:
    """Preflight refuses with the nearest name; no image was made."""
    world.commit(owned.checkout, {"backend/NOTE": "nothing"}, "Nothing that is deployed")
    variable = {"INVOKE_ENVIRONMENTS_SANDBOX_SERVICES_BACKEND_IMAGE_VARIABLE": "backend_image"}
    done = owned.inv("backend.deploy", **variable)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "backend_image" in done.stderr and "did you mean backend_container_image?" in done.stderr
    assert "✓ build" not in done.stderr


def test_a_deploy_by_a_saved_plan(owned: Team) -> None:
    """Checked, built, planned, applied, watched and proved; the sibling keeps its revision, and
    running it again does nothing.
    """
    tag = world.commit(owned.checkout, {"backend/NOTE": "one"}, "One")
    before = world.service(owned.checkout, FRONTEND)["taskDefinition"]
    with world.client(world.overlay(owned.checkout)["site"]) as someone:
        document = owned.document("backend.deploy")
    assert document["verdict"] == "succeeded" and world.version(owned.checkout) == tag
    assert step_names(document) == [
        "tf-check",
        "build",
        "push",
        "tf-plan",
        "tf-apply",
        "watch",
        "prove",
    ]
    assert someone.asked and not someone.failed
    assert world.service(owned.checkout, FRONTEND)["taskDefinition"] == before
    assert step_names(owned.document("backend.deploy")) == ["prove"]


@LONG
def test_a_failing_image_is_undone_by_a_second_plan(owned: Team) -> None:
    """Exit 4, the old image on a new revision (the replaced one is INACTIVE), no failed request;
    what else moved meanwhile stays.
    """
    before, revision = world.version(owned.checkout), world.newest_revision(owned.checkout)
    world.commit(owned.checkout, {"backend/server.py": world.CRASH}, "Crash")
    with world.client(world.overlay(owned.checkout)["site"]) as someone:
        process = owned.start("backend.deploy", "--skip", "tests")
        said = world.read_until(process, "terraform apply of", 200)
        scale_frontend(owned, 1)
        said += process.communicate(timeout=240)[1]
    world.revert(owned.checkout)
    assert process.returncode == 4, said
    assert "by a second plan of aws_ecs_task_definition.backend, aws_ecs_service.backend" in said
    assert "boom: no such setting" in said
    assert not someone.failed and world.version(owned.checkout) == before
    assert revision_of(owned) == world.newest_revision(owned.checkout) == revision + 2
    assert world.service(owned.checkout, FRONTEND)["desiredCount"] == 1


def test_what_goes_beyond_the_deploy_stops_it(owned: Team) -> None:
    """The sibling that somebody scaled is drift; a deploy of the backend would move it back, so it
    is refused by its address.
    """
    scale_frontend(owned, 1)
    drift = owned.inv("tf.drift")
    assert drift.returncode == 1 and "desired_count: 2 → 1" in drift.stderr
    before = world.service(owned.checkout)["taskDefinition"]
    world.commit(owned.checkout, {"backend/NOTE": "two"}, "Two")
    refused = owned.inv("backend.deploy")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert (
        "beyond this deploy: aws_ecs_service.frontend" in refused.stderr
        and "--yes" in refused.stderr
    )
    assert world.service(owned.checkout)["taskDefinition"] == before


def test_terraform_killed_in_mid_apply(owned: Team) -> None:
    """kill -9 of both leaves Terraform's lock: the next run names it and waits; unlocked by its
    typed id, it goes on and converges.
    """
    tag = world.git(owned.checkout, "rev-parse", "--short", "HEAD")
    held = killed_in_mid_apply(owned, "--yes")
    assert world.version(owned.checkout) != tag
    process = owned.start("backend.deploy", "--yes", "--lock-wait", "5m")
    said = world.read_until(process, "waiting up to", 200)
    assert held["id"] in said and "! warn     state-lock" in said
    assert owned.inv("tf.unlock").returncode == 3
    assert owned.inv("tf.unlock", "--id", held["id"]).returncode == 0
    said += process.communicate(timeout=240)[1]
    assert process.returncode == 0, said
    assert (
        world.version(owned.checkout) == tag
        and world.service(owned.checkout, FRONTEND)["desiredCount"] == 2
    )
    assert owned.document("lock.status") == {"locks": []}


def test_a_rollback_does_not_depend_on_terraform(owned: Team) -> None:
    """A dependency of the task definition that always has a pending change: rolled back by ECS all
    the same, and the service is up.
    """
    owned.edit(
        "backend.tf",
        "\n  runtime_platform {",
        "  depends_on = [terraform_data.pending]\n\n  runtime_platform {",
    )
    world.commit(
        owned.checkout,
        {"terraform/environments/dev/pending.tf": PENDING},
        "Add a change without end",
    )
    before, revision = world.version(owned.checkout), world.newest_revision(owned.checkout)
    world.commit(owned.checkout, {"backend/server.py": world.CRASH}, "Crash")
    with world.client(world.overlay(owned.checkout)["site"]) as someone:
        done = owned.inv("backend.deploy", "--skip", "tests", "--yes")
    world.revert(owned.checkout)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "not applied, since it also changes terraform_data.pending" in done.stderr
    assert f"rolling back by UpdateService to {FAMILY}:{revision + 2}" in done.stderr
    assert "its state differs until the next apply" in done.stderr
    assert not someone.failed and world.version(owned.checkout) == before
    assert revision_of(owned) == world.newest_revision(owned.checkout) == revision + 2


def test_a_destroy_is_answered_by_its_address_alone(owned: Team) -> None:
    """--yes is refused, with the option that names it; that deploy also takes over what the
    rollback before left.
    """
    owned.edit("backend.tf", "  depends_on = [terraform_data.pending]\n", "")
    (owned.directory / "pending.tf").unlink()
    tag = world.commit(owned.checkout, {"backend/NOTE": "three"}, "Three")
    before = world.service(owned.checkout)["taskDefinition"]
    refused = owned.inv("backend.deploy", "--yes")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "next: add --allow-destroy terraform_data.pending" in refused.stderr
    assert world.service(owned.checkout)["taskDefinition"] == before
    assert (
        owned.document("backend.deploy", "--allow-destroy", "terraform_data.pending")["verdict"]
        == "succeeded"
    )
    assert world.version(owned.checkout) == tag and owned.document("tf.plan")["changes"] == []


def test_a_variable_file_that_switches_the_service_off(owned: Team) -> None:
    """Git does not have it: a question first; with --yes the plan is refused, since the service and
    its revision would go.
    """
    start = world.git(owned.checkout, "rev-parse", "HEAD")
    for name in ("aws_ecs_task_definition", "aws_ecs_service"):
        head = f'resource "{name}" "backend" {{\n'
        owned.edit("backend.tf", head, f"{head}  count = var.active ? 1 : 0\n\n")
    owned.edit(
        "backend.tf",
        '"${aws_ecs_task_definition.backend.family}:${aws_ecs_task_definition.backend.revision}"',
        ONE_REVISION,
    )
    owned.edit(
        "outputs.tf",
        "aws_ecs_task_definition.backend.arn",
        "one(aws_ecs_task_definition.backend[*].arn)",
    )
    for name in ("aws_ecs_task_definition", "aws_ecs_service"):
        owned.edit("backend.tf", f"to = {name}.backend\n", f"to = {name}.backend[0]\n")
    owned.edit(
        "variables.tf",
        "variable",
        'variable "active" {\n  type    = bool\n  default = true\n}\n\nvariable',
    )
    world.commit(
        owned.checkout,
        {".gitignore": "*.tfvars\n*.auto.tfvars.json\n.terraform/\n", "backend/NOTE": "off"},
        "Off",
    )
    (owned.directory / "terraform.tfvars").write_text("active = false\n")
    before = world.service(owned.checkout)["taskDefinition"]
    asked = owned.inv("backend.deploy")
    assert (
        asked.returncode == 3
        and "terraform.tfvars was added since the last release" in asked.stderr
    ), asked.stderr
    assert "✓ build" not in asked.stderr
    refused = owned.inv("backend.deploy", "--yes")
    (owned.directory / "terraform.tfvars").unlink()
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert (
        "beyond this deploy: aws_ecs_service.backend" in refused.stderr
        or "takes away what this deploy is about" in refused.stderr
    )
    assert (
        world.service(owned.checkout)["taskDefinition"] == before
        and world.service(owned.checkout)["status"] == "ACTIVE"
    )
    world.git(owned.checkout, "checkout", start, "--", ".")
    world.commit(owned.checkout, {}, "On again")


@LONG
def test_a_lock_that_nobody_gives_back_refuses_the_deploy(owned: Team) -> None:
    """Exit 3 with the lock's id, after it was waited for, and nothing more is left behind."""
    tag = world.commit(owned.checkout, {"backend/NOTE": "four"}, "Four")
    held = killed_in_mid_apply(owned)
    refused = owned.inv("backend.deploy")
    assert refused.returncode == 3 and held["id"] in refused.stderr, refused.stderr
    assert owned.document("lock.status") == {"locks": []}
    assert [each["id"] for each in owned.document("tf.locks")["locks"]] == [held["id"]]
    assert owned.inv("tf.unlock", "--id", held["id"]).returncode == 0
    assert owned.document("backend.deploy")["verdict"] == "succeeded"
    assert world.version(owned.checkout) == tag


@LONG
@pytest.mark.parametrize("step", STEPS)
def test_a_deploy_killed_at_any_step_is_simply_run_again(owned: Team, step: str) -> None:
    """kill -9: Terraform ends its own step, the next run waits for its lock and converges: one new
    revision, no lock left behind.
    """
    tag = world.commit(owned.checkout, {"backend/NOTE": step}, f"Killed at: {step}")
    before = world.newest_revision(owned.checkout)
    process = owned.start("backend.deploy", "--verbose")
    world.read_until(process, STEPS[step], 200)
    process.kill()
    process.communicate()
    document = owned.document("backend.deploy", "--lock-wait", "1m")
    assert document["verdict"] == "succeeded" and world.version(owned.checkout) == tag, document
    assert revision_of(owned) == world.newest_revision(owned.checkout) == before + 1
    assert owned.document("tf.plan")["changes"] == [] and owned.document("tf.locks")["locks"] == []
    assert owned.document("lock.status") == {"locks": []}
    (release,) = [
        each for each in owned.document("backend.releases")["releases"] if each["tag"] == tag
    ]
    assert release["current"]


def test_where_terraform_ignores_the_task_definition_the_deploy_says_so_and_finishes(
    owned: Team,
) -> None:
    """`ignore_changes`: the apply moves nothing, so one UpdateService to Terraform's revision ends
    it; a finding says what to configure.
    """
    owned.edit(
        "backend.tf",
        "  deployment_circuit_breaker {",
        "  lifecycle {\n    ignore_changes = [task_definition]\n  }\n\n  "
        "deployment_circuit_breaker {",
    )
    tag = world.commit(owned.checkout, {"backend/NOTE": "five"}, "Five")
    document = owned.document("backend.deploy")
    assert document["verdict"] == "succeeded" and world.version(owned.checkout) == tag
    (found,) = [each for each in document["findings"] if each["cause"] == "task_definition_ignored"]
    assert "rollout: ecs" in found["fix"][0] and "stayed" not in found["summary"]
    assert step_names(owned.document("backend.deploy")) == ["prove"]


@LONG
def test_the_sandbox_goes_on_with_rollout_ecs(owned: Team) -> None:
    """The same platform by UpdateService; Terraform then says which image it would have to take
    over, and touches nothing else.
    """
    owned.choose("ecs")
    tag = world.commit(owned.checkout, {"frontend/NOTE": "six"}, "Six")
    document = owned.document("frontend.deploy")
    assert document["verdict"] == "succeeded" and "update" in step_names(document)
    moved = [image for row in owned.document("tf.plan")["changes"] for image in row["images"]]
    assert [(image["container"], image["after"].rpartition(":")[2]) for image in moved] == [
        ("frontend", tag)
    ]


@LONG
def test_nothing_is_applied_beneath_a_deploy(owned: Team) -> None:
    """A saved plan waits its turn: while a deploy runs, `tf.apply` is refused with the deploy's
    name.
    """
    tag = world.commit(owned.checkout, {"frontend/NOTE": "seven"}, "Seven")
    assert owned.inv("tf.plan").returncode == 0
    process = owned.start("frontend.deploy")
    world.read_until(process, "deployment ecs-svc/")
    refused = owned.inv("tf.apply", "--yes")
    assert (
        refused.returncode == 3
        and "lock frontend is held" in refused.stderr
        and f"deploy {tag}" in refused.stderr
    ), refused.stderr
    process.communicate(timeout=120)
    assert process.returncode == 0
