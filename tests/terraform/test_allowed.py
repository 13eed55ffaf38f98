"""What `--allow-destroy` allows, by address."""

from __future__ import annotations

import pytest

from ops.terraform.rules.allowed import addresses_to_allow, is_allowed, unmatched
from ops.terraform.rules.plan_diff import ResourceChange


def gone(address: str) -> ResourceChange:
    kind = address.rpartition(".")[0].rpartition(".")[2]
    return ResourceChange(address, kind, "", "delete")


ROLE = gone('module.web["a.b"].module.iam.aws_iam_role.task')
DATABASE = gone('module.web["a.b"].aws_db_instance.main')


@pytest.mark.parametrize(
    ("allowed", "role", "database"),
    [
        (ROLE.address, True, False),
        (DATABASE.address, False, True),
        ('module.web["a.b"]', True, False),
        ("module.web", True, False),
        ('module.web["a.b"].module.iam', True, False),
        ('module.web["a"]', False, False),
        ("module.we", False, False),
        ("aws_iam_role.task", False, False),
        ("", False, False),
    ],
)
def test_a_module_allows_what_is_inside_but_no_data(
    allowed: str, role: bool, database: bool
) -> None:
    """A database, a repository, a load balancer … has to be named by its own address."""
    assert (is_allowed(ROLE, {allowed}), is_allowed(DATABASE, {allowed})) == (role, database)
    assert unmatched({allowed}, [ROLE, DATABASE]) == ([] if role or database else [allowed])


def test_an_action_that_is_not_known_is_allowed_by_its_own_address_only() -> None:
    odd = ResourceChange("module.web.aws_iam_role.x", "aws_iam_role", "", "unknown")
    assert not is_allowed(odd, {"module.web"}) and is_allowed(odd, {odd.address})


def test_many_are_named_by_their_modules() -> None:
    """All of them are allowed by what is printed, and few of them one by one."""
    many = [gone(f"module.net[0].aws_route.r{number}") for number in range(9)]
    losses = [*many, ROLE, DATABASE, gone("aws_iam_role.own")]
    named = addresses_to_allow(losses)
    assert named == ["module.net[0]", ROLE.address, DATABASE.address, "aws_iam_role.own"]
    assert all(is_allowed(each, named) for each in losses)
    assert addresses_to_allow(many[:3]) == [each.address for each in many[:3]]
