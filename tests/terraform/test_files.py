"""Terraform's files and child environment, read and made without Terraform."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.core.config.settings import Settings
from ops.core.errors import ConfigError
from ops.terraform import program
from ops.terraform.environment import child_environment
from ops.terraform.files import (
    LOCK_FILE,
    configuration_files,
    declared_variables,
    dynamic_blocks,
    fingerprint,
    ignored_attributes,
    read_backend,
)

TRICKY = r"""
# variable "commented" {}
// variable "commented_too" {}
/* variable "in_block" {
} */
variable "plain" {}
variable bare { type = string }
variable "tricky" {
  default     = "a } b \" ${join("}", ["{"])} $${not} %{ if true }x%{ endif }"
  description = <<-EOT
    variable "in_heredoc" {
    }
  EOT
  validation {
    condition = length(var.tricky) > 0
  }
}
locals {
  variable = { nested = { deep = true } }
}
resource "x" "variable" {
  variable "nested_block" {}
}
module "m" {
  source   = "./m"
  variable = "x"
}
variable "last" { default = <<EOT
no } brace
EOT
}
"""


def test_declared_variables_are_found_through_every_disguise(tmp_path: Path) -> None:
    """Comments, heredocs, templates and nested blocks declare nothing; JSON files do."""
    (tmp_path / "main.tf").write_text(TRICKY)
    (tmp_path / "more.tf.json").write_text(
        json.dumps({"variable": {"json_one": {"type": "string"}}})
    )
    (tmp_path / "list.tf.json").write_text(json.dumps({"variable": [{"json_two": {}}]}))
    (tmp_path / "notes.txt").write_text('variable "no_file_of_terraform" {}')
    assert declared_variables(tmp_path) == {
        "plain",
        "bare",
        "tricky",
        "last",
        "json_one",
        "json_two",
    }


def test_dynamic_blocks_are_found_in_modules_too(tmp_path: Path) -> None:
    """A plan does not list them. Unreadable files, and JSON's blocks, make them unknown."""
    (tmp_path / "main.tf").write_text('resource "a" "b" {\n  dynamic "logging" {}\n}\n')
    assert dynamic_blocks(tmp_path) == frozenset({"logging"})
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "x.tf").write_text('resource "a" "b" { dynamic  "rule" {} }')
    listed = tmp_path / ".terraform/modules/modules.json"
    listed.parent.mkdir(parents=True)
    listed.write_text(json.dumps({"Modules": [{"Key": "net", "Dir": "net"}]}))
    assert dynamic_blocks(tmp_path) == frozenset({"logging", "rule"})
    (tmp_path / "net" / "y.tf.json").write_text('{"resource": {"a": {"b": {"dynamic": {}}}}}')
    assert dynamic_blocks(tmp_path) is None
    (tmp_path / "net" / "y.tf.json").unlink()
    (tmp_path / "net" / "x.tf").write_bytes(b"\xff")
    assert dynamic_blocks(tmp_path) is None
    listed.write_text("[]")
    assert dynamic_blocks(tmp_path) is None


def test_ignored_attributes_by_the_address_of_their_resource(tmp_path: Path) -> None:
    """Also in modules, in either form of the list; what is in a comment does not count."""
    (tmp_path / "main.tf").write_text(
        """
        resource "aws_ecs_service" "web" {
          lifecycle {
            ignore_changes = [
              task_definition, # by deploys
              // desired_count,
              tags["Name"], /* and */ "quoted",
            ]
          }
        }
        resource "aws_lb" "main" {
          # ignore_changes = [name]
          name = "ignore_changes = [x]"
        }
        """
    )
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "x.tf").write_text(
        'resource "aws_vpc" "main" { lifecycle { ignore_changes = all } }'
    )
    listed = tmp_path / ".terraform/modules/modules.json"
    listed.parent.mkdir(parents=True)
    modules = [{"Key": "", "Dir": "."}, {"Key": "a.b", "Dir": "net"}, {"Key": "c", "Dir": "gone"}]
    listed.write_text(json.dumps({"Modules": modules}))
    assert ignored_attributes(tmp_path) == {
        "aws_ecs_service.web": {"task_definition", 'tags["Name"]', "quoted"},
        "module.a.module.b.aws_vpc.main": {"all"},
    }


LIFECYCLE_BODIES: tuple[tuple[str, set[str]], ...] = (
    ("lifecycle { ignore_changes = [tags] }", {"tags"}),
    (
        "text = <<-EOT\n  lifecycle { ignore_changes = [name] }\n  lifecycle {\n"
        "    ignore_changes = all\n  }\n  EOT\n  lifecycle { ignore_changes = [size] }",
        {"size"},
    ),
    ("text = <<EOT\nlifecycle {\n  ignore_changes = [name]\n}\nEOT", set()),
    ('text = "lifecycle { ignore_changes = all }"', set()),
    ("settings {\n  ignore_changes = [name]\n}", set()),
    ("lifecycle = {\n  ignore_changes = [name]\n}", set()),
    (
        "lifecycle {\n  precondition {\n    condition = true\n    error_message = <<EOT\n"
        "ignore_changes = [name]\nEOT\n  }\n  ignore_changes = [size]\n}",
        {"size"},
    ),
    (
        'lifecycle {\n  ignore_changes = [\n    tags["a,b"], # }\n    tags [ "x]//y" ] /* ] */\n'
        "    ,\n    rule[0].port,\n  ]\n}",
        {'tags["a,b"]', 'tags [ "x]//y" ]', "rule[0].port"},
    ),
    ("lifecycle {\n  ignore_changes = []\n}", set()),
)


@pytest.mark.parametrize(("body", "listed"), LIFECYCLE_BODIES)
def test_only_the_lifecycle_block_ignores(tmp_path: Path, body: str, listed: set[str]) -> None:
    """Not a heredoc, a string, an argument or another block with the same words."""
    text = f'resource "aws_lb" "main" {{\n  {body}\n}}\nresource "aws_lb" "other" {{}}\n'
    (tmp_path / "main.tf").write_text(text)
    assert ignored_attributes(tmp_path) == ({"aws_lb.main": listed} if listed else {})


@pytest.mark.parametrize(
    ("resources", "found"),
    [
        ({"a": {"b": {"lifecycle": {"ignore_changes": ["x", 'tags["N"]']}}}}, {"x", 'tags["N"]'}),
        ({"a": {"b": [{"lifecycle": [{"ignore_changes": "all"}]}]}}, {"all"}),
        ([{"a": [{"b": {"lifecycle": {"ignore_changes": ["x"]}}}]}, {"c": {"d": {}}}], {"x"}),
        ({"a": {"b": {"lifecycle": {"ignore_changes": None}}}}, set()),
        ("no object", set()),
    ],
)
def test_ignored_attributes_of_a_json_file(
    tmp_path: Path, resources: object, found: set[str]
) -> None:
    """An object, or a list of objects, for every block."""
    (tmp_path / "x.tf.json").write_text(json.dumps({"resource": resources}))
    assert ignored_attributes(tmp_path) == ({"a.b": found} if found else {})


def test_configuration_files_of_local_modules(tmp_path: Path) -> None:
    """Modules that `init` fetches are not the team's files."""
    names = ("main.tf", "override.tf", "net/x.tf.json", ".terraform/modules/vpc/main.tf")
    for name in (*names, "net/notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    modules = [{"Key": "", "Dir": "."}, {"Key": "vpc", "Dir": ".terraform/modules/vpc"}]
    modules += [{"Key": "net", "Dir": "net"}, {"Key": "again", "Dir": "net"}]
    listed = tmp_path / ".terraform/modules/modules.json"
    listed.write_text(json.dumps({"Modules": modules}))
    found = [str(path.relative_to(tmp_path)) for path in configuration_files(tmp_path)]
    assert found == ["main.tf", "override.tf", "net/x.tf.json"]
    listed.write_text("{")
    assert len(configuration_files(tmp_path)) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Not UTF-8, or no JSON: which file, and why."""
    (tmp_path / "bad.tf").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"bad\.tf"):
        declared_variables(tmp_path)
    (tmp_path / "bad.tf").unlink()
    (tmp_path / "bad.tf.json").write_text("{")
    with pytest.raises(ConfigError, match="it is not JSON"):
        declared_variables(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "due"),
    [
        ("main.tf", 'terraform { required_version = ">= 2" }\nresource "a" "b" {}', True),
        ("main.tf", 'terraform { required_version = ">= 1" }\nresource "a" "c" {}', False),
        (LOCK_FILE, "provider hashes", True),
        ("backend-config.tfvars", 'bucket = "other"', True),
        ("module.tf", 'module "m" { source = "./m" }', True),
        ("outputs.tf", 'output "x" { value = 1 }', False),
    ],
)
def test_init_is_due_only_when_what_it_reads_has_changed(
    tmp_path: Path, file: str, text: str, due: bool
) -> None:
    """A changed resource needs no init; a changed backend, provider or module does, and so does
    another binary.
    """
    (tmp_path / "main.tf").write_text(
        'terraform { required_version = ">= 1" }\nresource "a" "b" {}'
    )
    (tmp_path / "backend-config.tfvars").write_text('bucket = "one"')
    before = fingerprint(tmp_path, "backend-config.tfvars", "1.11.4")
    (tmp_path / file).write_text(text)
    assert (fingerprint(tmp_path, "backend-config.tfvars", "1.11.4") != before) is due
    assert fingerprint(tmp_path, "backend-config.tfvars", "1.12.0") != before


def test_the_backend_is_the_one_that_init_wrote_down(tmp_path: Path) -> None:
    """Read from `.terraform/terraform.tfstate`; before init there is none."""
    assert read_backend(tmp_path, None) is None
    (tmp_path / ".terraform").mkdir()
    (tmp_path / ".terraform" / "terraform.tfstate").write_text(
        '{"backend": {"type": "s3", "config": {"bucket": "b"}}}'
    )
    found = read_backend(tmp_path, None)
    assert found is not None and (found.type, found.config["bucket"]) == ("s3", "b")


MACHINE = {
    "PATH": "/bin",
    "HOME": "/home/ana",
    "AWS_ACCESS_KEY_ID": "AKIAREALREALREAL0000",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_PROFILE": "prod",
    "AWS_SESSION_TOKEN": "t",
    "TF_CLI_CONFIG_FILE": "/mirror.rc",
    "TF_PLUGIN_CACHE_DIR": "/cache",
    "TF_VAR_db_password": "p",
    "TF_CLI_ARGS": "-auto-approve",
    "TF_CLI_ARGS_plan": "-destroy",
    "TF_DATA_DIR": "/elsewhere",
    "TF_WORKSPACE": "prod",
}
OVERLAY = {"endpoint": "http://127.0.0.1:5", "access_key": "AKIADUMMY", "secret_key": "dummy"}


def test_a_rehearsal_never_sees_this_machines_credentials(
    settings: Callable[..., Settings],
) -> None:
    """With an overlay: its endpoint and dummy keys, nothing of AWS_*, and what Terraform needs to
    find its plugins.
    """
    child = child_environment(settings(aws=OVERLAY, overlay="x.yaml"), MACHINE)
    assert (
        child["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5"
        and child["AWS_ACCESS_KEY_ID"] == "AKIADUMMY"
    )
    assert (
        child["AWS_EC2_METADATA_DISABLED"] == "true"
        and child["AWS_REGION"] == "us-east-1"
        and child["TF_IN_AUTOMATION"]
    )
    assert (
        child["TF_CLI_CONFIG_FILE"] == "/mirror.rc"
        and child["TF_PLUGIN_CACHE_DIR"] == "/cache"
        and child["HOME"] == "/home/ana"
    )
    assert not {
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "TF_VAR_db_password",
        "TF_CLI_ARGS",
        "TF_DATA_DIR",
        "TF_WORKSPACE",
    } & set(child)
    assert "real" not in child.values()


def test_a_profile_wins_over_keys_in_the_variables(settings: Callable[..., Settings]) -> None:
    """In AWS's SDK for Go keys would win over the profile, so they are not handed on; a team's
    TF_VAR_ is, TF_CLI_ARGS is not.
    """
    child = child_environment(settings(aws={"profile": "dev"}), MACHINE)
    assert child["AWS_PROFILE"] == "dev" and child["TF_VAR_db_password"] == "p"
    assert not {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "TF_CLI_ARGS",
        "TF_CLI_ARGS_plan",
        "TF_DATA_DIR",
    } & set(child)


def test_the_workspace_is_the_configured_one(settings: Callable[..., Settings]) -> None:
    """TF_WORKSPACE of the machine does not decide which state is written."""
    child = child_environment(settings(terraform={"directory": ".", "workspace": "blue"}), MACHINE)
    assert child["TF_WORKSPACE"] == "blue"


@pytest.mark.parametrize(
    ("terraform_of", "says"),
    [
        (None, "terraform.directory is not configured"),
        ({"directory": "none"}, "there is no such file or folder"),
        ({"directory": ".", "backend_config": "none.tfvars"}, "none.tfvars"),
        ({"directory": ".", "var_files": ["none.tfvars"]}, "none.tfvars"),
    ],
)
def test_a_directory_that_is_not_there_is_named(
    settings: Callable[..., Settings],
    tmp_path: Path,
    terraform_of: dict[str, Any] | None,
    says: str,
) -> None:
    """Exit code 2 with the key to correct, before anything runs."""
    values = {"terraform": terraform_of} if terraform_of else {}
    with pytest.raises(ConfigError) as found:
        program.connect(settings(source=str(tmp_path), **values))
    assert says in str(found.value) and "invoke.yaml" in found.value.next
