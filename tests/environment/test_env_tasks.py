"""`env.*` in the sandbox: the configuration against an AWS in which something was changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from ops.core.config.layers import Layers
from ops.core.config.load import Configuration
from ops.core.config.settings import Settings
from ops.environment.check import check
from tests.checkout import Checkout
from tests.faulty_aws import proxied

BACKEND = "environments.sandbox.services.backend"


def overlay(platform: Checkout) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (platform.root / ".sandbox" / "environment.yaml").read_text()
    )
    return found


def client(platform: Checkout, service: str) -> Any:
    """A client of the sandbox's own AWS."""
    aws = overlay(platform)["aws"]
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=aws["endpoint"],
        aws_access_key_id=aws["access_key"],
        aws_secret_access_key=aws["secret_key"],
    )


def test_a_fresh_sandbox_is_as_configured(platform: Checkout) -> None:
    """Nothing different, nothing unknown: exit code 0."""
    done = platform.inv("env.check", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["differences"] == [] and document["unknown"] == []
    assert {f"{BACKEND}.container", "environments.sandbox.bastion.host"} <= set(document["same"])


def test_a_configuration_that_has_rotted(platform: Checkout, tmp_path: Path) -> None:
    """Each key with what the world has instead, and the line to correct."""
    rot = tmp_path / "rot.yaml"
    rot.write_text(
        "environments:\n  sandbox:\n    branch: master\n    database: {secret: gone}\n"
        "    services:\n      backend: {container: api, health_path: /healthz}\n"
        "      frontend: {ecs_service: web, image_variable: image}\n"
    )
    done = platform.inv("-f", str(rot), "env.check")
    assert done.returncode == 1, done.stderr
    assert (
        f'~ {BACKEND}.container: configured "api", task definition dev-davidshaevel-backend:'
        in done.stdout
    )
    assert f'has "backend" ({rot}:6:17)' in done.stdout
    assert 'target group dev-backend-tg has "/api/health"' in done.stdout
    assert 'branch: configured "master", the remote origin (as last fetched) has "main"' in (
        done.stdout
    )
    assert 'database.secret: configured "gone", Secrets Manager has no such' in done.stdout
    assert "near it: dev-davidshaevel-backend, dev-davidshaevel-frontend" in done.stdout
    assert 'frontend.image_variable: configured "image", Terraform' in done.stdout
    assert "4 keys not read: the ECS service web does not exist" in done.stdout


@contextmanager
def secret_deleted(platform: Checkout, name: str) -> Iterator[None]:
    secrets = client(platform, "secretsmanager")
    secrets.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    try:
        yield
    finally:
        secrets.restore_secret(SecretId=name)


def test_what_was_deleted_in_aws_is_a_difference(platform: Checkout) -> None:
    """The secret is scheduled for deletion: its value can no longer be read."""
    name = "dev-davidshaevel-db-credentials"
    with secret_deleted(platform, name):
        done = platform.inv("env.check", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    concerned = [each["key"] for each in document["differences"] + document["unknown"]]
    assert concerned == ["environments.sandbox.database.secret"]


def in_process(platform: Checkout, endpoint: str) -> Configuration:
    """The sandbox's environment with another endpoint of AWS, and no bastion."""
    shipped = yaml.safe_load((platform.root / "invoke.yaml").read_text())
    values: dict[str, Any] = {**shipped["environments"]["sandbox"], **overlay(platform)}
    values["aws"] = {**values["aws"], "endpoint": endpoint}
    values["bastion"] = None
    settings = Settings.model_validate(
        {"name": "sandbox", "root": platform.root, "environment": values}
    )
    return Configuration(settings, Layers(platform.root, ()))


@pytest.mark.parametrize(
    ("operation", "keys"),
    [
        ("DescribeTaskDefinition", {"container", "container_port", "log_group", "repository"}),
        ("DescribeTargetGroups", {"health_path", "endpoints"}),
        ("DescribeRepositories", {"repository"}),
        ("DescribeLogGroups", {"log_group"}),
        ("DescribeServices", {"ecs_service", "container", "health_path"}),
    ],
)
@pytest.mark.parametrize("kind", ["denied", "html"])
def test_what_could_not_be_read_is_unknown(
    platform: Checkout, operation: str, keys: set[str], kind: str
) -> None:
    """A denied call, and an answer that is not AWS's: the keys are unknown, never as configured."""
    with proxied(overlay(platform)["aws"]["endpoint"]) as faulty:
        faulty.spoil(operation, kind)
        report = check(in_process(platform, faulty.url), 30.0).document
    assert faulty.struck[operation]
    unknown = {each["key"] for each in report["unknown"]}
    assert {f"{BACKEND}.{key}" for key in keys} <= unknown
    assert not unknown & set(report["same"]) and report["differences"] == []
    if kind == "denied":
        assert {each["permission"] for each in report["unknown"]} == {f"x:{operation}"}


def test_nothing_of_another_account_is_compared(platform: Checkout) -> None:
    """The credentials belong to another account: one difference, all else of AWS unknown."""
    found = in_process(platform, overlay(platform)["aws"]["endpoint"])
    other = found.settings.environment.model_copy(update={"account": "999999999999"})
    settings = found.settings.model_copy(update={"environment": other})
    report = check(Configuration(settings, found.layers), 30.0).document
    assert [each["key"] for each in report["differences"]] == ["environments.sandbox.account"]
    assert f"{BACKEND}.container" in {each["key"] for each in report["unknown"]}
    assert f"{BACKEND}.context" in report["same"]


def test_a_deadline_leaves_unknown_what_is_late(platform: Checkout) -> None:
    """ECS hangs: the other comparisons are made, and the task ends in time."""
    with proxied(overlay(platform)["aws"]["endpoint"]) as faulty:
        faulty.spoil("DescribeServices", "hang")
        report = check(in_process(platform, faulty.url), 6.0).document
    unknown = {each["key"]: each["why"] for each in report["unknown"]}
    assert unknown[f"{BACKEND}.ecs_service"] == "no answer before the deadline"
    assert "environments.sandbox.cluster" in report["same"]


def test_show_and_schema_as_a_user_types_them(platform: Checkout, tmp_path: Path) -> None:
    """The overlay's values have its lines; secrets are hidden; the schema is JSON."""
    shown = platform.document("env.show")
    values = {each["key"]: each for each in shown["values"]}
    assert values["aws.secret_key"]["value"] == "(hidden)"
    assert values["aws.endpoint"]["file"] == ".sandbox/environment.yaml"
    assert values["services.backend.container"]["file"] == "invoke.yaml"
    text = (platform.root / ".sandbox" / "environment.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=")
    path = Path(text.splitlines()[0].partition("$schema=")[2])
    assert json.loads(path.read_text())["title"] == "overlay"
    written = tmp_path / "schema.json"
    done = platform.inv("env.schema", "--output", str(written))
    assert done.returncode == 0 and str(written) in done.stdout
    assert json.loads(written.read_text())["title"] == "invoke.yaml"
    assert platform.document("env.schema") == json.loads(written.read_text())


def test_check_refuses_a_mistake_in_another_environment(platform: Checkout, tmp_path: Path) -> None:
    """A configuration with a mistake is not compared, wherever it stands: exit code 2."""
    given = tmp_path / "given.yaml"
    given.write_text("environments: {dev: {pol: 4s}}\n")
    done = platform.inv("-f", str(given), "env.check")
    assert done.returncode == 2
    assert f"{given}:1:22: environments.dev.pol" in done.stderr
    assert platform.inv("-f", str(given), "env.show", "--key", "poll").returncode == 0


def test_an_environment_without_site_database_and_terraform(
    platform: Checkout, tmp_path: Path
) -> None:
    """What is `none` on purpose is no warning, and health.all can be healthy."""
    (tmp_path / "over.yaml").write_text(yaml.safe_dump({"aws": overlay(platform)["aws"]}))
    shipped = yaml.safe_load((platform.root / "invoke.yaml").read_text())
    sandbox = shipped["environments"]["sandbox"]
    absent = dict.fromkeys(("database", "cdn", "site", "site_tls", "terraform", "state"), "none")
    service = {**sandbox["services"]["backend"], "endpoints": [], "tests": []}
    worker = {
        **{key: sandbox[key] for key in ("account", "region", "cluster", "health", "poll")},
        **absent,
        "overlay": "over.yaml",
        "source": str(platform.root / ".sandbox" / "platform"),
        "services": {"backend": service},
    }
    given = tmp_path / "given.yaml"
    given.write_text(yaml.safe_dump({"environments": {"worker": worker}}))
    words = ("-f", str(given))

    done = platform.inv(*words, "health.all", "--json", INVOKE_ENV="worker")
    document = json.loads(done.stdout)
    skipped = {
        each["group"]: each["detail"]
        for each in document["checks"]
        if each["status"] == "skipped" and each["detail"].endswith("none, by configuration")
    }
    assert set(skipped) == {"endpoints", "db", "cdn", "certificates", "terraform"}
    assert skipped["db"] == "database: none, by configuration"
    assert done.returncode == 0, done.stdout

    done = platform.inv(*words, "preflight", "--json", INVOKE_ENV="worker")
    items = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    for name in ("endpoints", "tests"):
        assert items[name]["status"] == "ok" and items[name]["detail"] == "none, by configuration"

    done = platform.inv(*words, "env.show", "--key", "database", INVOKE_ENV="worker")
    assert done.stdout.startswith("none ") and f"{given}:" in done.stdout
    assert platform.inv(*words, "env.check", INVOKE_ENV="worker").returncode == 0
