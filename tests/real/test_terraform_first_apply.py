"""A first apply of an empty account: neither cluster nor services are there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.terraform.plan import plan_as_running
from tests.real.terraform_ground import Ground, apply_saved

SERVICE = {
    "ecs_service": "dev-web",
    "container": "web",
    "repository": "web",
    "image_variable": "image",
}
MAIN = """
terraform {
  required_version = ">= 1.10"
  backend "s3" {}
}
variable "image" {
  type = string
}
resource "terraform_data" "certificate" {
  input = "made"
}
resource "terraform_data" "listener" {
  count = terraform_data.certificate.output == "made" ? 1 : 0
  input = var.image
}
"""


@pytest.fixture
def ground(
    require: Any, moto_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ground:
    require("terraform")
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    return Ground.fresh(tmp_path / "a checkout", moto_address, MAIN)


def test_an_image_that_has_no_value_yet_is_named(ground: Ground) -> None:
    """No service runs an image, and the variable has no default."""
    with pytest.raises(OpsError, match="image has no value") as found:
        plan_as_running(ground.place(services={"web": SERVICE}))
    assert "TF_VAR_image" in found.value.next


def test_what_a_count_depends_on_is_applied_first(ground: Ground) -> None:
    """By `tf.plan --target`, as the error says; the second plan creates the rest."""
    (ground.directory / "terraform.tfvars").write_text('image = "web:1"\n')
    ground.commit()
    workspace = ground.place(services={"web": SERVICE})
    with pytest.raises(OpsError, match="it takes two applies") as found:
        plan_as_running(workspace)
    assert "tf.plan --target ADDRESS" in found.value.next
    assert "terraform_data.certificate.output" in found.value.why
    first = plan_as_running(workspace, targets=("terraform_data.certificate",))
    assert [change.address for change in first.changes] == ["terraform_data.certificate"]
    assert "limited to terraform_data.certificate" in first.text and not first.warnings
    applied = apply_saved(workspace, yes=False)
    assert applied.document["plan"]["targets"] == ["terraform_data.certificate"]
    rest = plan_as_running(workspace)
    assert [change.address for change in rest.changes] == ["terraform_data.listener[0]"]
    assert "limited" not in rest.text
    apply_saved(workspace, yes=False)
    assert plan_as_running(workspace).changes == ()
