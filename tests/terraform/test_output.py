"""What Terraform prints, recorded from 1.11.4, as our three lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ops.core.errors import ConfigError, OpsError, Refused, Unreachable
from ops.terraform.errors import (
    LockHeld,
    TerraformError,
    TerraformLocation,
    WantsInit,
    translate_error,
)
from ops.terraform.facts import parse_time
from ops.terraform.output import diagnostics, lock_from_error, progress_text

WHERE = TerraformLocation(
    "/code/terraform/dev", "backend-config.tfvars", "aws sso login --profile dev"
)
HELD = (
    "Error message: operation error S3: PutObject, https response error StatusCode: 412, "
    "api error PreconditionFailed: At least one of\n"
    "Lock Info:\n  ID:        8f3c2a7e-1111\n  Path:      bucket/dev/terraform.tfstate\n  "
    "Operation: OperationTypeApply\n"
    "  Who:       ana@laptop\n  Version:   1.11.4\n  Created:   2026-01-02 11:00:00.123456 "
    "+0000 UTC\n  Info:      \n\n\n"
    "Terraform acquires a state lock to protect the state from being written\nby multiple "
    "users at the same time."
)


RACES = (
    "operation error S3: PutObject, https response error StatusCode: 412, api error "
    "PreconditionFailed: At least one of the pre-conditions you specified did not hold\n"
    "unexpected end of JSON input",
    "operation error S3: PutObject, StatusCode: 409, api error ConditionalRequestConflict: x\n"
    "operation error S3: GetObject, StatusCode: 404, NoSuchKey",
    "operation error DynamoDB: PutItem, ConditionalCheckFailedException: The conditional request "
    "failed\nUnable to retrieve item from DynamoDB table",
)


def line(summary: str, detail: str = "", severity: str = "error", code: str = "") -> str:
    """A `diagnostic` line of `-json`."""
    found = {
        "severity": severity,
        "summary": summary,
        "detail": detail,
        **({"snippet": {"code": code}} if code else {}),
    }
    return json.dumps(
        {
            "@level": severity,
            "@message": f"Error: {summary}",
            "type": "diagnostic",
            "diagnostic": found,
        }
    )


VERSION_TEXT = """
Error: Unsupported Terraform Core version

  on versions.tf line 2, in terraform:
   2:   required_version = "~> 1.13.4"

This configuration does not support Terraform version 1.11.4. To proceed, either choose another supported Terraform version.
"""
PROVIDER_TEXT = """
│ Error: Failed to query available provider packages
│
│ Could not retrieve the list of available versions for provider hashicorp/aws: could not connect: dial tcp: i/o timeout
"""
UNDECLARED = line(
    "Value for undeclared variable",
    'A variable named "backend_image_tag" was assigned on the command line, but',
)
EXPIRED = line(
    "updating ECS Service",
    "operation error ECS: UpdateService, api error ExpiredTokenException: The security "
    "token is expired",
)
UNSAVED = line("Failed to save state", "ExpiredToken: wrote it to errored.tfstate")


@pytest.mark.parametrize(
    ("output", "kind", "why", "next_step"),
    [
        (
            line("Error acquiring the state lock", HELD),
            LockHeld,
            "ana@laptop holds it for",
            "inv tf.locks",
        ),
        (
            VERSION_TEXT,
            ConfigError,
            'Terraform 1.11.4, and the configuration says required_version = "~> 1.13.4"',
            "install a version",
        ),
        (
            line(
                "Unsupported Terraform Core version",
                "Terraform version 1.5.0.",
                code='required_version = ">= 1.9"',
            ),
            ConfigError,
            ">= 1.9",
            "tfenv",
        ),
        (
            line(
                'Backend initialization required, please run "terraform init"',
                "Reason: Initial configuration",
            ),
            WantsInit,
            "init",
            "inv tf.init",
        ),
        (
            line("Required plugins are not installed", "missing"),
            WantsInit,
            "plugins",
            "inv tf.init",
        ),
        (
            line(
                "Backend initialization required", "Reason: Backend configuration block has changed"
            ),
            ConfigError,
            "not the one",
            "-migrate-state",
        ),
        (UNDECLARED, ConfigError, "declares no variable backend_image_tag", "image_variable"),
        (
            line(
                "No value for required variable",
                'The root module input variable "cluster" is not set',
            ),
            ConfigError,
            "no var file",
            "TF_VAR_cluster",
        ),
        (
            line(
                "Invalid count argument",
                'The "count" value depends on resource attributes that cannot be determined until '
                "apply, so Terraform cannot predict how many instances will be created.",
            ),
            OpsError,
            "depends on what only an apply can tell",
            "inv tf.plan --target ADDRESS",
        ),
        (PROVIDER_TEXT, TerraformError, "Failed to query", "mirror"),
        (
            EXPIRED,
            Unreachable,
            "what was applied before is in the state",
            "aws sso login --profile dev, then run it again",
        ),
        (UNSAVED, OpsError, "errored.tfstate", "state push errored.tfstate"),
        (
            line(
                "Saved plan is stale",
                "The given plan file can no longer be applied because the state was changed",
            ),
            Refused,
            "the state was written since",
            "inv tf.plan",
        ),
        (
            line("Error refreshing state", 'S3 bucket "b" does not exist.'),
            ConfigError,
            "does not exist",
            "backend-config.tfvars",
        ),
        (
            "\x1b[31mFailed to unlock state: lock ID 'x' does not match the existing lock "
            "ID 'y'\nLock Info:\n  ID:   y\n  Info: \n\x1b[0m",
            Refused,
            "does not match",
            "inv tf.locks",
        ),
        (
            line("creating ECS Service", "ClientException: oops"),
            TerraformError,
            "ClientException: oops",
            "terraform -chdir=/code/terraform/dev",
        ),
        ("", TerraformError, "it printed nothing", "terraform -chdir"),
    ],
)
def test_each_error_is_three_lines(
    output: str, kind: type[OpsError], why: str, next_step: str
) -> None:
    """What failed, why, and what to type next, whatever form Terraform printed it in."""
    error = translate_error("terraform plan", output, WHERE)
    assert type(error) is kind
    assert error.what.startswith("terraform plan")
    assert why in error.why and next_step in error.next


IGNORED = line(
    "Value for undeclared variable",
    'The root module does not declare a variable named "old" but',
    severity="warning",
)
DENIED = (
    "api error AccessDenied: User: arn:aws:iam::1:user/x is not authorized to perform: "
    "s3:DeleteObject"
)


@pytest.mark.parametrize(
    ("output", "kind", "why"),
    [
        (
            IGNORED + "\n" + line("creating ECS Service", "ClientException: oops"),
            TerraformError,
            "ClientException: oops",
        ),
        (
            line(
                "Error loading state", "failed to get existing workspaces: connection reset by peer"
            ),
            TerraformError,
            "connection reset",
        ),
        (
            line("Error loading state", "failed to get existing workspaces: NoSuchBucket"),
            ConfigError,
            "NoSuchBucket",
        ),
        (
            f"Failed to unlock state: operation error S3: DeleteObject, {DENIED}",
            TerraformError,
            "AccessDenied",
        ),
        (
            line("Invalid policy", "a session of login.example.org: its certificate has expired"),
            TerraformError,
            "its certificate",
        ),
        (
            line("No valid credentials", "the SSO session has expired or is invalid"),
            Unreachable,
            "what was applied before is in",
        ),
        (
            line(
                "No valid credentials",
                "the SSO session token associated with profile dev has expired",
            ),
            Unreachable,
            "what was applied",
        ),
        (
            line("creating a", "Conflict") + "\n" + UNDECLARED,
            ConfigError,
            "declares no variable backend_image_tag",
        ),
        (
            "Error loading the state: api error ExpiredToken: no\n\nPlease ensure that "
            "your state exists.",
            Unreachable,
            "ExpiredToken: no",
        ),
        (
            '\x1b[31mFailed to unlock state: lock ID "x" does not match existing lock ("y")\x1b[0m',
            Refused,
            'lock id "x" does not match',
        ),
    ],
)
def test_no_error_is_taken_for_another(output: str, kind: type[OpsError], why: str) -> None:
    """A warning beside an error, a network that dropped, a permission and a certificate: each is
    what it is, and what passes is known.
    """
    error = translate_error("terraform apply", output, WHERE)
    assert type(error) is kind and why.lower() in error.why.lower()
    if isinstance(error, TerraformError):
        assert "undeclared" not in error.output and error.output


def test_the_owner_of_a_held_lock_is_known() -> None:
    """Id, owner, operation and age come out of the error, so that nobody has to read twelve
    lines.
    """
    error = translate_error("terraform plan", line("Error acquiring the state lock", HELD), WHERE)
    assert isinstance(error, LockHeld) and error.lock and error.exit_code == 3
    assert (error.lock.id, error.lock.who, error.lock.command) == (
        "8f3c2a7e-1111",
        "ana@laptop",
        "apply",
    )
    assert error.lock.created == datetime(2026, 1, 2, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-01-02T11:00:00.123456789Z", datetime(2026, 1, 2, 11, tzinfo=UTC)),
        ("2026-01-02 13:00:00.5 +0200 CEST", datetime(2026, 1, 2, 11, tzinfo=UTC)),
        ("2026-01-02 11:00:00 +0000 UTC m=+0.5", datetime(2026, 1, 2, 11, tzinfo=UTC)),
        ("yesterday", None),
        ("2026-02-30T11:00:00Z", None),
        ("2026-01-02T11:00:60Z", None),
        ("2026-01-02T11:00:00+99:99", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_times_as_go_writes_them(text: str, found: datetime | None) -> None:
    """Both of Go's forms; nanoseconds are dropped, nonsense is no time."""
    assert parse_time(text) == found


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        None,
        [],
        "text",
        {"snippet": 5},
        {"severity": [], "summary": {}},
        {"snippet": {"code": 5}},
    ],
)
def test_a_malformed_diagnostic_is_still_an_error(wrong: Any) -> None:
    """Whatever Terraform prints, its failure is an OpsError of three lines."""
    said = json.dumps(
        {"@level": "error", "@message": "Error: odd", "type": "diagnostic", "diagnostic": wrong}
    )
    error = translate_error("terraform plan", said, WHERE)
    assert isinstance(error, OpsError) and error.what and error.next


def test_json_that_is_too_deep_is_a_line_like_any_other() -> None:
    """Python gives up on it with a RecursionError."""
    assert progress_text('{"a":' * 100_000) is None
    assert progress_text('{"type": ["apply_start"], "@message": "odd"}') is None


def test_no_secret_gets_into_a_sentence() -> None:
    """An error that quotes a password is shown without it."""
    (found,) = diagnostics(line("Invalid value", 'password = "hunter2" is too short'))
    assert "hunter2" not in found.text


def test_errors_stand_before_warnings() -> None:
    """A deprecation warning is never taken for the reason of a failure."""
    found = diagnostics(
        line("Deprecated Parameter", severity="warning") + "\n" + line("Real reason")
    )
    assert [each.summary for each in found] == ["Real reason", "Deprecated Parameter"]


def test_only_what_a_person_wants_to_see_is_told_while_it_runs() -> None:
    """Creations and changes are told; refreshes and versions are not."""
    assert (
        progress_text(
            '{"type": "apply_complete", "@message": "aws_ecs_service.a: Creation complete"}'
        )
        == "aws_ecs_service.a: Creation complete"
    )
    invoked = {"type": "action_start", "@message": "Action started: action.aws_lambda_invoke.purge"}
    assert progress_text(json.dumps(invoked)) == invoked["@message"]
    assert progress_text('{"type": "refresh_start", "@message": "refreshing"}') is None
    assert progress_text("plain text") is None
    assert lock_from_error("nothing here") is None


def test_a_failed_check_is_printed_with_its_name_and_message() -> None:
    """Recorded from Terraform 1.11.4: its `@message` has neither."""
    found = {
        "@level": "warn",
        "@message": "Warning: Check block assertion failed",
        "type": "diagnostic",
        "diagnostic": {
            "severity": "warning",
            "summary": "Check block assertion failed",
            "detail": "The certificate expires\nin 1 day; password=hunter2",
            "range": {"filename": "main.tf", "start": {"line": 9}},
            "snippet": {"context": 'check "certificate"', "code": "    condition = var.t > 5"},
        },
    }
    assert progress_text(json.dumps(found)) == (
        "Warning: Check block assertion failed: The certificate expires in 1 day; password=*** "
        '(in check "certificate")'
    )
    malformed: tuple[Any, ...] = (None, "x", [], {"snippet": "x"}, {"snippet": {"context": 3}})
    for wrong in malformed:
        assert str(progress_text(json.dumps({**found, "diagnostic": wrong}))).startswith("Warning:")


@pytest.mark.parametrize("detail", RACES)
def test_a_lock_lost_in_a_race_is_a_held_lock(detail: str) -> None:
    """Its owner released it before Terraform could read it: refused, and `--lock-wait` waits."""
    error = translate_error("terraform plan", line("Error acquiring the state lock", detail), WHERE)
    assert isinstance(error, LockHeld) and error.lock is None and error.untouched
    assert error.why == "another run took it first, and has released it since"
    assert "--lock-wait" in error.next


def test_an_error_without_a_race_is_no_held_lock() -> None:
    """Denied access to the lock's object stays an error of its own."""
    denied = line("Error acquiring the state lock", "StatusCode: 403, api error AccessDenied")
    assert not isinstance(translate_error("terraform plan", denied, WHERE), LockHeld)


def test_every_resource_that_failed_is_counted() -> None:
    """An apply continues after an error, so there may be one for each resource."""
    output = "\n".join(line(f"creating IAM Role {number}", "no quota") for number in range(5))
    error = translate_error("terraform apply", output, WHERE)
    assert error.why.startswith("creating IAM Role 0: no quota; creating IAM Role 1: no quota; ")
    assert error.why.endswith("; and 2 more errors")
    alone = translate_error("terraform apply", line("creating IAM Role", "no quota"), WHERE)
    assert alone.why == "creating IAM Role: no quota"
