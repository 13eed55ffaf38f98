"""A service without a repository is only watched: its health and status are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.checkout import Checkout
from tests.deploy import deploying as world

SERVICE = {"ecs_service": "dev-davidshaevel-frontend", "container": "frontend"}


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    """A file that adds the service `grafana`, whose image is not ours."""
    path = tmp_path / "watched.yaml"
    document = {"environments": {"sandbox": {"services": {"grafana": SERVICE}}}}
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_it_is_not_built_deployed_or_rolled_back(platform: Checkout, configuration: str) -> None:
    before = world.newest_revision(platform)
    for task in ("build", "push", "deploy", "rollback", "restart"):
        done = platform.inv("-f", configuration, f"grafana.{task}")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "grafana is watched here, not built or deployed" in done.stderr
        assert "services.grafana.repository is not set" in done.stderr
    assert world.newest_revision(platform) == before


def test_its_health_and_status_are_known(platform: Checkout, configuration: str) -> None:
    health = platform.inv("-f", configuration, "health.ecs", "--json")
    assert health.returncode == 0, health.stdout + health.stderr
    assert '"grafana tasks"' in health.stdout
    status = platform.inv("-f", configuration, "grafana.status")
    assert status.returncode == 0 and "2/2" in status.stdout, status.stdout + status.stderr
    releases = platform.inv("-f", configuration, "grafana.releases", "--json")
    assert releases.returncode == 0, releases.stdout + releases.stderr


def test_preflight_is_about_the_services_that_are_deployed(
    platform: Checkout, configuration: str
) -> None:
    """A service that is not deployed here does not stop the others; by name it is refused."""
    all_services = platform.inv("-f", configuration, "preflight", "--json")
    assert all_services.returncode == 0, all_services.stdout + all_services.stderr
    assert "backend" in all_services.stdout and "grafana" not in all_services.stdout
    by_name = platform.inv("-f", configuration, "preflight", "--service", "grafana")
    assert by_name.returncode == 3 and "watched, not deployed" in by_name.stdout
