"""A plan's JSON: what it holds beside resources, and every malformed shape of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.terraform.rules.plan_diff import addresses, changes, drift, planned_image, summary
from ops.terraform.rules.plan_json import PlanDocument
from ops.terraform.rules.plan_review import notes, plan_refusal, warnings
from ops.terraform.rules.scope import DeployScope, never_allowed, out_of_scope
from tests.terraform.terraform_plans import definitions, plan, resource, revision, service, uri

parse = PlanDocument.from_document
TARGET = DeployScope("dev-backend", "dev-backend", "backend", uri("def"))
MOVE = revision(definitions(uri("abc")), definitions(uri("def")))
PURGE = {
    "address": "action.aws_lambda_invoke.purge",
    "type": "aws_lambda_invoke",
    "name": "purge",
    "provider_name": "registry.terraform.io/hashicorp/aws",
    "config_values": {"function_name": "drop-sessions", "token": "hunter2"},
    "config_sensitive": {"token": True},
    "config_unknown": {"payload": True},
    "lifecycle_action_trigger": {
        "triggering_resource_address": "aws_ecs_service.backend",
        "action_trigger_event": "AfterUpdate",
        "action_trigger_block_index": 0,
        "actions_list_index": 0,
    },
}
DESTROY = resource("aws_db_instance.main", ["delete"], {"identifier": "x"}, None)
WHOLE: dict[str, Any] = {
    **plan(MOVE, service(), DESTROY, drift=(service(desired_count=5),)),
    "format_version": "1.2",
    "action_invocations": [PURGE],
    "deferred_changes": [{"reason": "provider_config_unknown", "resource_change": DESTROY}],
    "deferred_action_invocations": [{"reason": "absent_prereq", "action_invocation": PURGE}],
    "output_changes": {"url": {"actions": ["update"], "before": "a", "after": "b"}},
    "complete": False,
}


def test_an_action_is_shown_and_asked_about() -> None:
    """Terraform 1.14 invokes it in the apply: with what triggers it and what it gets, secrets
    hidden.
    """
    rows = changes(parse({**plan(MOVE, service()), "action_invocations": [PURGE]}))
    assert summary(rows) == "3 changes"
    (row,) = [row for row in rows if row.action == "invoke"]
    said = "\n".join(row.lines())
    assert (
        "! invokes action.aws_lambda_invoke.purge (AfterUpdate of aws_ecs_service.backend)" in said
    )
    assert "function_name: drop-sessions" in said and "payload: (known after apply)" in said
    assert "hunter2" not in said + json.dumps(row.as_document()) and "token: (sensitive)" in said
    assert out_of_scope(rows, TARGET) == ((row, "the apply would invoke this action"),)


def test_an_action_alone_is_not_nothing() -> None:
    """Without any resource that changes."""
    assert (
        summary(changes(parse({"resource_changes": [], "action_invocations": [PURGE]})))
        == "1 change"
    )


def test_what_is_deferred_is_shown_with_its_reason() -> None:
    """It is not part of this apply, and the plan says that it is incomplete."""
    found = parse({"deferred_changes": WHOLE["deferred_changes"], "complete": False})
    (row,) = changes(found)
    assert row.lines() == (
        "  > defers to a later plan aws_db_instance.main (delete; provider_config_unknown)",
    )
    assert [why for _, why in out_of_scope((row,), TARGET)] == [
        "it is left to a later plan (delete; provider_config_unknown)"
    ]
    assert [said for said in warnings(found) if "incomplete" in said]
    assert never_allowed((row,), TARGET) == "", "nothing is destroyed now"


def test_a_targeted_plan_is_incomplete_by_definition() -> None:
    """`complete` is false for each plan with -target."""
    assert warnings(parse({"complete": False}), targeted=True) == ()


def test_what_changes_no_resource_is_noted() -> None:
    """Outputs and moved addresses are no resource changes, but not nothing either."""
    still = {
        **resource("aws_ecs_service.new", ["no-op"], {"name": "a"}, {"name": "a"}),
        "previous_address": "aws_ecs_service.old",
    }
    outputs = {"url": {"actions": ["update"]}, "same": {"actions": ["no-op"]}}
    found = parse({**plan(still), "output_changes": outputs})
    said = notes(found)
    assert said == (
        "moves aws_ecs_service.old to aws_ecs_service.new in the state",
        "changes outputs: url",
    )
    assert summary(changes(found), said) == "no resource changes"


def test_a_key_that_is_not_known_is_named() -> None:
    """A later Terraform may plan what is not read here."""
    known = {
        "format_version": "1.2",
        "checks": [],
        "timestamp": "x",
        "prior_state": {},
        "complete": True,
    }
    assert warnings(parse(known)) == ()
    assert warnings(parse({**known, "ephemeral_invocations": []})) == (
        "the plan holds `ephemeral_invocations`, which is not known here: what it would do "
        "is unknown",
    )


def test_a_key_inside_the_plan_that_is_not_known_is_named_once() -> None:
    """A later Terraform may extend a resource, a change, an output or an action."""
    later = {**MOVE, "pinned": True, "change": {**MOVE["change"], "retries": 2}}
    document = {
        **plan(later, {**service(), "pinned": True}),
        "output_changes": {"url": {"actions": ["no-op"], "ephemeral": True}},
        "action_invocations": [{**PURGE, "destroy_action_trigger": {}}],
    }
    assert list(parse(document).unknown_keys) == [
        "resource_changes[].pinned",
        "resource_changes[].change.retries",
        "output_changes.*.ephemeral",
        "action_invocations[].destroy_action_trigger",
    ]
    assert "`resource_changes[].change.retries`, which is not known" in "".join(
        warnings(parse(document))
    )


def test_all_keys_of_terraform_1_14_are_known() -> None:
    """The recorded plan and every documented optional key raise no warning."""
    full = {
        **MOVE,
        "module_address": "module.a",
        "index": 0,
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "action_reason": "replace_because_cannot_update",
        "change": {**MOVE["change"], "before_identity": {}, "after_identity": {}},
    }
    assert warnings(parse({**WHOLE, "resource_changes": [full], "complete": True})) == ()


def test_a_data_source_with_an_unknown_action_is_not_dropped() -> None:
    """Reads of data sources are no changes; anything that has no name here is."""
    data = {**resource("data.aws_lb.x", ["refresh"], {}, {}), "mode": "data"}
    assert [row.action for row in changes(parse(plan(data)))] == ["unknown"]


def test_a_deposed_object_is_named() -> None:
    """An interrupted replacement leaves an object that the next apply destroys."""
    left = {**resource("aws_lb.main", ["delete"], {"name": "a"}, None), "deposed": "01ab23cd"}
    (row,) = changes(parse(plan(left)))
    assert row.lines() == ("  - DESTROYS aws_lb.main (deposed object 01ab23cd)",)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"format_version": "1.2"}, ""),
        ({}, ""),
        ({"format_version": "2.0"}, "its format is 2.0"),
        ({"format_version": None}, "its format is None"),
        ({"errored": True}, "stopped in the middle"),
    ],
)
def test_a_plan_that_must_not_be_applied(document: dict[str, Any], says: str) -> None:
    """Another major version of the format, or a plan that failed half-way."""
    found = plan_refusal(parse(document))
    assert says in found and bool(found) == bool(says)


def places(value: Any, put: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """A setter for every value in a document."""
    yield put
    if isinstance(value, dict | list):
        for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield from places(each, partial(value.__setitem__, key))


@pytest.mark.parametrize(
    "wrong", [None, True, 7, -0.5, "text", [], {}, [None], [[]], ["x"], {"x": None}, [{}]], ids=repr
)
def test_no_malformed_plan_ends_in_a_traceback(wrong: Any) -> None:
    """Each value of a whole plan replaced by each kind of other: a result or an OpsError, nothing
    else.
    """
    count = len(list(places(WHOLE, lambda _: None)))
    refused = 0
    for number in range(count):
        document = {"": json.loads(json.dumps(WHOLE))}
        put = list(places(document[""], partial(document.__setitem__, "")))[number]
        put(wrong)
        found = document[""]
        if not isinstance(found, dict):
            continue  # `terraform show` itself is refused then
        try:
            parsed = parse(found)
        except OpsError as error:
            refused += 1
            assert error.what == "Terraform's plan could not be read" and error.why and error.next
            continue
        rows = changes(parsed)
        [(row.lines(), row.as_document()) for row in (*rows, *drift(parsed))]
        out_of_scope(rows, TARGET), never_allowed(rows, TARGET), summary(rows, notes(parsed))
        warnings(parsed), plan_refusal(parsed), planned_image(parsed, "dev-backend", "backend")
        addresses(parsed, "aws_ecs_service", "dev-backend")
    assert count > 150 and (refused or wrong in (None, [], {}))
