"""Which images every Terraform plan is given, read from services on moto."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.core.config.settings import Settings
from ops.core.errors import ConfigError, Refused
from ops.platform import Platform
from ops.terraform import image_variables
from tests import plain_aws
from tests.terraform.terraform_plans import parsed, resource

KEYS = {"access_key": "AKIAREHEARSAL00000", "secret_key": "rehearsal"}
REGISTRY = "127.0.0.1:5000/davidshaevel"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    yield from plain_aws.served()


def service(name: str, **more: Any) -> dict[str, Any]:
    return {
        "ecs_service": f"dev-{name}",
        "container": name,
        "repository": name,
        "image_variable": f"{name}_image",
        **more,
    }


def platform(endpoint: str, **services: dict[str, Any]) -> Platform:
    values = {
        "account": "123456789012",
        "region": "us-east-1",
        "cluster": "dev",
        "aws": {"endpoint": endpoint, **KEYS},
        "services": services,
    }
    return Platform.of(Settings(name="rehearsal", root=Path("/nowhere"), environment=values))


@pytest.fixture
def cloud(endpoint: str) -> Any:
    httpx.post(f"{endpoint}/moto-api/reset").raise_for_status()
    client = platform(endpoint).cloud.client("ecs")
    client.create_cluster(clusterName="dev")
    return client


def running(client: Any, name: str, *images: str) -> None:
    """A service on the first of `images`; the others are later revisions of its family that it does
    not run.
    """
    made = [
        client.register_task_definition(
            family=f"dev-{name}",
            containerDefinitions=[
                {"name": "log", "image": "fluent:1", "memory": 64},
                {"name": name, "image": image, "memory": 64},
            ],
        )["taskDefinition"]["taskDefinitionArn"]
        for image in images
    ]
    client.create_service(
        cluster="dev", serviceName=f"dev-{name}", taskDefinition=made[0], desiredCount=0
    )


def test_the_targets_image_is_new_and_the_others_are_as_they_run(endpoint: str, cloud: Any) -> None:
    """The sibling's own revision speaks, not its family's latest, and not a sidecar."""
    running(cloud, "backend", f"{REGISTRY}/backend:old")
    running(cloud, "frontend", f"{REGISTRY}/frontend:v1", "nginx:latest")
    here = platform(
        endpoint,
        backend=service("backend", image_variable_kind="uri"),
        frontend=service("frontend"),
        cron=service("cron", image_variable=None),
    )
    found = image_variables.values(here, target="backend", image=f"{REGISTRY}/backend:new")
    assert found == {"backend_image": f"{REGISTRY}/backend:new", "frontend_image": "v1"}
    assert image_variables.values(here) == {
        "backend_image": f"{REGISTRY}/backend:old",
        "frontend_image": "v1",
    }


def test_a_service_that_is_not_there_yet_is_left_to_its_default(
    endpoint: str, cloud: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Terraform is to make it: that is said, and no value is invented."""
    assert image_variables.values(platform(endpoint, frontend=service("frontend"))) == {}
    assert "frontend does not exist yet" in capsys.readouterr().err


def test_without_the_cluster_no_service_is_there_yet(
    endpoint: str, cloud: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a first apply, and after the platform was taken down (the cluster is INACTIVE)."""
    here = platform(endpoint, frontend=service("frontend"), backend=service("backend"))
    for lost in (lambda: None, lambda: cloud.create_cluster(clusterName="dev")):
        lost()
        cloud.delete_cluster(cluster="dev")
        assert image_variables.values(here) == {}
        reported = capsys.readouterr().err
        assert "frontend does not exist yet" in reported and "backend does not" in reported


def test_a_service_of_the_state_that_was_not_found_is_not_set_to_a_default(
    endpoint: str, cloud: Any
) -> None:
    """A wrong `cluster` or `ecs_service`: else its plan would roll the default image out."""
    here = platform(endpoint, frontend=service("frontend"))
    kept = {"name": "dev-frontend", "desired_count": 2}
    existing = parsed(resource("module.x.aws_ecs_service.f", ["no-op"], kept, kept))
    with pytest.raises(Refused, match="the image of frontend is not known") as found:
        image_variables.check_default_images(here, {}, existing)
    assert "module.x.aws_ecs_service.f" in found.value.why
    assert "services.frontend.ecs_service" in found.value.next
    image_variables.check_default_images(here, {"frontend_image": "v1"}, existing)
    created = parsed(resource("aws_ecs_service.f", ["create"], None, kept))
    image_variables.check_default_images(here, {}, created)


def test_a_sibling_that_cannot_be_read_stops_the_plan(endpoint: str, cloud: Any) -> None:
    """Without its image Terraform would fall back to the default, and move it."""
    running(cloud, "frontend", f"{REGISTRY}/frontend:v1")
    with pytest.raises(Refused, match="the image of frontend could not be read"):
        image_variables.values(platform(endpoint, frontend=service("frontend", container="web")))


def test_a_digest_does_not_fit_a_tag_variable(endpoint: str, cloud: Any) -> None:
    """Refused with both ways out, rather than given half a reference."""
    running(cloud, "frontend", f"{REGISTRY}/frontend@sha256:{'0' * 64}")
    with pytest.raises(Refused, match="variable frontend_image takes a tag") as found:
        image_variables.values(platform(endpoint, frontend=service("frontend")))
    assert "image_variable_kind: uri" in found.value.next
    whole = image_variables.values(
        platform(endpoint, frontend=service("frontend", image_variable_kind="uri"))
    )
    assert whole["frontend_image"].endswith("0" * 64)


def test_a_target_without_a_variable_is_a_mistake_in_the_configuration(
    endpoint: str, cloud: Any
) -> None:
    """`rollout: terraform` needs to know which variable says the image."""
    with pytest.raises(ConfigError, match="service cron has no image_variable"):
        image_variables.values(
            platform(endpoint, cron=service("cron", image_variable=None)),
            target="cron",
            image="x:1",
        )
