"""Rules of ports, addresses, time-outs and grace periods, on documents as AWS sends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.diagnosis.edge_world import edge_world, page
from tests.diagnosis.incidents import AT, GROUP, REVISION, causes, find, stopped, target, task

Documents = dict[str, Any]
Change = Callable[[Documents], None]
REFUSED = target("10.0.1.2", "unhealthy", "Target.FailedHealthChecks", "Health checks failed")
KILLED = f"Task failed ELB health checks in (target-group {GROUP})"


def refusing(documents: Documents) -> None:
    documents["elb/targets"][GROUP] = [REFUSED]
    documents["pages"] = [page(status=502, layer="alb", server="awselb/2.0")]


def logs(*lines: str) -> Change:
    def change(documents: Documents) -> None:
        documents["logs/unhealthy"]["dev-backend"] = {"a": list(lines)}

    return change


def variable(name: str, value: str) -> Change:
    def change(documents: Documents) -> None:
        label = REVISION.rpartition("/")[2]
        definition = documents["ecs/task-definitions"][label]["taskDefinition"]
        definition["containerDefinitions"][0]["environment"] = [{"name": name, "value": value}]

    return change


@pytest.mark.parametrize(
    ("change", "cause", "confidence"),
    [
        (logs("Server listening on http://127.0.0.1:3001"), "listens_on_loopback", "likely"),
        (
            logs('{"message":"listening","host":"localhost","port":3001}'),
            "listens_on_loopback",
            "likely",
        ),
        (logs("uvicorn running on http://[::1]:3001"), "listens_on_loopback", "likely"),
        (variable("HOST", "127.0.0.1"), "listens_on_loopback", "likely"),
        (variable("PORT", "3999"), "target_port", "certain"),
        (logs("Server started on port 8080"), "target_port", "certain"),
        (
            logs('{"message": "listening", "host": "0.0.0.0", "port": 8080}'),
            "target_port",
            "certain",
        ),
        (logs("listening on :8080", "metrics listening on :9090"), "target_port", "likely"),
    ],
)
def test_a_refused_health_check_is_explained(change: Change, cause: str, confidence: str) -> None:
    documents = edge_world()
    refusing(documents)
    change(documents)
    found = find(documents)
    assert causes(found) == [cause]
    assert found.roots[0].candidate.finding.confidence == confidence


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(logs(), id="no log"),
        pytest.param(logs("listening on 0.0.0.0:3001"), id="everywhere, the right port"),
        pytest.param(logs("listening on 127.0.0.1:9229 and 0.0.0.0:3001"), id="a debugger too"),
        pytest.param(logs("connecting to database at 127.0.0.1:5432"), id="a client"),
        pytest.param(logs("GET /api 200 in 8080 ms"), id="a number"),
        pytest.param(variable("PORT", "3001"), id="the right port"),
        pytest.param(variable("DB_HOST", "127.0.0.1"), id="another host"),
    ],
)
def test_other_logs_and_variables_explain_nothing(change: Change) -> None:
    documents = edge_world()
    refusing(documents)
    change(documents)
    assert causes(find(documents)) == []


@pytest.mark.parametrize("change", [variable("HOST", "127.0.0.1"), variable("PORT", "3999")])
def test_healthy_targets_need_no_explanation(change: Change) -> None:
    documents = edge_world()
    change(documents)
    assert causes(find(documents)) == []


def test_a_health_check_on_another_port_is_named() -> None:
    documents = edge_world()
    refusing(documents)
    documents["elb/target-groups"][GROUP]["HealthCheckPort"] = "9000"
    found = find(documents)
    assert causes(found) == ["target_port"]
    assert "HealthCheckPort 9000" in found.roots[0].candidate.finding.evidence[0].text


def slow_health(documents: Documents) -> None:
    late = target("10.0.1.2", "unhealthy", "Target.Timeout", "Request timed out")
    documents["elb/targets"][GROUP] = [late]
    documents["pages"] = [page("/api/health", 200, "alb", 6.2)]


def test_a_health_path_slower_than_the_health_check_is_named() -> None:
    documents = edge_world()
    slow_health(documents)
    found = find(documents)
    assert causes(found) == ["health_timeout_short"]
    assert "fails_open" in [each.finding.cause for each in found.roots[0].consequences]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d["pages"][0].update(took_s=3.0), id="fast enough"),
        pytest.param(lambda d: d["pages"][0].update(status=504), id="no answer"),
        pytest.param(lambda d: d["pages"][0].update(path="/api/projects"), id="another path"),
        pytest.param(lambda d: d.pop("pages"), id="unknown pages"),
    ],
)
def test_another_timeout_of_health_checks_is_not_slowness(change: Change) -> None:
    documents = edge_world()
    slow_health(documents)
    change(documents)
    assert "health_timeout_short" not in causes(find(documents))


def test_a_success_that_the_matcher_does_not_list_is_named() -> None:
    documents = edge_world()
    text = "Health checks failed with these codes: [200]"
    reason = "Target.ResponseCodeMismatch"
    documents["elb/targets"][GROUP] = [target("10.0.1.2", "unhealthy", reason, text)]
    documents["elb/target-groups"][GROUP]["Matcher"] = {"HttpCode": "201"}
    found = find(documents)
    assert causes(found) == ["health_codes_wrong"]
    assert "Matcher HttpCode=201" in [e.text for e in found.roots[0].candidate.finding.evidence]


def killed(created: str = "2026-11-28T02:57:00+00:00", *lines: str) -> Change:
    """Tasks that ECS stopped at 02:58:30 for their health checks, created at this time."""

    def change(documents: Documents) -> None:
        end = {"createdAt": created, "stoppedAt": "2026-11-28T02:58:30+00:00"}
        dead = {**stopped("d", KILLED, "ServiceSchedulerInitiated", 143), **end}
        documents["ecs/tasks"]["dev-backend"] = {"running": [], "stopped": [dead]}
        documents["elb/targets"][GROUP] = []
        documents["logs/stopped"]["dev-backend"] = {"d": list(lines)}

    return change


def test_tasks_stopped_while_they_start_need_a_longer_grace_period() -> None:
    documents = edge_world()
    killed("2026-11-28T02:57:00+00:00", "loading 4000 templates")(documents)
    found = find(documents)
    assert causes(found) == ["grace_period_short"]
    finding = found.roots[0].candidate.finding
    assert finding.confidence == "likely" and "loading 4000 templates" in finding.evidence[-1].text


def event(text: str, at: str = AT) -> Change:
    def change(documents: Documents) -> None:
        message = f"(service dev-backend) (port 3001) is unhealthy in (target-group {GROUP}) {text}"
        documents["ecs/services"]["dev-backend"]["events"] = [
            {"id": "1", "createdAt": at, "message": message}
        ]

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(killed("2026-11-28T02:00:00+00:00"), id="it lived long"),
        pytest.param(
            killed("2026-11-28T02:57:00+00:00", "listening on 0.0.0.0:3001"), id="it listened"
        ),
        pytest.param(
            event("due to (reason Health checks failed with these codes: [500])."), id="500"
        ),
    ],
)
def test_tasks_stopped_for_another_reason_had_time_enough(change: Change) -> None:
    documents = edge_world()
    killed("2026-11-28T02:57:00+00:00", "starting")(documents)
    change(documents)
    assert "grace_period_short" not in causes(find(documents))


def test_a_wrong_path_is_named_while_its_tasks_are_being_replaced() -> None:
    documents = edge_world()
    killed()(documents)
    event("due to (reason Health checks failed with these codes: [404]).")(documents)
    assert causes(find(documents)) == ["health_path_wrong"]


def test_an_old_event_says_nothing_of_the_path() -> None:
    documents = edge_world()
    text = "due to (reason Health checks failed with these codes: [404])."
    event(text, "2026-11-28T01:00:00+00:00")(documents)
    documents["elb/targets"][GROUP] = []
    assert causes(find(documents)) == []


@pytest.mark.parametrize(
    "now", [target("10.0.1.2"), target("10.0.1.2", "unhealthy", "Target.Timeout", "timed out")]
)
def test_what_targets_answer_now_counts_more_than_an_event(now: Documents) -> None:
    documents = edge_world()
    event("due to (reason Health checks failed with these codes: [404]).")(documents)
    documents["elb/targets"][GROUP] = [now]
    assert "health_path_wrong" not in causes(find(documents))


def test_no_healthy_target_with_pages_that_answer_is_failing_open() -> None:
    documents = edge_world()
    text = "Health checks failed with these codes: [500]"
    reason = "Target.ResponseCodeMismatch"
    documents["elb/targets"][GROUP] = [target("10.0.1.2", "unhealthy", reason, text)]
    assert causes(find(documents)) == ["fails_open"]


@pytest.mark.parametrize("state", ["initial", "draining", "healthy"])
def test_a_rollout_is_not_failing_open(state: str) -> None:
    documents = edge_world()
    documents["elb/targets"][GROUP] = [target("10.0.1.2", state)]
    documents["ecs/tasks"]["dev-backend"]["running"] = [task("a")]
    assert causes(find(documents)) == []


@pytest.mark.parametrize("missing", ["elb/targets", "pages", "logs/unhealthy", "logs/stopped"])
def test_unknown_documents_end_no_rule_and_add_no_cause(missing: str) -> None:
    documents = edge_world()
    del documents[missing]
    assert causes(find(documents, {missing: "denied"})) == []
