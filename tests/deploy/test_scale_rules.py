"""What `inv SERVICE.scale` plans, refuses and waits for, by table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.aws.facts import LoadBalancer, ScalableTarget, ServiceState, Target
from ops.core.errors import ConfigError, Refused
from ops.core.findings import Unknown, Verdict
from ops.deploy.context import DeployRequest
from ops.deploy.operations.scale import PlannedScale
from ops.deploy.rules.scale import ScaleFacts, parse_count, plan_scale
from ops.ecs import live_display
from ops.ecs.rules.count import decide_count
from ops.ecs.rules.verdict.observation import Observation, RolloutHistory
from ops.platform import Platform
from ops.terraform.files import service_blocks
from ops.terraform.rules.desired_count import sets_desired_count
from tests.aws_fixtures import make_settings
from tests.ecs.stops import NEWER, OURS, crashed, deployment, service

READY = service(deployment(state="COMPLETED", running=2))
BALANCED = replace(READY, load_balancers=(LoadBalancer("arn:tg", "web", 80),))
FACTS = ScaleFacts(READY, None, None)
HEALTHY = (Target("10.0.0.1", 80, "healthy"), Target("10.0.0.2", 80, "healthy"))


@pytest.mark.parametrize("text", [None, "", "-1", "two", "1.5", "5001", "99999999999", "²", " 3"])
def test_a_bad_count_is_a_bad_argument(text: str | None) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_count(text)
    assert "from 0 to 5000" in wrong.value.why and wrong.value.exit_code == 2


def test_good_counts() -> None:
    assert [parse_count(text) for text in ("0", "2", "5000")] == [0, 2, 5000]


@pytest.mark.parametrize(
    ("changes", "why", "how"),
    [
        ({"state": None}, "no such active service", "inv preflight"),
        ({"state": replace(READY, status="DRAINING")}, "service is DRAINING", "inv web.status"),
        ({"state": replace(READY, scheduling="DAEMON")}, "one task on each instance", "instances"),
        ({"state": service(deployment(running=1))}, "not complete", "inv web.watch"),
        ({"target": ScalableTarget(1, 2)}, "between 1 and 2", "--resource-id r --max-capacity 3"),
        ({"target": ScalableTarget(4, 9)}, "between 4 and 9", "--resource-id r --min-capacity 3"),
    ],
)
def test_what_cannot_have_the_count_is_refused(changes: dict[str, Any], why: str, how: str) -> None:
    with pytest.raises(Refused) as refused:
        plan_scale(replace(FACTS, **changes), "web", 3, resource="r")
    assert why in refused.value.why and how in refused.value.next


@pytest.mark.parametrize(
    ("count", "question"),
    [
        (0, "scale web to 0 in rehearsal: no task runs then, and the service answers nothing"),
        (3, "scale web to 3 in rehearsal"),
    ],
)
def test_a_protected_environment_asks(count: int, question: str) -> None:
    """Before anything is read: without a terminal and --yes, exit code 3."""
    platform = Platform.of(make_settings(protected=True))
    planned = PlannedScale(platform, "web", count, DeployRequest(), live_display.create_display)
    with pytest.raises(Refused) as refused:
        planned.confirm(yes=False)
    assert refused.value.what == f"{question}: this needs an answer"
    assert "--yes" in refused.value.next


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, "Application Auto Scaling does not set the count"),
        ({"target": ScalableTarget(1, 5)}, "may change the count again, between 1 and 5"),
        ({"target": ScalableTarget(4, 9, suspended=True)}, "is suspended for this service"),
        ({"target": Unknown("denied")}, "unknown: whether Application Auto Scaling"),
        ({"terraform": True}, "the next apply sets the count back"),
        ({"terraform": False}, "Terraform leaves the count alone"),
        ({"terraform": Unknown("no folder")}, "unknown: whether Terraform sets the count"),
    ],
)
def test_the_plan_says_what_else_sets_the_count(changes: dict[str, Any], note: str) -> None:
    plan = plan_scale(replace(FACTS, **changes), "web", 3)
    assert note in "\n".join(plan.already)
    assert [step.verb for step in plan.steps] == ["scale", "watch"]
    assert plan.steps[0].undo == "Set it back to 2, and watch that too"


def test_a_count_that_is_set_already_is_only_watched() -> None:
    assert plan_scale(FACTS, "web", 2).steps == ()
    starting = replace(READY, running=1)
    assert [s.verb for s in plan_scale(replace(FACTS, state=starting), "web", 2).steps] == ["watch"]
    assert "answers nothing" in plan_scale(FACTS, "web", 0).already[-1]


SETS = 'name = "web"\n  desired_count = 2\n'
IGNORES = SETS + "lifecycle {\n  ignore_changes = [\n    task_definition, desired_count ]\n}\n"


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([SETS], True),
        ([IGNORES], False),
        ([SETS + "lifecycle { ignore_changes = all }"], False),
        ([SETS + "lifecycle { ignore_changes = [task_definition] }"], True),
        (['name = "web"'], False),
        ([SETS, SETS], True),
        ([SETS, IGNORES], None),
        ([], None),
    ],
)
def test_whether_terraform_sets_the_count(bodies: list[str], expected: bool | None) -> None:
    assert sets_desired_count(bodies) is expected


def test_services_of_local_modules_are_read(tmp_path: Path) -> None:
    """A module of a registry is not read; modules that call each other are read once."""
    root, module = tmp_path / "dev", tmp_path / "modules" / "web"
    root.mkdir()
    module.mkdir(parents=True)
    called = 'module "web" {\n  source = "../modules/web"\n}\n'
    (root / "main.tf").write_text(called + 'module "vpc" {\n  source = "a/vpc/aws"\n}\n')
    service = 'resource "aws_ecs_service" "web" {\n  desired_count = var.count\n}\n'
    (module / "main.tf").write_text(service + 'module "self" {\n  source = "./."\n}\n')
    found = service_blocks(root)
    assert [block.labels for block in found] == [("aws_ecs_service", "web")]
    assert sets_desired_count(block.body for block in found) is True


@pytest.mark.parametrize(
    ("state", "count", "targets", "verdict", "phase"),
    [
        (READY, 2, (), Verdict.SUCCEEDED, "completed"),
        (replace(READY, desired=3), 3, (), None, "starting tasks"),
        (replace(READY, desired=1), 1, (), None, "stopping tasks"),
        (replace(READY, desired=0, running=0), 0, (), Verdict.SUCCEEDED, "completed"),
        (replace(READY, pending=1), 2, (), None, "starting tasks"),
        (BALANCED, 2, HEALTHY, Verdict.SUCCEEDED, "completed"),
        (BALANCED, 2, HEALTHY[:1], None, "waiting to be healthy"),
        (BALANCED, 2, None, Verdict.SUCCEEDED, "completed"),
        (READY, 5, (), Verdict.SUPERSEDED, "superseded"),
        (service(deployment(NEWER)), 2, (), Verdict.SUPERSEDED, "superseded"),
        (replace(READY, status="DRAINING"), 2, (), Verdict.FAILED, "gone"),
    ],
)
def test_the_count_is_reached_when_all_tasks_run_and_are_healthy(
    state: ServiceState,
    count: int,
    targets: tuple[Target, ...] | None,
    verdict: Verdict | None,
    phase: str,
) -> None:
    """Something else that sets the count, or deploys, supersedes; unknown health is named."""
    found = decide_count(Observation(20.0, state), OURS, count, targets, timeout_s=900.0)
    assert (found.verdict, found.phase) == (verdict, phase)
    assert (targets is None) == ("is unknown" in found.why)


def test_eventual_consistency_crashes_and_the_time_limit() -> None:
    """An early answer with the old count is waited out; the second crash is a failure."""
    early = decide_count(Observation(4.0, READY), OURS, 5, (), timeout_s=900.0)
    assert (early.verdict, early.phase) == (None, "waiting for ECS")
    state = replace(READY, desired=3)
    crashes = Observation(20.0, state, (crashed("a"), crashed("b")))
    assert decide_count(crashes, OURS, 3, (), timeout_s=900.0).verdict is Verdict.FAILED
    late = decide_count(Observation(900.0, state), OURS, 3, (), timeout_s=900.0)
    assert late.verdict is Verdict.TIMED_OUT and "2 of 3 tasks run" in late.why
    gone = Observation(20.0, None, history=RolloutHistory(missing=2))
    assert decide_count(gone, OURS, 3, (), timeout_s=900.0).verdict is Verdict.FAILED
