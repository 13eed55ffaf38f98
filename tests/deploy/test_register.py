"""Registered revisions, on moto: an equal one of an earlier run is reused, and named so."""

from __future__ import annotations

from ops.aws import ecs
from ops.deploy.ecs_rollout import EcsRollout
from ops.deploy.rules.steps import RegisterAgain, RegisterTaskDefinition
from tests.terraform.fake_terraform import FAMILY, URI, Scene

IMAGE = f"{URI}:abc1234"


def test_a_revision_of_a_killed_run_is_reused_and_named_so(scene: Scene) -> None:
    """The second run says that the first one registered it."""
    rollout = EcsRollout(scene.release())
    base = ecs.task_definition(scene.platform.cloud, FAMILY)
    assert base is not None
    step = RegisterTaskDefinition(base=base, container=FAMILY, image=IMAGE)
    first, second = rollout.register(step), rollout.register(step)
    assert first == f"revision {FAMILY}:2 from {FAMILY}:1, only the image of {FAMILY} changed"
    assert second == f"{first}; an earlier run registered it"


def test_a_copy_of_a_killed_run_is_reused_and_named_so(scene: Scene) -> None:
    """As for a rollback to an INACTIVE revision."""
    rollout = EcsRollout(scene.release())
    scene.platform.cloud.client("ecs").deregister_task_definition(taskDefinition=scene.old)
    old = ecs.task_definition(scene.platform.cloud, scene.old)
    assert old is not None and old.status == "INACTIVE"
    first, second = (rollout.register_again(RegisterAgain(revision=old)) for _ in "12")
    assert first == f"revision {FAMILY}:2, a copy of {FAMILY}:1"
    assert second == f"{first}; an earlier run registered it"
