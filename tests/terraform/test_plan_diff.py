"""A plan as what matters: recorded plans in, rows out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.terraform.rules.attribute_diff import short_image, split_image
from ops.terraform.rules.plan_diff import addresses, changes, drift, planned_image, summary
from tests.terraform.terraform_plans import (
    FAMILY,
    definitions,
    parsed,
    resource,
    revision,
    service,
    uri,
)

MOVE = revision(definitions(uri("abc")), definitions(uri("def")))
SIDECAR = {"name": "log", "image": "fluent:1", "essential": False}


def lines(*rows: dict[str, Any]) -> str:
    return "\n".join(line for row in changes(parsed(*rows)) for line in row.lines())


def test_a_new_image_reads_as_a_move_and_not_as_a_dozen_computed_fields() -> None:
    """A deploy's plan is two rows: the revision with "moves backend from abc to def", and the
    service.
    """
    said = lines(MOVE, service())
    assert (
        "makes a new revision of aws_ecs_task_definition.backend (because of container_definitions)"
        in said
    )
    assert said.split("\n")[0].startswith("-/+ makes a new revision")
    assert "moves backend from abc to def" in said
    assert "task_definition: " in said and "→ (known after apply)" in said
    for noise in (
        "tags",
        "ipc_mode",
        "skip_destroy",
        "network_configuration",
        "wait_for_steady_state",
        "revision:",
    ):
        assert noise not in said


@pytest.mark.parametrize(
    ("row", "action", "alarming"),
    [
        (MOVE, "replace", False),
        (service(), "update", False),
        (resource("aws_lb.main", ["delete"], {"name": "alb"}, None), "delete", True),
        (
            resource("aws_db_instance.main", ["delete", "create"], {"name": "db"}, {"name": "db"}),
            "replace",
            True,
        ),
        (
            resource("aws_lb.main", ["create", "delete"], {"name": "alb"}, {"name": "alb2"}),
            "replace",
            True,
        ),
        (
            resource("aws_ecs_task_definition.old", ["delete"], {"family": "old"}, None),
            "delete",
            True,
        ),
        (resource("aws_s3_bucket.b", ["create"], None, {"name": "b"}), "create", False),
        (resource("aws_s3_bucket.b", ["forget"], {"name": "b"}, None), "forget", False),
        (
            resource("aws_s3_bucket.b", ["no-op"], {"name": "b"}, {"name": "b"}, importing="b"),
            "adopt",
            False,
        ),
        (
            resource("aws_lb.main", ["create", "forget"], {"name": "alb"}, {"name": "alb2"}),
            "replace",
            True,
        ),
        (resource("aws_lb.main", ["explode"], {"name": "alb"}, {"name": "alb2"}), "unknown", True),
        (
            resource("aws_lb.main", ["delete", "explode"], {"name": "alb"}, {"name": "alb2"}),
            "unknown",
            True,
        ),
        (
            resource(
                "aws_lb.main", ["forget", "delete", "create"], {"name": "alb"}, {"name": "alb2"}
            ),
            "replace",
            True,
        ),
        (resource("aws_lb.main", [], {"name": "alb"}, {"name": "alb"}), "unknown", True),
    ],
)
def test_destroys_and_replacements_are_marked(
    row: dict[str, Any], action: str, alarming: bool
) -> None:
    """Whatever goes away is marked; a task definition's replacement alone is everyday."""
    (found,) = changes(parsed(row))
    assert (found.action, found.alarming) == (action, alarming)


def test_capitals_are_kept_for_what_alarms() -> None:
    """Off a terminal they are all there is of the red: every alarming row has them, and a deploy's
    own two have none.
    """
    alarming = [
        resource("aws_lb.a", ["delete"], {"name": "a"}, None),
        resource("aws_lb.b", ["delete", "create"], {"name": "b"}, {"name": "b2"}),
        resource("aws_lb.c", ["explode"], {"name": "c"}, {"name": "c2"}),
    ]
    rows = changes(parsed(MOVE, service(), *alarming))
    loud = {
        row.address
        for row in rows
        if any(word.isupper() and len(word) > 2 for word in row.lines()[0].split())
    }
    assert (
        loud
        == {row.address for row in rows if row.alarming}
        == {"aws_lb.a", "aws_lb.b", "aws_lb.c"}
    )
    assert summary(rows) == "5 changes, 2 of them DESTROY or REPLACE, 1 of them UNKNOWN"


def test_what_changes_nothing_is_left_out() -> None:
    """No-ops, reads and data sources are no rows."""
    data = {**resource("data.aws_lb.x", ["read"], None, {}), "mode": "data"}
    assert (
        changes(parsed(resource("aws_lb.a", ["no-op"], {"name": "a"}, {"name": "a"}), data)) == ()
    )
    assert summary(()) == "nothing to change"


def test_destroys_stand_first() -> None:
    """What hurts is read first."""
    rows = changes(parsed(service(), MOVE, resource("aws_lb.z", ["delete"], {"name": "z"}, None)))
    assert [row.action for row in rows] == ["delete", "replace", "update"]
    assert summary(rows) == "3 changes, 1 of them DESTROY or REPLACE"


def test_a_revision_written_in_two_ways_is_no_change() -> None:
    """An imported service says `family:1` where the configuration says the ARN: it is adopted, not
    changed.
    """
    row = resource(
        "aws_ecs_service.web",
        ["update"],
        {"name": "w", "task_definition": "dev-backend:1"},
        {"name": "w", "task_definition": f"{FAMILY}:1"},
        importing="c/w",
    )
    assert [found.action for found in changes(parsed(row))] == ["adopt"]


def test_defaults_that_the_provider_fills_in_are_no_change_of_a_container() -> None:
    """Host port, protocol, empty lists and the order of variables do not hide the one image that
    moves.
    """
    before = definitions(
        uri("abc"),
        SIDECAR,
        cpu=0,
        mountPoints=[],
        environment=[{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
        portMappings=[{"containerPort": 3001, "hostPort": 3001, "protocol": "tcp"}],
    )
    after = definitions(
        uri("def"), SIDECAR, environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    )
    (row,) = changes(parsed(revision(before, after)))
    assert [str(move) for move in row.images] == ["moves backend from abc to def"]
    assert row.other_changes == ()


def test_what_else_changes_in_a_container_is_named() -> None:
    """An environment variable that comes with the image, and a sidecar that goes, are said."""
    after = definitions(uri("def"), environment=[{"name": "A", "value": "1"}])
    (row,) = changes(parsed(revision(definitions(uri("abc"), SIDECAR), after)))
    assert row.other_changes == ("container log", "backend.environment")
    assert "changes backend.environment" in "\n".join(row.lines())


def test_sensitive_values_are_hidden() -> None:
    """A secret's value is never in a row, its name is."""
    row = resource(
        "aws_db_instance.main",
        ["update"],
        {"name": "db", "password": "hunter2", "size": 1},
        {"name": "db", "password": "hunter3", "size": 2},
        before_sensitive={"password": True},
        after_sensitive={"password": True},
    )
    said = lines(row) + str(changes(parsed(row))[0].as_document())
    assert (
        "hunter" not in said
        and "password: (sensitive) → (sensitive)" in said
        and "size: 1 → 2" in said
    )


def test_drift_is_told_from_intent() -> None:
    """What somebody scaled by hand is drift; `tags: null → {}`, which every refresh shows, is
    none.
    """
    scaled = resource(
        "aws_ecs_service.web",
        ["update"],
        {"name": "w", "desired_count": 2},
        {"name": "w", "desired_count": 5},
    )
    cosmetic = resource(
        "aws_ecs_task_definition.web",
        ["update"],
        {"family": "w", "tags": None},
        {"family": "w", "tags": {}},
    )
    gone = resource("aws_lb.z", ["delete"], {"name": "z"}, None)
    found = parsed(drift=(scaled, cosmetic, gone))
    assert [row.address for row in drift(found)] == ["aws_ecs_service.web", "aws_lb.z"]
    assert changes(found) == ()


@pytest.mark.parametrize(
    ("address", "before", "after", "deploys", "fields"),
    [
        ("aws_ecs_service.web", {"task_definition": "w:1"}, {"task_definition": "w:2"}, True, []),
        (
            "aws_ecs_service.web",
            {"task_definition": "w:1", "desired_count": 2},
            {"task_definition": "w:2", "desired_count": 5},
            True,
            ["desired_count"],
        ),
        (
            "aws_ecs_service.web",
            {"task_definition": "w:1"},
            {"task_definition": "w:2"},
            False,
            ["task_definition"],
        ),
        (
            "aws_db_instance.db",
            {"latest_restorable_time": "2026-01-01T00:00:00Z"},
            {"latest_restorable_time": "2026-01-01T00:05:00Z"},
            False,
            [],
        ),
        (
            "aws_db_instance.db",
            {"latest_restorable_time": "2026-01-01T00:00:00Z", "instance_class": "db.t3.micro"},
            {"latest_restorable_time": "2026-01-01T00:05:00Z", "instance_class": "db.t3.large"},
            False,
            ["instance_class"],
        ),
    ],
)
def test_drift_can_be_zero(
    address: str,
    before: dict[str, Any],
    after: dict[str, Any],
    deploys: bool,
    fields: list[str],
) -> None:
    """What AWS computes, and the revision that a deploy sets, are no drift; all else still is."""
    found = parsed(drift=(resource(address, ["update"], before, after),))
    rows = drift(found, deploys_revisions=deploys)
    assert [field.name for row in rows for field in row.fields] == fields
    assert len(rows) == bool(fields)


CONFIGURATION = {
    "root_module": {
        "module_calls": {
            "net": {
                "module": {
                    "resources": [
                        {
                            "address": "aws_lb.main",
                            "expressions": {"name": {}, "subnets": {}, "tags": {}},
                        }
                    ]
                }
            }
        }
    }
}


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ('module.net["a.b]"].aws_lb.main[0]', ["access_logs", "name", "tags_all"]),
        ("module.net.aws_lb.other", ["access_logs", "listeners", "name", "tags_all"]),
        ("aws_lb.main", ["access_logs", "listeners", "name", "tags_all"]),
    ],
)
def test_drift_is_of_what_the_configuration_sets(address: str, fields: list[str]) -> None:
    """What other resources fill in is none; a dynamic block, and what is not known, still are."""
    names = ("access_logs", "listeners", "name", "tags_all")
    before, after = dict.fromkeys(names, "old"), dict.fromkeys(names, "new")
    row = resource(address, ["update"], before, after)
    found = replace(parsed(drift=(row,)), configuration=CONFIGURATION)
    (change,) = drift(found, dynamic=frozenset({"access_logs"}))
    assert [field.name for field in change.fields] == fields
    (whole,) = drift(found)
    assert [field.name for field in whole.fields] == list(names)
    gone = parsed(drift=(resource(address, ["delete"], before, None),))
    assert len(drift(replace(gone, configuration=CONFIGURATION), dynamic=frozenset())) == 1


@pytest.mark.parametrize(
    ("listed", "fields"),
    [
        ({"name"}, ["tags", "tags_all"]),
        ({"tags"}, ["name"]),
        ({'tags["Name"]'}, ["name", "tags", "tags_all"]),
        ({"all"}, []),
    ],
)
def test_drift_that_terraform_ignores_is_none(listed: set[str], fields: list[str]) -> None:
    """Whole attributes, or `all`; an attribute that has no such key stays."""
    before, after = (dict.fromkeys(("name", "tags", "tags_all"), value) for value in "ab")
    row = resource('module.net["x"].aws_lb.main[0]', ["update"], before, after)
    found = drift(parsed(drift=(row,)), ignored={"module.net.aws_lb.main": frozenset(listed)})
    assert [field.name for change in found for field in change.fields] == fields
    other = drift(parsed(drift=(row,)), ignored={"aws_lb.main": frozenset(listed)})
    assert len(other) == 1 and len(other[0].fields) == 3
    gone = parsed(drift=(resource("aws_lb.main", ["delete"], before, None),))
    assert len(drift(gone, ignored={"aws_lb.main": frozenset({"all"})})) == 1


def test_drift_is_in_the_past_tense() -> None:
    """A resource that was deleted by hand is not reported as one that Terraform destroys."""
    gone = resource("aws_lb.gone", ["delete"], {"name": "a"}, None)
    moved = resource("aws_lb.moved", ["update"], {"name": "a"}, {"name": "b"})
    found = drift(parsed(drift=(gone, moved)))
    assert [row.lines()[0] for row in found] == [
        "  - DELETED aws_lb.gone",
        "  ~ changed aws_lb.moved",
    ]
    assert found[0].destroys and found[0].alarming


TAGS = {"Owner": "core", "Cost": "1"}


@pytest.mark.parametrize(
    ("listed", "after", "fields"),
    [
        ('tags["Cost"]', {"tags": {"Owner": "core", "Cost": "2"}}, []),
        ("tags.Cost", {"tags": {"Owner": "core", "Cost": "2"}}, []),
        ('tags["Cost"]', {"tags": {"Owner": "core"}}, []),
        ('tags["new/x.y"]', {"tags": {**TAGS, "new/x.y": "1"}}, []),
        ('tags["Cost"]', {"tags": {"Owner": "evil", "Cost": "2"}}, ["tags", "tags_all"]),
        ('tags["Owner"]', {"tags": {"Owner": "core", "Cost": "2"}}, ["tags", "tags_all"]),
        ('tags["Cost"]', {"tags": None}, ["tags", "tags_all"]),
        ('tags [ "x]/y" ]', {"tags": {**TAGS, "x]/y": "1"}}, []),
        ("rule[0].port", {"rule": [{"port": 2, "name": "a"}]}, []),
        ("rule[0].port", {"rule": [{"port": 2, "name": "b"}]}, ["rule"]),
        ("rule[0]", {"rule": [{"port": 2, "name": "b"}]}, []),
        ("rule[1]", {"rule": [{"port": 2, "name": "a"}]}, ["rule"]),
        ("rule[0]", {"rule": []}, ["rule"]),
    ],
)
def test_drift_of_an_ignored_key(listed: str, after: dict[str, Any], fields: list[str]) -> None:
    """One key or item of an attribute is ignored, the others are not, and values are as read."""
    before = {"tags": TAGS, "rule": [{"port": 1, "name": "a"}]}
    values = {**before, **after}
    old, new = ({**each, "tags_all": each["tags"]} for each in (before, values))
    row = resource("aws_lb.main", ["update"], old, new)
    found = drift(parsed(drift=(row,)), ignored={"aws_lb.main": frozenset({listed})})
    assert [field.name for change in found for field in change.fields] == fields
    if "evil" in str(after):
        assert '"Cost": "2"' in found[0].fields[0].after


def test_the_image_that_a_plan_leads_to() -> None:
    """Read from the JSON string in the plan. No image is not the same as one that only the apply
    will tell.
    """
    later = resource("aws_ecs_task_definition.x", ["create"], None, {"family": "dev-backend"})
    gone = resource("aws_ecs_task_definition.x", ["delete"], {"family": "dev-backend"}, None)
    assert planned_image(parsed(MOVE), "dev-backend", "backend") == uri("def")
    assert planned_image(parsed(later), "dev-backend", "backend") is None
    assert planned_image(parsed(MOVE), "dev-frontend", "frontend") == ""
    assert planned_image(parsed(MOVE), "dev-backend", "other") == ""
    assert planned_image(parsed(gone), "dev-backend", "backend") == ""


def test_a_resource_is_found_by_its_own_name_whatever_happens_to_it() -> None:
    """What is to be made, taken away or left alone has its address all the same; another family has
    none.
    """
    still = resource("module.a.aws_ecs_service.web", ["no-op"], {"name": "w"}, {"name": "w"})
    whole = parsed(MOVE, still, resource("aws_lb.z", ["delete"], {"name": "z"}, None))
    assert addresses(whole, "aws_ecs_task_definition", "dev-backend") == (
        "aws_ecs_task_definition.backend",
    )
    assert addresses(whole, "aws_ecs_service", "w") == ("module.a.aws_ecs_service.web",)
    assert addresses(whole, "aws_lb", "z") == ("aws_lb.z",)
    assert addresses(whole, "aws_ecs_task_definition", "dev-frontend") == ()


@pytest.mark.parametrize(
    ("image", "parts", "shown"),
    [
        ("nginx", ("nginx", "", ""), "nginx"),
        ("nginx:latest", ("nginx", "latest", ""), "latest"),
        ("127.0.0.1:5000/a/b", ("127.0.0.1:5000/a/b", "", ""), "127.0.0.1:5000/a/b"),
        ("127.0.0.1:5000/a/b:v1", ("127.0.0.1:5000/a/b", "v1", ""), "v1"),
        (
            "a/b@sha256:0123456789abcdef",
            ("a/b", "", "sha256:0123456789abcdef"),
            "sha256:0123456789ab",
        ),
        ("a/b:v1@sha256:0123", ("a/b", "v1", "sha256:0123"), "v1"),
    ],
)
def test_an_image_is_taken_apart_without_ruining_ports_and_digests(
    image: str, parts: tuple[str, str, str], shown: str
) -> None:
    """A registry's port is no tag, and a digest's colon neither."""
    assert split_image(image) == parts
    assert short_image(image) == shown
