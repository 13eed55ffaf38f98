"""A service without a repository is only watched: its health and status are known."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
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


@pytest.fixture
def team(platform: Checkout, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a task in an environment with one deployed and one watched service, and no more."""
    (tmp_path / "over.yaml").write_text(yaml.safe_dump({"aws": world.overlay(platform)["aws"]}))
    shipped = yaml.safe_load((platform.root / "invoke.yaml").read_text())
    sandbox = shipped["environments"]["sandbox"]
    backend = {**sandbox["services"]["backend"], "endpoints": [], "tests": []}
    document = {
        **{key: sandbox[key] for key in ("account", "region", "cluster", "health", "poll")},
        **dict.fromkeys(("database", "cdn", "terraform", "state"), "none"),
        "site": world.overlay(platform)["site"],
        "overlay": "over.yaml",
        "source": str(platform.root / ".sandbox" / "platform"),
        "services": {"backend": backend, "grafana": SERVICE},
    }
    path = tmp_path / "team.yaml"
    path.write_text(yaml.safe_dump({"environments": {"team": document}}))
    return lambda *words: platform.inv("-f", str(path), *words, INVOKE_ENV="team")


def test_every_source_is_read_beside_a_deployed_service(
    team: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Without state, too: no collector, and no part of the status, is lost by a service."""
    found = team("troubleshoot.all", "--json")
    assert json.loads(found.stdout)["unknown"] == [], found.stdout + found.stderr
    for service in ("backend", "grafana"):
        status = team(f"{service}.status")
        assert status.returncode == 0, status.stdout + status.stderr
        assert "Error" not in status.stdout and "version unknown" not in status.stdout
    check = team("env.check")
    assert check.returncode == 0 and "dockerfile" not in check.stderr, check.stdout + check.stderr


def test_its_releases_are_neither_gone_nor_rolled_back(
    team: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """What ECR has of it is unknown, and a rollback is refused for the true reason."""
    listed = team("grafana.releases")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "no longer in ECR" not in listed.stdout
    assert "grafana is watched here, not built or deployed" in listed.stdout.splitlines()[-1]
    document = json.loads(team("grafana.releases", "--json").stdout)
    assert [each["in_ecr"] for each in document["releases"]] == [None]
    assert "repository is not set" in document["rollback"]["why"]
    compared = team("grafana.releases", "--diff", "a", "b")
    assert compared.returncode == 2
    assert "no release has that name, and grafana has no repository" in compared.stderr


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("cdn.status", "cdn"),
        ("cdn.check", "cdn"),
        ("db.current", "database"),
        ("db.start", "database"),
        ("tf.plan", "terraform"),
        ("tf.locks", "terraform"),
        ("lock.status", "state"),
    ],
)
def test_a_section_that_is_none_is_named(
    team: Callable[..., subprocess.CompletedProcess[str]], task: str, key: str
) -> None:
    """The environment has no such thing, and nothing advises to configure a detail of it."""
    done = team(task)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"why: {key}: none, by configuration" in done.stderr
