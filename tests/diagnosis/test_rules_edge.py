"""Rules of the edge: CDN, listeners, load balancer, on documents as AWS sends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ops.core.findings import Finding
from tests.diagnosis.edge_world import (
    CERTIFICATE,
    FROM_ALB,
    FROM_CLOUDFRONT,
    OTHER_GROUP,
    distribution,
    edge_world,
    failed_page,
    forward,
    listener,
    page,
    paths,
    rule,
    stale_page,
    to_https,
)
from tests.diagnosis.incidents import BALANCER, GROUP, REVISION, causes, find

Documents = dict[str, Any]
Change = Callable[[Documents], None]


def first(documents: Documents) -> Finding:
    found = find(documents)
    assert not found.broken_rules
    return found.roots[0].candidate.finding


def test_a_healthy_edge_has_no_cause() -> None:
    assert causes(find(edge_world())) == []


def rules_of(*rules: dict[str, Any], port: int = 80) -> Change:
    def change(documents: Documents) -> None:
        documents["elb/listeners"][BALANCER] = [listener(port, *rules)]
        documents["sweep"] = {"healthy": False, "checks": [failed_page()]}

    return change


API = rule("100", forward(), paths("/api/*"))
DEFAULT = rule("default", forward(OTHER_GROUP))
CAPTURES = rule("10", forward(OTHER_GROUP), paths("/api/*"))
MAINTENANCE = rule(
    "1", {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}, paths("/*")
)


@pytest.mark.parametrize(
    ("change", "cause", "text"),
    [
        (rules_of(CAPTURES, API, DEFAULT), "listener_rule_captures", "dev-frontend-tg"),
        (rules_of(DEFAULT), "listener_rule_captures", "dev-frontend-tg"),
        (rules_of(MAINTENANCE, API, DEFAULT), "fixed_response", "503"),
    ],
)
def test_a_path_that_a_rule_takes_away_is_named(change: Change, cause: str, text: str) -> None:
    documents = edge_world()
    change(documents)
    finding = first(documents)
    assert finding.cause == cause and text in finding.evidence[0].text


OTHER_HOST = rule(
    "1", forward(OTHER_GROUP), {"Field": "host-header", "Values": ["admin.example.com"]}
)
NO_WEIGHT = {
    "Type": "forward",
    "ForwardConfig": {
        "TargetGroups": [
            {"TargetGroupArn": GROUP, "Weight": 1},
            {"TargetGroupArn": OTHER_GROUP, "Weight": 0},
        ]
    },
}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(rules_of(API, DEFAULT), id="its own rule, page failing for another reason"),
        pytest.param(rules_of(OTHER_HOST, API, DEFAULT), id="a rule of another host"),
        pytest.param(rules_of(CAPTURES, DEFAULT, port=9000), id="a listener of no public port"),
        pytest.param(rules_of(rule("1", NO_WEIGHT, paths("/api/*"))), id="weighted to its own"),
        pytest.param(rules_of(rule("default", to_https())), id="redirect to https"),
    ],
)
def test_a_rule_that_leads_to_the_service_is_no_cause(change: Change) -> None:
    documents = edge_world()
    change(documents)
    assert not {"listener_rule_captures", "fixed_response"} & set(causes(find(documents)))


def test_a_page_that_answers_well_is_not_captured() -> None:
    documents = edge_world()
    rules_of(CAPTURES, API, DEFAULT)(documents)
    documents["sweep"] = {"healthy": True, "checks": []}
    assert causes(find(documents)) == []


def test_a_rule_by_query_string_leaves_doubt() -> None:
    documents = edge_world()
    by_query = rule(
        "1", forward(OTHER_GROUP), {"Field": "query-string", "QueryStringConfig": {"Values": []}}
    )
    rules_of(by_query, CAPTURES, DEFAULT)(documents)
    assert first(documents).confidence == "likely"


def timed_out(documents: Documents) -> None:
    documents["elb/attributes"][BALANCER]["idle_timeout.timeout_seconds"] = "5"
    documents["pages"].append(page("/api/projects", 504, "alb", 5.01, **FROM_ALB))


def test_a_504_after_the_idle_timeout_is_the_load_balancers() -> None:
    documents = edge_world()
    timed_out(documents)
    finding = first(documents)
    assert finding.cause == "gateway_timeout" and finding.confidence == "certain"
    assert "504 after 5.01 s" in finding.evidence[0].text


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d["pages"][-1].update(took_s=1.0), id="sooner: no connection"),
        pytest.param(lambda d: d["pages"][-1].update(headers={"server": "app"}), id="the app's"),
        pytest.param(lambda d: d["elb/targets"].update({GROUP: []}), id="no target"),
        pytest.param(lambda d: d.pop("elb/attributes"), id="unknown timeout"),
    ],
)
def test_another_504_is_not_the_idle_timeout(change: Change) -> None:
    documents = edge_world()
    timed_out(documents)
    change(documents)
    assert "gateway_timeout" not in causes(find(documents))


def looping(documents: Documents) -> None:
    documents["elb/listeners"][BALANCER] = [listener(80, rule("default", to_https()))]
    documents["pages"] = [page("/", 301, location="https://example.com/")]


def test_an_origin_asked_by_http_that_redirects_to_https_is_a_loop() -> None:
    documents = edge_world()
    looping(documents)
    finding = first(documents)
    assert finding.cause == "origin_protocol_loop"
    assert [each.source for each in finding.evidence] == [
        "GET https://example.com/ through the CDN",
        "GetDistribution E1 Origins",
        "DescribeRules listener 80",
    ]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda d: d.update({"cdn/distribution": distribution("https-only")}), id="https-only"
        ),
        pytest.param(
            lambda d: d.update({"cdn/distribution": distribution("match-viewer")}),
            id="match-viewer of an https site",
        ),
        pytest.param(
            lambda d: d["pages"][0]["headers"].update(location="https://example.com/en"),
            id="another page",
        ),
        pytest.param(
            lambda d: d["pages"][0]["headers"].update(location="https://www.example.com/"),
            id="another host",
        ),
        pytest.param(lambda d: d.pop("cdn/distribution"), id="unknown distribution"),
        pytest.param(lambda d: d.pop("pages"), id="unknown pages"),
    ],
)
def test_another_redirect_is_no_protocol_loop(change: Change) -> None:
    documents = edge_world()
    looping(documents)
    change(documents)
    assert causes(find(documents)) == []


def unreachable(status: int = 502) -> Documents:
    documents = edge_world()
    documents["pages"][1] = page("/api/projects", status, **FROM_CLOUDFRONT)
    return documents


def test_an_origin_that_only_cloudfront_cannot_reach_is_likely_its_path() -> None:
    finding = first(unreachable(504))
    assert finding.cause == "origin_unreachable" and finding.confidence == "likely"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (distribution(domain="old-alb-9.us-east-1.elb.amazonaws.com"), "no load balancer"),
        (distribution("https-only"), "port 443, on which there is no listener"),
    ],
)
def test_a_wrong_address_of_the_origin_is_certain(found: Documents, text: str) -> None:
    documents = unreachable()
    documents["cdn/distribution"] = found
    finding = first(documents)
    assert finding.cause == "origin_unreachable" and finding.confidence == "certain"
    assert text in finding.summary


@pytest.mark.parametrize("sent", [FROM_ALB, {"server": "app"}])
def test_a_502_that_only_passes_through_cloudfront_is_not_the_origins_path(
    sent: Documents,
) -> None:
    documents = edge_world()
    documents["pages"][1] = page("/api/projects", 502, x_cache="Error from cloudfront", **sent)
    assert "origin_unreachable" not in causes(find(documents))


def with_certificate(**certificate: Any) -> Documents:
    documents = unreachable()
    documents["cdn/distribution"] = distribution("https-only")
    secure = listener(443, DEFAULT, protocol="HTTPS")
    documents["elb/listeners"][BALANCER].append(
        {**secure, "Certificates": [{"CertificateArn": CERTIFICATE}]}
    )
    documents["acm/certificates"] = {
        CERTIFICATE: {
            "DomainName": "example.com",
            "NotAfter": "2027-01-01T00:00:00+00:00",
            "Status": "ISSUED",
            **certificate,
        }
    }
    return documents


@pytest.mark.parametrize(
    ("certificate", "text"),
    [
        ({"NotAfter": "2026-11-27T00:00:00+00:00"}, "has expired"),
        ({"DomainName": "other.example.net"}, "is for another name"),
    ],
)
def test_an_origins_certificate_that_cloudfront_refuses_is_named(
    certificate: Documents, text: str
) -> None:
    found = find(with_certificate(**certificate))
    assert causes(found) == ["origin_certificate"]
    assert text in found.roots[0].candidate.finding.summary


@pytest.mark.parametrize(
    "certificate",
    [{}, {"DomainName": "*.us-east-1.elb.amazonaws.com"}, {"DomainName": "EXAMPLE.com"}],
)
def test_a_valid_certificate_of_the_origin_is_no_cause(certificate: Documents) -> None:
    assert "origin_certificate" not in causes(find(with_certificate(**certificate)))


def test_a_release_without_an_invalidation_explains_the_stale_page() -> None:
    documents = edge_world()
    documents["sweep"] = {"healthy": False, "checks": [stale_page()]}
    documents["releases"]["backend"] = [
        {"verdict": "succeeded", "kind": "deploy", "at": "2026-11-28T04:00:00+00:00"}
    ]
    found = find(documents)
    assert causes(found) == ["release_not_invalidated"]
    assert [each.finding.cause for each in found.roots[0].consequences] == ["stale_cache"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d.pop("cdn/invalidations"), id="unknown invalidations"),
        pytest.param(
            lambda d: d["releases"].update(
                backend=[{"verdict": "succeeded", "at": "2026-11-28T02:00:00+00:00"}]
            ),
            id="invalidated after the release",
        ),
        pytest.param(
            lambda d: d["ecs/services"]["dev-backend"].update(deployments=[]), id="unknown release"
        ),
    ],
)
def test_a_stale_page_may_have_another_reason(change: Change) -> None:
    documents = edge_world()
    documents["sweep"] = {"healthy": False, "checks": [stale_page()]}
    change(documents)
    assert causes(find(documents)) == ["stale_cache"]


@pytest.mark.parametrize(
    ("headers", "confidence"),
    [
        ({"cache_control": "no-store"}, "certain"),
        ({"cache_control": "private, max-age=60"}, "certain"),
        ({"set_cookie": "session"}, "likely"),
        ({"content_type": "application/json"}, "likely"),
    ],
)
def test_a_cached_answer_that_must_not_be_cached_is_named(
    headers: Documents, confidence: str
) -> None:
    documents = edge_world()
    documents["pages"][1] = page(x_cache="Hit from cloudfront", age="30", **headers)
    finding = first(documents)
    assert (finding.cause, finding.confidence) == ("cached_uncacheable", confidence)
    assert "x-cache: Hit from cloudfront; age: 30" in finding.evidence[0].text


@pytest.mark.parametrize(
    "headers",
    [
        {"x_cache": "Miss from cloudfront", "cache_control": "no-store"},
        {"x_cache": "Hit from cloudfront", "cache_control": "public, max-age=60"},
        {"x_cache": "Hit from cloudfront", "cache_control": "s-maxage=9", "set_cookie": "lang"},
        {"x_cache": "Hit from cloudfront", "content_type": "text/html"},
        {"cache_control": "no-store", "set_cookie": "session"},
    ],
)
def test_an_answer_that_may_be_cached_is_no_cause(headers: Documents) -> None:
    documents = edge_world()
    documents["pages"][1] = page(**headers)
    assert causes(find(documents)) == []


def keeps(documents: Documents, command: list[str], errors: int = 12) -> None:
    definition = documents["ecs/task-definitions"][REVISION.rpartition("/")[2]]["taskDefinition"]
    definition["containerDefinitions"][0]["command"] = command
    documents["elb/bad-gateways"][BALANCER] = errors


def test_connections_that_the_application_closes_first_are_likely_the_502s() -> None:
    documents = edge_world()
    keeps(documents, ["gunicorn", "--keep-alive", "5", "app"])
    finding = first(documents)
    assert (finding.cause, finding.confidence) == ("keep_alive_short", "likely")
    assert finding.evidence[0].text == "--keep-alive 5"


@pytest.mark.parametrize(
    ("command", "errors"),
    [
        (["gunicorn", "--keep-alive", "75", "app"], 12),
        (["gunicorn", "--keep-alive", "5", "app"], 0),
        (["gunicorn", "app"], 12),
    ],
)
def test_connections_that_stay_open_are_no_cause(command: list[str], errors: int) -> None:
    documents = edge_world()
    keeps(documents, command, errors)
    assert causes(find(documents)) == []
