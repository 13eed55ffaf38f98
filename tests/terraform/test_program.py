"""The configured program: Terraform, OpenTofu, and the wrapper of a CI action in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ops.core.errors import ConfigError
from ops.terraform import files, program
from ops.terraform.errors import TerraformLocation, translate_error
from ops.terraform.output import is_wrapped
from ops.terraform.program import TerraformProgram
from ops.terraform.rules.version import satisfies

VERSION = '{"terraform_version": "1.10.0", "platform": "linux_amd64"}'


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def connected(folder: Path, name: str) -> TerraformProgram:
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    location = TerraformLocation(str(folder), None, "aws sso login", name)
    return TerraformProgram(folder, environment, location, None, (), 30.0)


def test_tofu_is_run_in_place_of_terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`terraform.program: tofu` runs tofu, and messages name it."""
    script(tmp_path, "tofu", f"echo '{VERSION}'")
    script(tmp_path, "terraform", "exit 9")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    tofu = connected(tmp_path, "tofu")
    assert program.version(tofu) == "1.10.0"
    script(tmp_path, "tofu", "echo 'Error: no'; exit 1")
    with pytest.raises(Exception, match="tofu version") as error:
        program.version(tofu)
    assert f"tofu -chdir={tmp_path}" in str(getattr(error.value, "next", ""))


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "tofu")
    with pytest.raises(ConfigError, match=missing):
        program.version(connected(tmp_path, missing))


@pytest.mark.parametrize(
    "wrapped",
    [
        f"echo '[command]/runner/terraform-bin version -json'; echo '{VERSION}'",
        f"echo '{VERSION}'; echo '::debug::Terraform exited with code 0.'",
        f"echo '::set-output name=stdout::x'; echo '{VERSION}'",
    ],
)
def test_the_wrapper_of_setup_terraform_is_refused(
    wrapped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines are not taken for an answer of Terraform; the setting to change is named."""
    script(tmp_path, "terraform", wrapped)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ConfigError, match="wrapper") as error:
        program.version(connected(tmp_path, "terraform"))
    assert "terraform_wrapper: false" in error.value.next


@pytest.mark.parametrize("output", ["", VERSION, '{"a": "[command]"}', '{"x": "::debug::y"}'])
def test_terraforms_own_output_is_no_wrapper(output: str) -> None:
    assert not is_wrapped(output)


def test_a_version_that_does_not_fit_opentofu(tmp_path: Path) -> None:
    output = (
        "Error: Unsupported OpenTofu Core version\n\n"
        "This configuration does not support OpenTofu version 1.8.0. To proceed, choose another."
    )
    error = translate_error("tofu plan", output, TerraformLocation("d", None, "login", "tofu"))
    assert isinstance(error, ConfigError)
    assert "OpenTofu's version does not fit" in error.what
    assert "this is OpenTofu 1.8.0" in error.why and "tofuenv" in error.next


@pytest.mark.parametrize(
    ("version", "constraint", "fits"),
    [
        ("1.11.4", "~> 1.11", True),
        ("1.12.0", "~> 1.11", True),
        ("2.0.0", "~> 1.11", False),
        ("1.12.0", "~> 1.11.2", False),
        ("1.11.1", "~> 1.11.2", False),
        ("1.99.0", "~> 1", True),
        ("1.11.4", "~> 0", True),
        ("1.11.4", "~> 2", False),
        ("1.5.7", ">= 1.5, < 2.0", True),
        ("2.0.0", ">= 1.5, < 2.0", False),
        ("1.5.7", "1.5.7", True),
        ("1.5.7", "= 1.5.6", False),
        ("1.5.7", "!= 1.5.7", False),
        ("1.10.0", "> 1.9.9", True),
        ("1.6.0-beta1", ">= 1.5", None),
        ("1.5.7", "latest", None),
        ("1.5.7", "", None),
    ],
)
def test_version_constraints(version: str, constraint: str, fits: bool | None) -> None:
    """As Terraform's documentation defines the operators; what is not understood is undecided."""
    assert satisfies(version, constraint) is fits


def test_constraints_and_defaults_are_read_from_the_files(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'terraform {\n  required_version = ">= 1.5"\n  required_providers {}\n}\n'
        'variable "image" {\n  type    = string\n  default = "registry/web:1"\n}\n'
        'variable "count_of" {\n  default = 3\n}\n# required_version = "9"\n'
    )
    assert files.required_versions(tmp_path) == (">= 1.5",)
    assert files.variable_defaults(tmp_path) == {"image": "registry/web:1"}


def test_messages_name_the_configured_program() -> None:
    """OpenTofu's users read `tofu` in commands and OpenTofu in sentences."""
    from pathlib import Path
    from types import SimpleNamespace
    from typing import Any

    from ops.core.errors import OpsError, Refused
    from ops.terraform.apply import ApplySavedPlan, check_understood
    from ops.terraform.facts import Backend, product_name
    from ops.terraform.state_locks import read_locks

    names = {each: product_name(each) for each in ("terraform", "/opt/tofu", "/opt/terraform-1.9")}
    assert [*names.values()] == ["Terraform", "OpenTofu", "Terraform"]
    step = ApplySavedPlan(Path("p.tfplan"), "a" * 40, "1 change", "tofu")
    assert str(step).startswith("tofu apply p.tfplan")
    odd: Any = SimpleNamespace(changes=(), refusal="odd", saved=SimpleNamespace(file="p.tfplan"))
    with pytest.raises(Refused) as refused:
        check_understood(odd, "tofu")
    assert "tofu show p.tfplan" in refused.value.next and "erraform" not in refused.value.next
    cloud: Any = None
    with pytest.raises(OpsError) as raised:
        read_locks(cloud, Backend("http", {}), None, Path("infra"), "tofu")
    assert raised.value.next == "tofu -chdir=infra plan names the owner"
