"""The edge of a healthy platform as documents: CDN, listeners, pages; changed by each test."""

from __future__ import annotations

from typing import Any

from tests.diagnosis.incidents import ACCOUNT, AT, BALANCER, GROUP, world

SITE, ALB = "https://example.com", "http://alb.example.com"
DNS = "dev-alb-1.us-east-1.elb.amazonaws.com"
OTHER_GROUP = GROUP.replace("dev-backend-tg/1", "dev-frontend-tg/2")
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1"
FROM_ALB: dict[str, Any] = {"server": "awselb/2.0"}
FROM_CLOUDFRONT: dict[str, Any] = {"server": "CloudFront", "x-cache": "Error from cloudfront"}


def page(
    path: str = "/api/projects",
    status: int = 200,
    layer: str = "cdn",
    took: float = 0.1,
    **headers: str,
) -> dict[str, Any]:
    """A page's answer, as the collector `pages` describes it; `x_cache` is the header x-cache."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "layer": layer,
        "service": "backend",
        "path": path,
        "url": (SITE if layer == "cdn" else ALB) + path,
        "status": status,
        "took_s": took,
        "headers": {"server": "app", **sent},
        "again": [],
        "problem": "",
        "cause": "",
    }


def failed_page(path: str = "/api/projects", layer: str = "alb", **fields: Any) -> dict[str, Any]:
    """A failed check of a page in the sweep."""
    return {
        "group": "endpoints",
        "kind": "page",
        "subject": path,
        "layer": layer,
        "name": f"page {path}",
        "status": "failed",
        "detail": "404",
        "service": "backend",
        "finding": None,
        "explained_by": "",
        **fields,
    }


def stale_page(path: str = "/api/projects") -> dict[str, Any]:
    """A failed check of a cached page that differs from the origin's."""
    finding = {
        "cause": "stale_cache",
        "summary": f"the CDN answers {path} with another page than the origin's",
        "confidence": "certain",
        "evidence": [{"source": f"HEAD {path}", "text": "x-cache hit, age 5400 s"}],
        "fix": ["inv cdn.invalidate"],
    }
    return failed_page(path, "", group="cdn", kind="cached page", finding=finding)


def rule(priority: str, action: dict[str, Any], *conditions: dict[str, Any]) -> dict[str, Any]:
    """A listener rule of DescribeRules."""
    return {
        "RuleArn": f"arn:rule/{priority}",
        "Priority": priority,
        "Conditions": list(conditions),
        "Actions": [action],
        "IsDefault": priority == "default",
    }


def forward(group: str = GROUP) -> dict[str, Any]:
    return {"Type": "forward", "TargetGroupArn": group}


def to_https() -> dict[str, Any]:
    return {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}


def paths(*values: str) -> dict[str, Any]:
    return {"Field": "path-pattern", "Values": list(values)}


def listener(port: int, *rules: dict[str, Any], protocol: str = "HTTP") -> dict[str, Any]:
    return {"ListenerArn": f"arn:{port}", "Port": port, "Protocol": protocol, "Rules": list(rules)}


def distribution(policy: str = "http-only", domain: str = DNS) -> dict[str, Any]:
    """A distribution with one origin; /api/* is not cached."""
    custom = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": policy}
    origin = {"Id": "alb", "DomainName": domain, "CustomOriginConfig": custom}
    behaviour = {"TargetOriginId": "alb", "CachePolicyId": "policy"}
    return {
        "Id": "E1",
        "DistributionConfig": {
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": behaviour,
            "CacheBehaviors": {
                "Quantity": 1,
                "Items": [{**behaviour, "PathPattern": "/api/*", "CachePolicyId": "disabled"}],
            },
        },
    }


def edge_world() -> dict[str, Any]:
    """The documents of a healthy platform with its edge."""
    api = rule("100", forward(), paths("/api/*"))
    default = rule("default", forward(OTHER_GROUP))
    return {
        **world(),
        "elb/load-balancers": {BALANCER: {"LoadBalancerArn": BALANCER, "DNSName": DNS}},
        "elb/listeners": {BALANCER: [listener(80, api, default)]},
        "elb/attributes": {BALANCER: {"idle_timeout.timeout_seconds": "60"}},
        "elb/bad-gateways": {BALANCER: 0},
        "acm/certificates": {},
        "cdn/distribution": distribution(),
        "cdn/invalidations": [{"Id": "I1", "CreateTime": AT, "Status": "Completed"}],
        "logs/unhealthy": {"dev-backend": {}},
        "pages": [
            page("/api/health", x_cache="Miss from cloudfront", cache_control="no-store"),
            page("/api/projects", x_cache="Miss from cloudfront", cache_control="no-store"),
            page("/api/health", layer="alb"),
            page("/api/projects", layer="alb"),
        ],
    }
