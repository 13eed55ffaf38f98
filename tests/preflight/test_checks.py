"""The preflight checklist by table: for every check, the facts that make it ok, warn, refuse or
unknown.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.aws.facts import Identity
from ops.core.errors import ConfigError
from ops.core.findings import Unknown
from ops.ecs.rules.task_definition_refs import log_groups, reference
from ops.preflight.facts import TestRun
from ops.preflight.model import Item
from ops.preflight.rules.checks import CHECKS, NAMES, SKIPPABLE, check, validate_skip, validate_tag
from ops.preflight.rules.registry import SECTIONS, preflight_check
from tests.preflight.preflight_facts import (
    CHECKOUT,
    ENVIRONMENT,
    NO,
    READY,
    SECRET,
    STATE,
    TAGGED,
    answer,
    definition,
    environment,
    image,
)
from tests.preflight.preflight_table import MOVING, TABLE


@pytest.mark.parametrize(
    ("name", "status", "changes", "says"),
    TABLE,
    ids=[f"{row[0]}-{row[1]}-{n}" for n, row in enumerate(TABLE)],
)
def test_each_check_says_what_it_found(
    name: str, status: str, changes: dict[str, Any], says: str
) -> None:
    """Each line of the checklist has the status that the documented table gives, and says what was
    found.
    """
    item = answer(name, **changes)
    assert (item.status, says in item.detail) == (status, True), item


@pytest.mark.parametrize(
    ("newest", "how"),
    [
        ((), "or name a tag that exists"),
        (("b38", "a2", "91", "80"), "or name a tag that exists; the newest: b38, a2, 91"),
        (("b38", "v12"), "or did you mean --tag v12?"),
    ],
)
def test_a_tag_that_ecr_lacks_names_those_that_it_has(newest: tuple[str, ...], how: str) -> None:
    assert answer("image", **TAGGED, newest_tags=newest).next.endswith(how)


@pytest.mark.parametrize(
    ("name", "status", "changes", "says"),
    [
        ("tests", "warn", {"service": {"tests": None}}, "no tests are configured"),
        ("tests", "ok", {"service": {"tests": []}}, "none, by configuration"),
        ("endpoints", "warn", {"service": {"endpoints": ...}}, "none are configured"),
        ("endpoints", "ok", {"service": {"endpoints": []}}, "none, by configuration"),
        ("cdn", "ok", {"service": {"invalidate": []}}, "nothing of it is cached"),
        (
            "port",
            "warn",
            {"service": {"container_port": 3000}},
            "backend opens 3001; configured is 3000",
        ),
        ("migrations", "ok", {"database": None}, "has no database"),
        ("health-path", "ok", {"service": {"health_path": None}}, "checks /api/health"),
        ("log-group", "ok", {"service": {"log_group": None}}, "/ecs/backend"),
    ],
)
def test_the_configuration_decides_where_it_may(
    name: str, status: str, changes: dict[str, Any], says: str
) -> None:
    """What is configured otherwise, or not at all, is said as the documented table has it."""
    item = answer(name, environment(**changes))
    assert (item.status, says in item.detail) == (status, True), item


@pytest.mark.parametrize(
    ("action", "why", "advice"),
    [
        ("deploy", "with --tag nothing is built", "unless your deploy must supersede it"),
        ("restart", "a restart builds nothing", "inv backend.watch"),
        ("rollback", "a rollback builds nothing", "unless your deploy must supersede it"),
    ],
)
def test_the_checklist_fits_the_action(action: str, why: str, advice: str) -> None:
    """A restart has no --tag, and cannot supersede a rollout."""
    assert answer("git-clean", **TAGGED, action=action).detail == f"not needed: {why}"
    moving = replace(STATE, deployments=(MOVING,))
    found = answer("service", **TAGGED, action=action, image=image(), state=moving)
    assert found.status == "warn" and "a rollout is in progress" in found.detail
    assert found.next.endswith(advice)
    assert ("supersede" in found.detail) is (action != "restart")


def test_every_status_of_every_check_but_the_rare_ones_is_in_the_table() -> None:
    """No check is left without a case that shows it ok, and none of those that refuse without a
    refusal.
    """
    seen = {(name, status) for name, status, *_ in TABLE}
    assert {name for name, status in seen if status == "ok"} == set(NAMES)
    never = {"pushed", "health-path", "state-lock", "migrations", "endpoints"}
    assert {name for name, status in seen if status == "refuse"} == set(NAMES) - never


def test_all_is_ready_and_in_order() -> None:
    """A platform where nothing is wrong shows every check once, in the list's order, each ok."""
    items = check(READY, ENVIRONMENT)
    assert [(item.name, item.status, item.next) for item in items] == [
        (name, "ok", "") for name in NAMES
    ]


def test_warnings_and_refusals_say_what_to_type() -> None:
    """Every warning and every refusal comes with a next step."""
    for name, status, changes, _ in TABLE:
        if status in ("warn", "refuse"):
            assert answer(name, **changes).next, (name, changes)


def test_a_wrong_account_is_the_only_refusal() -> None:
    """With another account's credentials only that is refused: what was read there is not judged,
    since it is the wrong place.
    """
    wrong = replace(
        READY,
        identity=Identity("999999999999", "arn:x"),
        state=None,
        repository=None,
        secrets={SECRET: None},
    )
    items = {item.name: item for item in check(wrong, ENVIRONMENT)}
    assert [item.name for item in items.values() if item.status == "refuse"] == ["credentials"]
    assert {
        items[name].detail for name in ("repository", "image", "service", "port", "secrets")
    } == {"not decided: see credentials"}
    assert "profile" in items["credentials"].next


def test_an_expired_login_says_how_to_log_in() -> None:
    """An expired login has the advice that fits the profile. For another reason, the same question
    by hand, or where an overlay holds the keys, the overlay's own hint.
    """
    expired = replace(NO, login="aws configure --profile davidshaevel-dev")
    assert answer("credentials", identity=expired).next == expired.login
    assert answer("credentials", identity=NO).next == (
        "aws sts get-caller-identity --profile davidshaevel-dev"
    )
    rehearsal = environment(overlay="local.yaml", overlay_hint="start the platform")
    assert answer("credentials", rehearsal, identity=NO).next == "start the platform"
    expired = Unknown("the login has expired", login="renew the keys")
    assert answer("credentials", rehearsal, identity=expired).next == "renew the keys"


def test_a_missing_service_names_nothing_else() -> None:
    """A service that is MISSING is one refusal; what hangs on it points there."""
    missing = replace(READY, state=None, revision=None, target_groups=(), secrets={}, log_groups={})
    items = check(missing, ENVIRONMENT)
    assert [item.name for item in items if item.status == "refuse"] == ["service"]
    assert {
        item.detail
        for item in items
        if item.name in ("container", "secrets", "log-group", "port", "health-path", "architecture")
    } == {"not decided: see service"}


def test_a_dirty_tree_on_another_branch_names_both() -> None:
    """Two mistakes are two refusals."""
    items = check(
        replace(READY, checkout=replace(CHECKOUT, branch="topic", changes=(" M a",))), ENVIRONMENT
    )
    assert [item.name for item in items if item.status == "refuse"] == ["git-clean", "branch"]


def test_a_skipped_check_stays_as_skipped() -> None:
    """--skip lets a refusal pass, and the line says what was not looked at."""
    facts = replace(READY, tests=TestRun(("x",), 1, ""))
    item = next(
        item for item in check(facts, ENVIRONMENT, frozenset({"tests"})) if item.name == "tests"
    )
    assert item == Item("tests", "skipped", "by --skip; it checks the service's `tests:` command")


def test_an_unknown_check_is_a_mistake_with_the_nearest_name() -> None:
    """--skip test is exit 2, names the checks and suggests `tests`."""
    with pytest.raises(ConfigError) as caught:
        check(READY, ENVIRONMENT, frozenset({"test"}))
    assert caught.value.code == 2
    assert caught.value.next == "did you mean --skip tests?"
    assert all(name in caught.value.why for name in SKIPPABLE)


@pytest.mark.parametrize("name", ["credentials", "repository", "image", "service", "container"])
def test_some_checks_cannot_be_skipped(name: str) -> None:
    """--skip credentials is exit 2 and says why: a deploy would act in the wrong place or on
    nothing.
    """
    with pytest.raises(ConfigError, match="wrong place or on nothing"):
        validate_skip({name})


def test_what_a_check_needs_comes_before_it() -> None:
    """The list is ordered so that a cause stands above what it explains."""
    for position, each in enumerate(CHECKS):
        assert set(each.needs) <= set(NAMES[:position]), each.name


def test_a_section_is_one_module_so_that_import_order_gives_no_order() -> None:
    """Each section has checks, all of them in the module of its name, and they stand together."""
    assert tuple(dict.fromkeys(each.section for each in CHECKS)) == SECTIONS
    assert [each.section for each in CHECKS] == [
        each.decide.__module__.rpartition(".")[2] for each in CHECKS
    ]


def test_a_name_is_registered_once() -> None:
    """A second check of the same name is a mistake in the program, not a replacement."""
    with pytest.raises(AssertionError, match="tools"):
        preflight_check("tools", section="source", subject="x")


def test_the_documentation_has_the_checks_by_name() -> None:
    """docs/preflight.md's table names exactly the checks, in their order, and which of them cannot
    be skipped.
    """
    page = Path(__file__).parents[2].joinpath("docs", "preflight.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == NAMES
    paragraph = page.split("## What cannot be skipped", 1)[1].split(":", 1)[0]
    assert set(re.findall(r"`([a-z-]+)`", paragraph)) == set(NAMES) - set(SKIPPABLE)


@pytest.mark.parametrize("tag", ["abc1234", "v1.2.3", "_x", "A" * 128, "1-2_3.4"])
def test_a_tag_that_a_registry_takes_is_taken(tag: str) -> None:
    """Ordinary tags pass unchanged."""
    assert validate_tag(tag) == tag


HOSTILE = (
    "",
    "; rm -rf /",
    "--flag",
    "-x",
    ".x",
    "a b",
    "a\n",
    "a\nb",
    "a:b",
    "a/b",
    "$(id)",
    "ä",
    "A" * 129,
    "a\x00",
    "@sha256",
)


@pytest.mark.parametrize("tag", HOSTILE)
def test_a_hostile_tag_is_a_mistake(tag: str) -> None:
    """`; rm`, `--flag`, newlines and the like are exit 2, shown harmlessly on one line."""
    with pytest.raises(ConfigError) as caught:
        validate_tag(tag)
    assert caught.value.code == 2
    assert "\n" not in caught.value.what
    assert len(caught.value.what) < 160


@pytest.mark.parametrize(
    ("value_from", "source", "key"),
    [
        (SECRET, SECRET, None),
        (f"{SECRET}:password::", SECRET, "password"),
        (f"{SECRET}::AWSCURRENT:", SECRET, None),
        ("/dev/mode", "/dev/mode", None),
        (
            "arn:aws:ssm:us-east-1:123456789012:parameter/dev/mode",
            "arn:aws:ssm:us-east-1:123456789012:parameter/dev/mode",
            None,
        ),
    ],
)
def test_a_value_from_is_read_as_ecs_reads_it(
    value_from: str, source: str, key: str | None
) -> None:
    """A secret's JSON key is told from its ARN; anything that is no secret's ARN is a parameter."""
    found = reference("backend", "X", value_from)
    assert (found.source, found.key, found.is_parameter) == (source, key, source != SECRET)


def test_only_awslogs_groups_are_looked_for() -> None:
    """A container with another log driver, or none, has no log group to exist."""
    revision = definition(container={"logConfiguration": None})
    assert log_groups(revision) == ()
