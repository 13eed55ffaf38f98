"""Evidence from the edge: headers of pages, the CDN's configuration, the load balancer's times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ops.cdn import invalidate
from ops.core.findings import Unknown
from ops.core.parallel import AT_ONCE, Call, NotRead, run_calls
from ops.diagnosis.collectors.registry import Reader, collector
from ops.http.headers import HeaderAnswer, header_client, read_headers

_QUICK_S = 1.0  # a page that answered faster is requested twice at the CDN: is the copy cached?
_METRIC_PERIOD_S = 3600
_PAGES_SHARE = 0.4  # of the deadline, for one request


@collector("pages", "GET of each page, through the CDN and at the load balancer")
def pages(reader: Reader) -> Any:
    """The headers of each configured page at each layer; redirects are not followed."""
    environment = reader.environment
    layers = {"cdn": environment.site, "alb": environment.alb}
    answers = run_calls(
        [
            Call(partial(_layer, reader, layer, address), f"pages at {address}")
            for layer, address in layers.items()
            if address
        ],
        len(layers),
    )
    return [page for each in answers for page in _answered(each)]


def _layer(reader: Reader, layer: str, address: str) -> list[dict[str, Any]]:
    environment = reader.environment
    health, asked = environment.health, environment.pages()
    timeout = min(health.timeout, _PAGES_SHARE * health.deadline)
    host = urlsplit(environment.site or "").netloc or None
    with header_client(address, timeout, environment.site_ca) as client:
        calls = [
            Call(partial(_page, client, layer, address, endpoint.path, host), endpoint.path)
            for _, endpoint in asked
        ]
        results = run_calls(calls, AT_ONCE)
    return [
        {"layer": layer, "service": service, "path": endpoint.path, **_document(result)}
        for (service, endpoint), result in zip(asked, results, strict=True)
    ]


def _answered(pages: list[dict[str, Any]] | Unknown | None) -> list[dict[str, Any]]:
    """Raises NotRead for a layer that could not be read."""
    if pages is None or isinstance(pages, Unknown):
        raise NotRead("pages", pages or Unknown("not asked"))
    return pages


def _page(
    client: Any, layer: str, address: str, path: str, host: str | None
) -> tuple[HeaderAnswer, ...]:
    """One answer; two of a page at the CDN that the first request may have put into the cache."""
    first = read_headers(client, address, path, host if layer == "alb" else None)
    missed = first.headers.get("x-cache", "").startswith("Miss") and first.took_s < _QUICK_S
    again = layer == "cdn" and missed
    return (first, read_headers(client, address, path)) if again else (first,)


def _document(result: tuple[HeaderAnswer, ...] | Unknown | None) -> dict[str, Any]:
    if result is None or isinstance(result, Unknown):
        why = result.why if result else "not asked"
        return {"status": 0, "problem": why, "cause": "unknown"}
    first, again = result[0], result[1:]
    return {**vars(first), "again": [dict(each.headers) for each in again]}


@collector("cdn/distribution", "cloudfront:GetDistribution")
def distribution(reader: Reader) -> Any:
    """The site's distribution; None without one. Values of custom origin headers are dropped."""
    environment = reader.environment
    cdn = environment.cdn
    cached = any(each.invalidate for each in environment.services.values())
    if "cdn" in environment.absent or not (cached or cdn.alias or cdn.comment or cdn.distribution):
        return None
    client = reader.client("cloudfront")
    found = client.get_distribution(Id=invalidate.find(reader.platform).id)["Distribution"]
    for origin in found["DistributionConfig"]["Origins"].get("Items") or ():
        origin.pop("CustomHeaders", None)
    return found


@collector("elb/attributes", "elasticloadbalancing:DescribeLoadBalancerAttributes")
def attributes(reader: Reader) -> Any:
    """ARN of a load balancer → its attributes by name."""
    client = reader.client("elbv2")
    return {
        arn: _by_key(client.describe_load_balancer_attributes(LoadBalancerArn=arn))
        for arn in reader.content("elb/load-balancers")
    }


def _by_key(answer: Mapping[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in answer["Attributes"]}


@collector("elb/bad-gateways", "cloudwatch:GetMetricStatistics")
def bad_gateways(reader: Reader) -> Any:
    """ARN of a load balancer → its own 502s of the last hour."""
    client, now = reader.client("cloudwatch"), datetime.now(UTC)
    found = {}
    for arn in reader.content("elb/load-balancers"):
        name = arn.partition(":loadbalancer/")[2]
        points = client.get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName="HTTPCode_ELB_502_Count",
            Dimensions=[{"Name": "LoadBalancer", "Value": name}],
            StartTime=now - timedelta(seconds=_METRIC_PERIOD_S),
            EndTime=now,
            Period=_METRIC_PERIOD_S,
            Statistics=["Sum"],
        )["Datapoints"]
        found[arn] = sum(each["Sum"] for each in points)
    return found


@collector("acm/certificates", "acm:DescribeCertificate")
def certificates(reader: Reader) -> Any:
    """ARN → the ACM certificate, of each HTTPS listener of the load balancers."""
    client = reader.client("acm")
    arns = dict.fromkeys(
        certificate["CertificateArn"]
        for listeners in reader.content("elb/listeners").values()
        for listener in listeners
        for certificate in listener.get("Certificates") or ()
        if ":acm:" in certificate.get("CertificateArn", "")
    )
    return {arn: client.describe_certificate(CertificateArn=arn)["Certificate"] for arn in arns}
