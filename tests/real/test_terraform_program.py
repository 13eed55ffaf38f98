"""The tf tasks' flows with a real terraform: saved plans and what they are refused for. The state
is in moto's S3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import ConfigError, OpsError, Refused
from ops.health.before_after import before_and_after
from ops.terraform import image_variables, plan, program
from ops.terraform.apply import SavedPlanChange, apply
from ops.terraform.plan import plan_as_running
from ops.terraform.workspace import TerraformWorkspace, ensure_initialised, outputs
from ops.tools import git
from tests.real.terraform_ground import MAIN, Ground, apply_saved


@pytest.fixture
def ground(
    require: Any, moto_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ground:
    """One variable, one resource, nothing applied yet; the bucket is empty."""
    require("terraform")
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    return Ground.fresh(tmp_path / "a checkout", moto_address)


def applied(ground: Ground) -> TerraformWorkspace:
    """The directory with its first resource made."""
    place = ground.place()
    plan_as_running(place)
    apply_saved(place, yes=False)
    return place


def test_a_plan_is_saved_then_applied_once(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tf.plan` shows and saves, `tf.apply` applies exactly that; there is nothing to apply a
    second time.
    """
    place = ground.place()
    planned = plan_as_running(place)
    assert [(row.address, row.action) for row in planned.changes] == [
        ("terraform_data.revision", "create")
    ]
    assert planned.saved.file.stat().st_mode & 0o077 == 0
    document = planned.document
    assert document["plan"]["serial"] == 0 and document["changes"][0]["action"] == "create"
    apply_saved(place, yes=False)
    assert outputs(place).document["outputs"] == {"image": "one", "secret": None}
    with pytest.raises(Refused, match="no saved plan"):
        apply_saved(place, yes=True)
    assert "hunter2" not in "".join(capsys.readouterr())


def test_the_preview_of_an_apply_applies_nothing(ground: Ground) -> None:
    """`tf.apply --plan`: the saved plan's changes and the one step; then the same step is run."""
    place = ground.place()
    plan_as_running(place)
    change = SavedPlanChange.load(
        place, lambda: before_and_after(place.platform.settings, "tf.apply", enabled=False)
    )
    preview = change.preview()
    (step,) = preview.document["plan"]
    assert step["verb"] == "apply" and "plan.tfplan" in step["says"]
    assert preview.document["saved"]["serial"] == 0
    assert "creates terraform_data.revision" in preview.text and step["says"] in preview.text
    assert outputs(place).text == "no outputs" and program.state_version(place.tf).serial == 0
    assert change.apply().document["applied"] is True
    assert "image = one" in outputs(place).text


def test_init_runs_only_when_it_is_due(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """Once for a fresh directory, not again for a changed resource, again for a changed terraform
    block.
    """
    place = ground.place()
    ensure_initialised(place)
    ensure_initialised(place)
    assert capsys.readouterr().err.count("terraform init") == 1
    ground.write(main=MAIN + '\nresource "terraform_data" "more" {}\n')
    ensure_initialised(place)
    assert "terraform init" not in capsys.readouterr().err
    ground.write(main=MAIN.replace(">= 1.10", ">= 1.9"))
    ensure_initialised(place)
    assert "terraform init" in capsys.readouterr().err


def test_a_plan_of_another_commit_is_not_applied(ground: Ground) -> None:
    """What was shown belongs to a commit: after the next one it is planned again."""
    place = ground.place()
    plan_as_running(place)
    ground.commit()
    with pytest.raises(Refused, match="made from commit"):
        apply_saved(place, yes=True)


def test_a_plan_of_uncommitted_files_is_not_applied(ground: Ground) -> None:
    """It is of no commit at all."""
    (ground.directory / "more.tf").write_text('resource "terraform_data" "more" {}\n')
    place = ground.place()
    plan_as_running(place)
    with pytest.raises(Refused, match=r"not committed: terraform/dev/more\.tf"):
        apply_saved(place, yes=True)


def test_a_directory_in_a_checkout_of_its_own_is_judged_by_that(
    ground: Ground, tmp_path: Path
) -> None:
    """`directory: ../infrastructure`: the application's commits change no plan; those there do, and
    so does what they lack.
    """
    application = tmp_path / "application"
    application.mkdir()
    other = Ground(application, ground.endpoint)
    other.commit()
    ground.configured["directory"] = "../a checkout/terraform/dev"
    place = ground.place(source=str(application))
    plan_as_running(place)
    other.commit()
    assert (
        apply_saved(place, yes=True).saved.commit
        == git.checkout(ground.root, "main", "origin").commit.full
    )
    (ground.root / "module.tf").write_text("")
    assert plan_as_running(place).saved.uncommitted == ("module.tf",)
    ground.commit()
    plan_as_running(place)
    ground.commit()
    with pytest.raises(Refused, match="made from commit"):
        apply_saved(place, yes=True)


def test_a_plan_of_a_state_that_moved_is_not_applied(ground: Ground) -> None:
    """Somebody applied in between: serial and lineage tell."""
    place = ground.place()
    plan_as_running(place)
    other = plan.plan(place, {"image": "two"}, name="other")
    apply(place, other)
    with pytest.raises(Refused, match="the state has moved since: serial 0 then"):
        apply_saved(place, yes=True)


def test_terraform_itself_refuses_a_stale_plan_too(ground: Ground) -> None:
    """Between our look and the apply somebody may still be quicker: that is said in the same
    words.
    """
    place = applied(ground)
    one, two = (
        plan.plan(place, {"image": "two"}, name="one"),
        plan.plan(place, {"image": "three"}, name="two"),
    )
    apply(place, one)
    with pytest.raises(Refused, match="the state has moved"):
        apply(place, two)


def test_an_old_plan_is_not_applied(ground: Ground) -> None:
    """Minutes, not days: the limit is a setting."""
    ground.configured["plan_limit"] = 0
    place = ground.place()
    plan_as_running(place)
    import time

    time.sleep(1.1)
    with pytest.raises(Refused, match="the limit is 0 s"):
        apply_saved(place, yes=True)


def test_a_replacement_needs_its_address(ground: Ground) -> None:
    """--yes is no answer, nor is another address: refused, and the plan stays for another try."""
    place = applied(ground)
    ground.write(main=MAIN.replace('default = "one"', 'default = "two"'))
    planned = plan_as_running(place)
    assert [(row.action, row.alarming) for row in planned.changes] == [("replace", True)]
    other = "terraform_data.other"
    unmatched = rf"{other} is no address that this plan destroys or replaces"
    for allowed, why in (((), r"REPLACES terraform_data\.revision"), ((other,), unmatched)):
        with pytest.raises(Refused, match=why) as found:
            apply_saved(place, yes=True, allowed=allowed)
        assert found.value.next == "add --allow-destroy terraform_data.revision"
    apply_saved(place, yes=False, allowed=("terraform_data.revision",))
    assert "image = two" in outputs(place).text


def test_a_protected_environment_wants_its_name_typed(ground: Ground) -> None:
    """Even for a harmless change."""
    place = ground.place(protected=True)
    plan_as_running(place)
    with pytest.raises(Refused, match="apply this to rehearsal"):
        apply_saved(place, yes=False)


def test_an_undeclared_image_variable_is_found_before_anything(ground: Ground) -> None:
    """Terraform would ignore TF_VAR_images: here it is refused, with the nearest name."""
    service = {
        "ecs_service": "web",
        "container": "web",
        "repository": "web",
        "image_variable": "images",
    }
    place = ground.place(services={"web": service})
    with pytest.raises(ConfigError, match="Terraform variable images") as found:
        plan_as_running(place)
    assert found.value.next == "did you mean image?"
    with pytest.raises(
        ConfigError, match="undeclared variable"
    ):  # and Terraform itself, were it handed over
        plan.plan(place, {"images": "x"})
    assert image_variables.names(place.platform) == {"web": "images"}


@pytest.mark.parametrize(
    ("old", "new", "says", "next_step"),
    [
        (
            '">= 1.10"',
            '"~> 99.1"',
            'the configuration says required_version = "~> 99.1"',
            "install a version",
        ),
        ('default = "one"', "", "no var file sets it", "terraform.var_files"),
    ],
)
def test_what_stands_in_terraforms_way_is_three_lines(
    ground: Ground, old: str, new: str, says: str, next_step: str
) -> None:
    """Too old a binary, a variable without a value: why, and what to type."""
    ground.write(main=MAIN.replace(old, new))
    with pytest.raises(ConfigError) as found:
        plan_as_running(ground.place())
    assert says in found.value.why and next_step in found.value.next


def test_a_provider_that_cannot_be_had(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network, an empty mirror: said, with the two ways to have it."""
    (tmp_path / "empty").mkdir()
    mirror = tmp_path / "mirror.rc"
    mirror.write_text(
        f'provider_installation {{\n  filesystem_mirror {{ path = "{tmp_path / "empty"}" }}\n}}\n'
    )
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(mirror))
    ground.write(
        provider='terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  '
        "}\n}\n"
    )
    with pytest.raises(OpsError, match="a provider could not be installed") as found:
        ensure_initialised(ground.place())
    assert "TF_PLUGIN_CACHE_DIR" in found.value.next


def test_a_backend_that_changed_is_not_chosen_for_you(ground: Ground) -> None:
    """Another key is another state: both ways to go on are named, none is taken."""
    ensure_initialised(ground.place())
    file = ground.directory / "backend-config.tfvars"
    file.write_text(file.read_text().replace("dev/", "other/"))
    with pytest.raises(ConfigError, match="the backend has changed") as found:
        ensure_initialised(ground.place())
    assert "-reconfigure" in found.value.next and "-migrate-state" in found.value.next


def test_no_terraform_is_said(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing on PATH: exit code 2 and what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="program terraform is not here"):
        program.version(ground.place().tf)


def test_drift_looks_and_writes_nothing(ground: Ground) -> None:
    """`tf.drift` of an untouched directory is clean and leaves the state's serial as it was."""
    place = applied(ground)
    before = program.state_version(place.tf)
    assert plan.drift(place).changes == ()
    assert program.state_version(place.tf) == before
