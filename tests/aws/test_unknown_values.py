"""Documents grow: values that AWS invents are said as they are, and never taken for healthy."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ops.aws import elb
from ops.aws.ecs import revision, service_state
from ops.aws.ecs_task_state import task_state
from ops.aws.facts import Deployment, ServiceState, Target, TargetGroup
from ops.cdn.facts import Distribution, Invalidation
from ops.deploy.rules.in_flight import in_flight
from ops.deploy.rules.plan import undo_target
from ops.diagnosis.rules.tasks import reach
from ops.ecs.rules.run_failures import explain
from ops.ecs.rules.stop_diagnosis import find_cause, stop_finding
from ops.ecs.rules.verdict.observation import Observation, RolloutHistory, remember
from ops.ecs.rules.verdict.rollout import baking, decide
from ops.health.rules import database, edge
from ops.health.rules import services as service_rules
from ops.health.rules import targets as target_rules
from ops.preflight.rules.service import service as check_service
from tests.diagnosis.incidents import failing, find, world
from tests.ecs import stops
from tests.preflight import preflight_facts

NEW = "QUANTUM_LEAP"
_ENUMS = re.compile(
    r"(?i)(status|state|code|strategy|controller|type|mutability|decision|launchtype|protocol"
    r"|scheme|reason|action|engine|stage|provider)$"
)


def _changed(document: Any) -> Iterator[tuple[str, Any]]:
    """Every copy of a document in which one field of an enumeration has an invented value."""
    for path in _paths(document):
        changed = copy.deepcopy(document)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = NEW
        yield ".".join(map(str, path)), changed


def _paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, str) and _ENUMS.search(str(key)):
                yield (*path, key)
            yield from _paths(value, (*path, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from _paths(value, (*path, number))


SERVICE: dict[str, Any] = {
    **world()["ecs/services"]["dev-backend"],
    "launchType": "FARGATE",
    "schedulingStrategy": "REPLICA",
    "propagateTags": "SERVICE",
    "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}],
    "deploymentController": {"type": "ECS"},
    "deploymentConfiguration": {"strategy": "ROLLING"},
}
TASK: dict[str, Any] = {
    **failing("Essential container in task exited", exit_code=1)["ecs/tasks"]["dev-backend"][
        "stopped"
    ][0],
    "stopCode": "EssentialContainerExited",
    "healthStatus": "HEALTHY",
    "launchType": "FARGATE",
    "connectivity": "CONNECTED",
    "attachments": [{"type": "ElasticNetworkInterface", "status": "DELETED", "details": []}],
}
TASK["containers"][0] |= {"healthStatus": "HEALTHY", "managedAgents": [{"lastStatus": "RUNNING"}]}
PRIMARY = ("status", "deployments.0.status", "deployments.0.rolloutState")


def _facts(state: ServiceState) -> service_rules.ServiceFacts:
    running = task_state({**TASK, "lastStatus": "RUNNING"})
    digests = tuple(replace(each, digest="sha256:a") for each in running.containers)
    tasks = (replace(running, containers=digests), replace(running, arn="b", containers=digests))
    return service_rules.ServiceFacts(
        "backend", "dev-backend", "backend", state=state, tasks=tasks, latest=None, release=None
    )


@pytest.mark.parametrize(
    ("path", "document"), [*_changed(SERVICE)], ids=lambda each: str(each)[:60]
)
def test_a_service_with_one_new_value(path: str, document: dict[str, Any]) -> None:
    """It is read and checked; where the value is a state, the service is not called healthy."""
    state = service_state(document)
    checks = {check.key.kind: check for check in service_rules.checks(_facts(state))}
    assert path in PRIMARY or checks["deployment"].status == "ok"
    if path == "status":
        assert checks["tasks"].status == "failed" and NEW in checks["tasks"].detail
    if path == "deployments.0.rolloutState":
        assert state.is_rolling_out and NEW in checks["deployment"].detail
    if path in PRIMARY[1:]:
        assert checks["deployment"].status != "ok"


def test_the_table_of_fields_is_not_empty() -> None:
    """The search above finds the fields that it is about."""
    fields = {path for path, _ in _changed(SERVICE)} | {path for path, _ in _changed(TASK)}
    assert {*PRIMARY, "deploymentController.type", "stopCode", "lastStatus"} <= fields


@pytest.mark.parametrize(("path", "document"), [*_changed(TASK)], ids=lambda each: str(each)[:60])
def test_a_stopped_task_with_one_new_value(path: str, document: dict[str, Any]) -> None:
    """A cause is named, whatever the stop code; the exit code decides as before."""
    task = task_state(document)
    why = find_cause(task, "backend")
    finding = stop_finding(task, why, service="backend", ecs_service="dev-backend", aws="aws")
    assert why.failure and finding.summary
    if path == "stopCode":
        assert task.stop_code == NEW


def test_a_stop_code_alone_is_said_as_it_is() -> None:
    """No text of ours matches, so AWS's own words are the finding."""
    task = stops.task("a", "", stops.box(), code=NEW)
    why = find_cause(task, "backend")
    found = stop_finding(task, why, service="backend", ecs_service="b", aws="aws")
    assert NEW in f"{found.summary} {[each.text for each in found.evidence]}"
    told = stops.task("a", "A wormhole opened under the host.", stops.box(), code=NEW)
    found = stop_finding(
        told, find_cause(told, "backend"), service="backend", ecs_service="b", aws="aws"
    )
    assert "wormhole" in f"{found.summary} {[each.text for each in found.evidence]}"


def _started(state: str | None, **more: Any) -> ServiceState:
    return stops.service(stops.deployment(state=state, running=2, **more))


def test_a_rollout_in_a_new_state_is_neither_done_nor_failed() -> None:
    """The watch says the state, and goes on until its timeout, which names it too."""
    service = _started(NEW)
    history = remember(RolloutHistory(), service, stops.OURS, 0.0)
    observation = Observation(0.0, service, (), history)
    decision = decide(observation, stops.OURS, timeout_s=60)
    assert decision.verdict is None and NEW in decision.phase
    late = decide(replace(observation, at=60.0), stops.OURS, timeout_s=60)
    assert late.verdict is not None and NEW in late.why
    assert in_flight(service) is service.primary


@pytest.mark.parametrize(
    ("stage", "state", "may_have_traffic"),
    [
        (NEW, "IN_PROGRESS", True),
        ("", "IN_PROGRESS", True),
        ("BAKE_TIME", NEW, True),
        ("SCALE_UP", "IN_PROGRESS", False),
        ("TEST_TRAFFIC_SHIFT", "IN_PROGRESS", False),
        ("BAKE_TIME", "COMPLETED", False),
    ],
)
def test_a_new_stage_may_have_production_traffic(
    stage: str, state: str, may_have_traffic: bool
) -> None:
    """A deployment that may carry all traffic is not rolled back by a timeout."""
    service = replace(_started(state), strategy=NEW)
    assert baking(Observation(0.0, service, stage=stage), stops.OURS) is may_have_traffic


def test_no_rollback_leads_to_a_deployment_in_a_new_state() -> None:
    """Only a completed one is known to have been healthy."""
    odd = replace(preflight_facts.DEPLOYMENT, rollout_state=NEW)
    state = replace(preflight_facts.STATE, deployments=(odd,))
    assert undo_target(replace(preflight_facts.READY, state=state)) is None
    assert odd.is_under_way and not replace(odd, rollout_state=None).is_under_way


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": NEW}, "refuse"),
        ({"controller": NEW}, "refuse"),
        ({"deployments": (replace(preflight_facts.DEPLOYMENT, rollout_state=NEW),)}, "warn"),
    ],
)
def test_preflight_says_what_it_does_not_know(changes: dict[str, Any], status: str) -> None:
    facts = replace(preflight_facts.READY, state=replace(preflight_facts.STATE, **changes))
    result = check_service(facts, preflight_facts.ENVIRONMENT)
    assert result.status == status
    assert "deployments" in changes or NEW in result.detail


GROUP = TargetGroup("arn", "tg", 80, "/", 30, 2, 3)


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (("healthy", NEW), "unknown"),
        ((NEW,), "unknown"),
        ((NEW, "unhealthy"), "failed"),
        (("healthy", "draining"), "ok"),
        (("unhealthy.draining",), "failed"),
    ],
)
def test_a_target_in_a_new_state(states: tuple[str, ...], status: str) -> None:
    """Neither healthy nor a failure with a cause: unknown, with the state in AWS's word."""
    targets = tuple(Target(f"10.0.0.{n}", 80, state) for n, state in enumerate(states))
    facts = target_rules.GroupFacts("backend", GROUP, "tg", targets, None)
    found = target_rules.check(facts)
    assert found.status == status and (NEW not in states or NEW in found.detail)


def test_weights_of_new_kinds_of_actions_are_not_invented() -> None:
    assert elb.to_weights([{"Type": NEW}]) == {}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (NEW, "unknown"),
        ("available", "ok"),
        ("storage-config-upgrade", "ok"),
        ("upgrading", "failed"),
        ("incompatible-" + NEW, "failed"),
        ("stopped", "failed"),
    ],
)
def test_an_instance_in_a_new_status(status: str, expected: str) -> None:
    found = database.instance("db", status)
    assert found.status == expected and status in found.detail


def test_a_distribution_and_an_invalidation_in_a_new_status() -> None:
    """Only Deployed and Completed are the end of a change."""
    found = edge.distribution(Distribution("E1", "d.net", NEW, True, (), ""))
    assert found.status != "ok" and NEW in found.detail
    assert not Invalidation("I1", NEW, (), "").completed


@pytest.mark.parametrize(("state", "kind"), [(NEW, None), ("failed", "no_route")])
def test_a_nat_gateway_in_a_new_state_is_not_blamed(state: str, kind: str | None) -> None:
    vpc = reach._Vpc({}, {}, {"nat-1": {"State": state}}, {}, {}, "us-east-1")
    way = reach.Way("subnet-1", (), False, "s3")
    table = {"RouteTableId": "rtb-1", "VpcId": "vpc-1"}
    found = reach._nat_problem(vpc, way, table, "nat-1", ())
    assert (found and found.kind) == kind


def test_a_failure_of_run_task_is_quoted() -> None:
    assert explain(NEW, "no qubits left") == f"{NEW}: no qubits left"


Find = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize("make", [world, lambda: failing("", "")], ids=["healthy", "failing"])
def test_no_rule_of_the_diagnosis_breaks_on_a_new_value(make: Callable[[], Any]) -> None:
    """Every field of an enumeration in the evidence, one at a time, through every rule."""
    documents = make()
    documents["rds/instance"] = {
        "DBInstanceIdentifier": "dev-db",
        "DBInstanceStatus": "available",
        "Engine": "postgres",
        "AllocatedStorage": 20,
    }
    number = 0
    for path, changed in _changed(documents):
        found = find(changed)
        number += 1
        assert found.broken_rules == (), path
        if path.endswith("DBInstanceStatus") or "NatGateway" in path:
            assert not [each for each in found.found if NEW in each.candidate.finding.summary], path
    assert number > 15


def test_a_task_definition_with_new_values_is_read() -> None:
    """Its document is passed on as it is."""
    document = world()["ecs/task-definitions"]["dev-backend:7"]["taskDefinition"]
    document |= {"networkMode": NEW, "runtimePlatform": {"cpuArchitecture": NEW}}
    for path, changed in _changed(document):
        found = revision({"taskDefinition": changed})
        assert found.document["networkMode"] == NEW, path
    assert revision({"taskDefinition": document}).architecture == NEW.lower()


def test_a_deployment_may_lack_its_state() -> None:
    """Old services have none; that is no new state."""
    old = Deployment("d", "PRIMARY", "td:1", 1, 1, 0, 0, None, "")
    assert not old.is_under_way
