"""docs/permissions.md: the permissions in its table and policies are those of the code's calls."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.aws.permissions import CHANGES_LESS, PUSH, READ_BY_HTTP, calls, is_read

PAGE = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text(encoding="utf-8")
_PERMISSION = re.compile(r"`([a-z0-9-]+:[A-Z]\w+)`")
TABLE = [line for line in PAGE.splitlines() if line.startswith("| `")]
READ_ONLY, DEPLOY = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))


def _actions(policy: dict[str, Any]) -> set[str]:
    return {action for each in policy["Statement"] for action in each["Action"]}


def _resources(policy: dict[str, Any]) -> list[str]:
    found = (each["Resource"] for each in policy["Statement"])
    return [arn for each in found for arn in (each if isinstance(each, list) else [each])]


def test_the_search_for_calls_finds_them() -> None:
    """A call by a client's method, by a paginator, and by a collector's `pages`."""
    assert {"ecs:UpdateService", "ecs:ListTasks", "rds:DescribeEvents", "s3:ListBucket"} <= calls()
    assert len(calls()) > 60


def test_the_table_has_every_permission_and_no_other() -> None:
    """A new call of the code needs a place in the table, with the command that makes it."""
    listed = set(_PERMISSION.findall("".join(TABLE)))
    assert listed == calls() | READ_BY_HTTP | PUSH | CHANGES_LESS


def test_reads_and_changes_are_in_their_columns() -> None:
    for line in TABLE:
        _, _, reads, changes, _ = line.split("|")
        assert all(is_read(each) for each in _PERMISSION.findall(reads)), line
        assert not any(is_read(each) for each in _PERMISSION.findall(changes)), line


def test_the_policy_to_read_allows_every_read_and_no_change() -> None:
    wanted = {each for each in calls() | READ_BY_HTTP if is_read(each)}
    assert _actions(READ_ONLY) == wanted


def test_the_policy_to_deploy_allows_what_a_deploy_changes() -> None:
    """The changes of the rows that name `SERVICE.deploy`; roles and repositories are limited."""
    rows = [line.split("|") for line in TABLE if "deploy`" in line.split("|")[1]]
    changes = {each for row in rows for each in _PERMISSION.findall(row[3])}
    assert _actions(DEPLOY) == changes and changes >= PUSH | CHANGES_LESS
    by_action = {action: each for each in DEPLOY["Statement"] for action in each["Action"]}
    free = [each for each in by_action if by_action[each]["Resource"] == "*"]
    assert free == ["ecs:RegisterTaskDefinition"]  # which has no resource of its own


def test_the_policies_have_placeholders_and_no_account() -> None:
    for arn in (*_resources(READ_ONLY), *_resources(DEPLOY)):
        assert arn == "*" or arn.startswith("arn:aws:")
        assert not re.search(r"\d{12}|us-east-1", arn)
